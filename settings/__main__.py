"""The table of all settings, in Markdown: python -m settings > docs/settings.md."""

import sys
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from settings.model import PREFIX, Settings

_START = f"""\
# Settings

Environment variables, or lines of a file `.env` in the directory the server is started in; the
environment wins, an empty value is the default. Lists are words separated by spaces or commas,
durations are whole seconds. A wrong value keeps the server from starting, with a message that says
which and why; so does any other name that begins with `{PREFIX}` (but those that Kubernetes makes).
[.env.example](../.env.example) is the same to copy and change.

Limits are so many in so long, `10/minute`; of several (`5/5minutes;20/hour`) each holds.

| variable | default | what it is for |
| --- | --- | --- |
"""
_END = "\nMade from `settings/model.py` by `make docs`.\n"


def document() -> str:
    """The whole page."""
    return _START + "".join(f"{row}\n" for row in _rows()) + _END


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        default = _written(field.default)
        yield " | ".join(
            (
                f"| `{PREFIX}{name.upper()}`",
                f"`{default}`" if default else "",
                f"{field.description}{_choices(field)} |",
            )
        )


def _written(default: object) -> str:
    """A default as one would write it; nothing if there is none."""
    if isinstance(default, tuple):
        return " ".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None or default == {} else str(default)


def _choices(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return ""
    return " One of " + ", ".join(f"`{choice}`" for choice in get_args(field.annotation)) + "."


sys.stdout.write(document())
