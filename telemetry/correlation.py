"""Correlation ids: one name for a request, in its answer, its log lines and the audit log."""

import re
from contextvars import ContextVar
from random import getrandbits

from starlette.types import Scope

HEADER = b"x-request-id"

_KEY = "latchgate.correlation_id"
# What may stand in a header, in a line of the log and in a search for it, unquoted.
_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

current_request: ContextVar[Scope | None] = ContextVar("latchgate_request", default=None)
"""The request that the running task answers."""


def correlation_id(scope: Scope) -> str:
    """The name of a request: what its caller or a proxy calls it, else one drawn when first asked.

    Callers choose freely, so that nothing but finding lines may depend on it.
    """
    name: str | None = scope.get(_KEY)
    if name is None:
        name = scope[_KEY] = _given(scope) or f"{getrandbits(64):016x}"
    return name


def current_correlation_id() -> str | None:
    """The name of the request that the running task answers, None outside of any."""
    scope = current_request.get()
    return None if scope is None else correlation_id(scope)


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            return value.decode() if _SANE.fullmatch(value) else None
    return None
