"""Where the server was told to listen: by its command line or the environment."""

import os
import sys
from collections.abc import Mapping, Sequence


def listening_host() -> str:
    """The address or name on which uvicorn listens."""
    return find_host(sys.argv, os.environ)


def find_host(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """`--host`, or UVICORN_HOST; else it takes 127.0.0.1."""
    told = [environment.get("UVICORN_HOST", "127.0.0.1")]
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, attached = option.partition("=")
        if name == "--host":
            told.append(attached if equals else value)
    return told[-1]
