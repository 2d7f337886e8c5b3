"""JSON that strangers wrote, read in one way only (RFC 8259 §4: names should be unique)."""

import json
from typing import Any, Never


class InvalidJson(ValueError):
    """What was given is not JSON that every reader understands alike."""


def read_json(content: bytes) -> Any:
    """The JSON value in these UTF-8 bytes; raises InvalidJson, also for a repeated member."""
    try:
        value = json.loads(
            content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
        # Half a surrogate pair can be escaped, but is no character and cannot be written again.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidJson("it is not JSON in UTF-8 with unique names") from error
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("repeated member")
    return members


def _refuse_constant(name: str) -> Never:
    raise ValueError(name)
