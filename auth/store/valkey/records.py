"""Records as Valkey keeps them: the fields of a hash, every value a string, None left out."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar


class Record(Protocol):
    """Any of the dataclasses of `auth.models`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


R = TypeVar("R", bound=Record)

_READ: dict[object, Callable[[str], Any]] = {
    str: str,
    str | None: str,
    int: int,
    int | None: int,
    bool: "1".__eq__,
    bytes: bytes.fromhex,
    tuple[str, ...]: lambda text: tuple(json.loads(text)),
}


def dump(record: Record) -> dict[str, str]:
    """The fields of a record: digests in hex, tuples as JSON."""
    values = ((field.name, getattr(record, field.name)) for field in fields(record))
    return {name: _write(value) for name, value in values if value is not None}


def flat(record: Record) -> list[str]:
    """The same as HSET takes it and HGETALL gives it: names and values in turn."""
    return [text for pair in dump(record).items() for text in pair]


def load(kind: type[R], stored: Mapping[str, str]) -> R:
    """The record that `dump` took apart; what is stored beside it is passed over."""
    return kind(
        **{
            name: read(stored[name]) if name in stored else default
            for name, read, default in _readers(kind)
        }
    )


def load_flat(kind: type[R], stored: list[str]) -> R | None:
    """The record that `flat` took apart; None for the empty answer about an absent key."""
    return load(kind, dict(zip(stored[::2], stored[1::2], strict=True))) if stored else None


def _write(value: str | int | bool | bytes | tuple[str, ...]) -> str:  # noqa: FBT001 - no switch
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return json.dumps(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


@cache
def _readers(kind: type[Record]) -> tuple[tuple[str, Callable[[str], Any], Any], ...]:
    return tuple(
        (field.name, _READ[field.type], None if field.default is MISSING else field.default)
        for field in fields(kind)
    )
