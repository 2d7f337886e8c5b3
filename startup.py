"""How a server starts and ends: settings, logging, refusals said at once, and the last streams."""

import asyncio
import gc
import logging
import multiprocessing
import os
import re
import signal
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connection_limits import believe_nobody, limit_connections
from origins import MCP_PATH, is_loopback_host
from settings import Settings, listening_host, load_settings, worker_count
from telemetry.logs import as_logged, configure_logging

App = TypeVar("App")

logger = logging.getLogger("latchgate")

IN_MEMORY = "memory://"
COLLECTIONS = (10_000, 20, 50)
"""After how many new objects the collector looks at the young, the middle and the old ones."""
ONE_MEMORY_EACH = (
    "with LATCHGATE_STORE_URL=memory:// every worker would keep codes and tokens of its own, and "
    "refuse the others'.\n"
    "Run one worker, or share a store: LATCHGATE_STORE_URL=sqlite:///latchgate.db on one machine, "
    "valkey://host:6379/0 for several."
)
FOR_WHOM = (
    "it is told to listen on {host}, where others reach it, and would answer them with 421 only.\n"
    "Set LATCHGATE_PUBLIC_URL to the https URL that they use, or leave --host (UVICORN_HOST) out. "
    "Where a container decides who reaches the port: LATCHGATE_CONTAINED=true."
)

_LISTENING = re.compile(r"Uvicorn running on http://(\S+):(\d+) ")


def start(create_app: Callable[[Settings], App], *, keeps_state: bool = True) -> App:
    """The application for uvicorn; SystemExit with a sentence for the operator if it cannot be.

    Without `keeps_state` it has no use for a store, so that each worker may have a memory.
    """
    try:
        settings = load_settings()
        configure_logging(settings)
        limit_connections()
        believe_nobody()
        host = listening_host()
        if not (settings.public_url or settings.contained or _is_this_machine(host)):
            raise ValueError(FOR_WHOM.format(host=host))  # noqa: TRY301 - see below
        if worker_count() > 1:
            if keeps_state and settings.store_url == IN_MEMORY:
                raise ValueError(ONE_MEMORY_EACH)  # noqa: TRY301 - refused like everything else
            if keeps_state and settings.store_url.startswith("sqlite:"):
                warn_of_wal_reset(sqlite3.sqlite_version_info)
            settings = _without_sessions(settings)
        app = create_app(settings)
    except ValueError as error:
        end_supervisor(multiprocessing.parent_process())
        raise SystemExit(f"Latchgate does not start: {error}") from error
    except SystemExit:
        end_supervisor(multiprocessing.parent_process())
        raise
    collect_less()
    return app


def collect_less() -> None:
    """Let the garbage collector look at what comes from now on, and only when there is much of it.

    What is there now stays to the end, and looking through it again and again is what makes a call
    wait: docs/performance.md has the figures.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)


def warn_of_wal_reset(version: tuple[int, int, int]) -> None:
    """Say that this SQLite may damage a file that several processes write, if it may.

    https://sqlite.org/wal.html#walresetbug: mended in 3.51.3, and in 3.50.7 and 3.44.6.
    """
    is_mended = (
        version >= (3, 51, 3)
        or (3, 50, 7) <= version < (3, 51, 0)
        or (3, 44, 6) <= version < (3, 45, 0)
    )
    if not is_mended:
        logger.warning(
            "SQLite %s can, very rarely, damage a file that several workers write "
            "(https://sqlite.org/wal.html#walresetbug): use 3.51.3 or later, 1 worker, or Valkey.",
            ".".join(map(str, version)),
        )


def _without_sessions(settings: Settings) -> Settings:
    """A session lives in one worker, and its next request may come to another."""
    if settings.mcp_sessions != "auto":
        return settings
    return settings.model_copy(update={"mcp_sessions": "stateless"})


def end_supervisor(supervisor: BaseProcess | None) -> None:
    """End what watches over this worker, if it is one: it would start it again and again."""
    if supervisor is not None and supervisor.pid is not None:
        os.kill(supervisor.pid, signal.SIGTERM)


def tell_operator(text: str) -> None:
    """Say something to whoever started the server, once, and not to the log: it may be a secret."""
    print(as_logged(text), file=sys.stderr, flush=True)  # noqa: T201 - see above


@contextmanager
def telling_where_to_go(settings: Settings) -> Iterator[None]:
    """Name the page and the MCP URL once uvicorn listens, which only its own log tells us."""

    def watch(record: logging.LogRecord) -> bool:
        if listening := _LISTENING.match(record.getMessage()):
            host, port = listening.groups()
            # Bound to every address, and without a public URL, it still answers to loopback only.
            host = host if is_loopback_host(host) else "127.0.0.1"
            url = settings.public_url or f"http://{host}:{port}"
            tell_operator(f"Open {url}/ in a browser. Clients connect to {url}{MCP_PATH}")
        return True

    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.addFilter(watch)
    try:
        yield
    finally:
        uvicorn.removeFilter(watch)


class PlainStart:
    """ASGI middleware: a start that fails for a known reason is told in a sentence, no traceback.

    `reasons` are exceptions whose message is for the operator, also where a task group wraps them.
    """

    def __init__(self, app: ASGIApp, *reasons: type[Exception]) -> None:
        self._app = app
        self._reasons = reasons

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass everything through but the failure of the start."""
        run = self._start if scope["type"] == "lifespan" else self._app
        return run(scope, receive, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        failures: list[Message] = []

        async def send_unless_failed(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, send_unless_failed)
        except BaseException as error:
            reason = error
            while isinstance(reason, BaseExceptionGroup) and len(reason.exceptions) == 1:
                (reason,) = reason.exceptions
            for failure in failures:
                if isinstance(reason, self._reasons):
                    failure["message"] = f"Latchgate does not start: {reason}"
                await send(failure)
            raise


@contextmanager
def before_shutdown(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` when the process is told to end, before the server waits for its connections.

    uvicorn runs the lifespan's end only after every connection has closed, and an open stream
    closes only when we end it. Told the same again, the process ends at once: what it acknowledged
    is stored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if callable(handler := signal.getsignal(number))
    }

    def told(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(act)
        before[signal.Signals(number)](number, frame)

    for number in before:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_this_machine(host: str) -> bool:
    """Whether only this machine reaches what listens there; a name of another kind may be any."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
