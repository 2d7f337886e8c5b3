"""How many processes the server was told to start: by its command line or the environment."""

import os
import re
import sys
from collections.abc import Mapping, Sequence

_ATTACHED = re.compile(r"(?:--workers=|-w=?)(.*)")


def worker_count() -> int:
    """How many processes share what this one does, itself among them."""
    return count_workers(sys.argv, os.environ)


def count_workers(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The number as servers read it.

    `--workers N`, `-w N` or attached (`--workers=N`, `-wN`), else UVICORN_WORKERS, else
    WEB_CONCURRENCY.
    """
    names = ("WEB_CONCURRENCY", "UVICORN_WORKERS")
    told = ["1", *(environment[name] for name in names if environment.get(name))]
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if option in {"--workers", "-w"}:
            told.append(value)
        elif attached := _ATTACHED.fullmatch(option):
            told.append(attached[1])
    return int(told[-1]) if told[-1].isdecimal() else 1
