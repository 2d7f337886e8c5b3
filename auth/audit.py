"""The audit log: a line of JSON an event on the logger `latchgate.audit`, and each person's list.

An event names people, clients and grants; it never holds a secret.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Literal, get_args

from starlette.requests import Request

from auth.client_address import client_address
from auth.models import Client, Event, Grant
from auth.server import AuthorizationServer
from telemetry.correlation import correlation_id
from telemetry.logs import AUDIT

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
Command = Literal[
    "account_added",
    "account_disabled",
    "account_enabled",
    "account_removed",
    "password_set",
    "client_banned",
    "client_unbanned",
]
"""What the operator does on the command line."""

# What happens by itself, hour after hour, would push out what a person wants to see; the others
# happen before it is known whom they concern.
_NOT_REMEMBERED: frozenset[Kind] = frozenset(
    {"token_issued", "token_refreshed", "client_registered", "client_authentication_failed"}
)
REMEMBERED: frozenset[Kind] = frozenset(get_args(Kind)) - _NOT_REMEMBERED

SIGN_INS: frozenset[Kind] = frozenset({"sign_in_succeeded"})
FAILED_SIGN_INS: frozenset[Kind] = frozenset({"sign_in_failed", "sign_in_throttled"})
# How many are remembered of each: nobody who fails on purpose pushes out what else happened.
_SHELVES: Sequence[tuple[frozenset[Kind], int]] = (
    (SIGN_INS, 10),
    (FAILED_SIGN_INS, 10),
    (REMEMBERED - SIGN_INS - FAILED_SIGN_INS, 50),
)

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

logger = logging.getLogger(AUDIT)


async def record(
    server: AuthorizationServer,
    request: Request,
    kind: Kind,
    *,
    subject: str | None = None,
    client: Client | None = None,
    client_id: str | None = None,
    grant: Grant | None = None,
    reason: str | None = None,
) -> None:
    """Write an event down, count it, and remember it for the person whom it concerns.

    `client_id` is what somebody said; that of a `client` or `grant` is known to be one.
    """
    known = grant or client
    event = Event(
        at=server.now(),
        kind=kind,
        subject=grant.subject if grant else subject,
        client_id=known.client_id if known else _cut(client_id),
        grant_id=grant.grant_id if grant else None,
        address=client_address(server, request),
        correlation_id=correlation_id(request.scope),
        reason=_cut(reason),
    )
    _write((name, getattr(event, name)) for name in _MEMBERS)
    if kind in _TOKENS:
        server.metrics.tokens.add(*_TOKENS[kind])
    if kind in _SIGN_INS:
        server.metrics.sign_ins.add(_SIGN_INS[kind])
    if event.subject is not None and kind in REMEMBERED:
        alike, most = next(shelf for shelf in _SHELVES if kind in shelf[0])
        await server.store.add_event(event, alike, most)


def record_command(kind: Command, now: int, **members: str) -> None:
    """Write down what the operator did; `members` say to whom, and why if they said so."""
    told = ((name, _cut(text)) for name, text in members.items() if text)
    _write((("at", now), ("kind", kind), *told))


def _write(members: Iterable[tuple[str, object]]) -> None:
    logger.info(json.dumps({name: value for name, value in members if value is not None}))


def _cut(text: str | None) -> str | None:
    """A value that a stranger chose, short enough that a flood of them fills no disk."""
    return text if text is None or len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
