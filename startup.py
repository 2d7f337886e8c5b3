"""How a server starts: settings, logging, and the refusals that are better said at once."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from settings import Settings, load_settings

App = TypeVar("App")

IN_MEMORY = "memory://"


def start(create_app: Callable[[Settings], App]) -> App:
    """The application for uvicorn; SystemExit with a sentence for the operator if it cannot be."""
    settings = load_settings()
    configure_logging()
    if settings.store_url == IN_MEMORY and worker_count(sys.argv, os.environ) > 1:
        _refuse_several_workers()
    try:
        return create_app(settings)
    except ValueError as error:
        raise SystemExit(f"Latchgate does not start: {error}") from error


def configure_logging() -> None:
    """One readable line an event on standard error; uvicorn's own loggers stay as they are."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s:     %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("latchgate").setLevel(logging.INFO)


def worker_count(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """How many processes the server was told to start: `--workers N`, `-w N`, WEB_CONCURRENCY."""
    told = [environment.get("WEB_CONCURRENCY", "1")]
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, attached = option.partition("=")
        if name in {"--workers", "-w"}:
            told.append(attached if equals else value)
    return int(told[-1]) if told[-1].isdecimal() else 1


def _refuse_several_workers() -> None:
    """Each worker would have a memory of its own, and know nothing of the others' tokens.

    uvicorn starts a worker that ended again and again, so the supervisor is ended too.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        os.kill(supervisor.pid, signal.SIGTERM)
    raise SystemExit(
        "Latchgate does not start: with LATCHGATE_STORE_URL=memory:// every worker would keep "
        "codes and tokens of its own, and refuse the others'.\n"
        "Run one worker, or share a store: LATCHGATE_STORE_URL=sqlite:///latchgate.db on one "
        "machine, valkey://host:6379/0 for several."
    )
