"""The audit log: a line of JSON an event on the logger `latchgate.audit`, and each person's list.

An event names people, clients and grants; it never holds a secret.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Literal

from starlette.requests import Request

from auth.client_address import client_address
from auth.models import Event, Grant
from auth.server import AuthorizationServer
from telemetry.correlation import correlation_id

Kind = Literal[
    "sign_in_succeeded",
    "sign_in_failed",
    "sign_in_throttled",
    "signed_out",
    "signed_out_everywhere",
    "password_changed",
    "consent_given",
    "consent_remembered",
    "consent_denied",
    "code_replayed",
    "token_issued",
    "token_refreshed",
    "token_revoked",
    "refresh_token_reused",
    "grant_revoked",
    "grant_narrowed",
    "client_registered",
    "client_authentication_failed",
]

# What happens by itself, hour after hour, would push out what a person wants to see.
_NOT_REMEMBERED: frozenset[Kind] = frozenset({"token_issued", "token_refreshed"})

# Events that are counted as well, by kind and event.
_TOKENS: Mapping[Kind, tuple[str, str]] = {
    "consent_given": ("code", "issued"),
    "consent_remembered": ("code", "issued"),
    "code_replayed": ("code", "replayed"),
    "token_issued": ("access_token", "issued"),
    "token_revoked": ("access_token", "revoked"),
    "token_refreshed": ("refresh_token", "rotated"),
    "refresh_token_reused": ("refresh_token", "replayed"),
    "grant_revoked": ("grant", "revoked"),
    "grant_narrowed": ("grant", "narrowed"),
}
_SIGN_INS: Mapping[Kind, str] = {
    "sign_in_succeeded": "succeeded",
    "sign_in_failed": "failed",
    "sign_in_throttled": "throttled",
}

_MAX_TEXT = 256
_MEMBERS = tuple(field.name for field in fields(Event))

logger = logging.getLogger("latchgate.audit")


async def record(
    server: AuthorizationServer,
    request: Request,
    kind: Kind,
    *,
    subject: str | None = None,
    client_id: str | None = None,
    grant: Grant | None = None,
    reason: str | None = None,
) -> None:
    """Write an event down, count it, and remember it for the person whom it concerns."""
    event = Event(
        at=server.now(),
        kind=kind,
        subject=grant.subject if grant else subject,
        client_id=_cut(grant.client_id if grant else client_id),
        grant_id=grant.grant_id if grant else None,
        address=client_address(server, request),
        correlation_id=correlation_id(request.scope),
        reason=_cut(reason),
    )
    members = ((name, getattr(event, name)) for name in _MEMBERS)
    logger.info(json.dumps({name: value for name, value in members if value is not None}))
    if kind in _TOKENS:
        server.metrics.tokens.add(*_TOKENS[kind])
    if kind in _SIGN_INS:
        server.metrics.sign_ins.add(_SIGN_INS[kind])
    if event.subject is not None and kind not in _NOT_REMEMBERED:
        await server.store.add_event(event)


def _cut(text: str | None) -> str | None:
    """A value that a stranger chose, short enough that a flood of them fills no disk."""
    return text if text is None or len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
