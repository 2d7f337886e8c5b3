"""Refused tokens and calls, in the audit log: from where, with whose token, and why not."""

import json
import logging
from collections.abc import Callable
from typing import Literal

from mcp.server.auth.provider import AccessToken
from starlette.types import Scope

from telemetry.correlation import correlation_id
from telemetry.logs import AUDIT

UNKNOWN = "unknown"
_MAX_TEXT = 256

logger = logging.getLogger(AUDIT)


def peer_address(scope: Scope) -> str:
    """The address of whoever is connected, which may be a proxy."""
    client = scope.get("client")
    return str(client[0]) if client else UNKNOWN


class Refusals:
    """Writes a line for each; `address_of` says from where a request comes."""

    def __init__(
        self, clock: Callable[[], float], address_of: Callable[[Scope], str] = peer_address
    ) -> None:
        self._clock = clock
        self._address_of = address_of

    def note(
        self,
        scope: Scope,
        kind: Literal["token_refused", "scope_denied"],
        reason: str,
        token: AccessToken | None = None,
    ) -> None:
        """This request was refused; a token that nobody knows has no owner to name."""
        event = {
            "at": int(self._clock()),
            "kind": kind,
            "subject": token and token.subject,
            "client_id": token and token.client_id[:_MAX_TEXT],
            "address": self._address_of(scope),
            "correlation_id": correlation_id(scope),
            "reason": reason[:_MAX_TEXT],
        }
        logger.info(json.dumps({name: value for name, value in event.items() if value is not None}))
