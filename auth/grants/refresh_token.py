"""The refresh token grant (OAuth 2.1 §4.3): rotation, a short grace, and no second theft."""

from dataclasses import replace

from starlette.requests import Request

from auth import audit, tokens
from auth.credentials import digest
from auth.errors import InvalidGrant, InvalidScope
from auth.http import Form, Parameters, parse
from auth.issuing import TokenResponse, expiry_after, new_access_token, token_response
from auth.models import Client, Grant, Rotation
from auth.resources import check_resource
from auth.scopes import OFFLINE_ACCESS, split
from auth.server import AuthorizationServer

_REFUSED = (
    "the refresh token is not valid: it is unknown, expired, used or revoked; "
    "start again at the authorization endpoint"
)


class RefreshTokenRequest(Parameters):
    """OAuth 2.1 §4.3."""

    refresh_token: str
    scope: str | None = None


async def exchange(
    server: AuthorizationServer, request: Request, client: Client, form: Form
) -> TokenResponse:
    """Exchange a refresh token for a new access token and its own successor."""
    asked = parse(RefreshTokenRequest, form)
    presented = tokens.read_refresh_token(server.keys, asked.refresh_token)
    if presented is None:
        raise InvalidGrant(_REFUSED)
    grant = await server.store.find_grant(presented.grant_id, server.now())
    if grant is None or grant.client_id != client.client_id:
        raise InvalidGrant(_REFUSED)
    scopes = _narrow(asked.scope, grant)
    check_resource(form.resources, grant.resource)
    generation = presented.generation + 1
    secret, access_token = new_access_token(server, grant, presented.handle, generation, scopes)
    outcome = await server.store.rotate_refresh_token(
        grant.grant_id,
        presented.generation,
        access_token,
        expiry_after(server, client, grant, access_token),
        server.now(),
        # Repeated is the same access token, so for no longer than that lives.
        min(server.settings.refresh_grace, server.settings.access_token_ttl),
        superseded=tokens.superseded(server.keys, presented.handle, generation),
    )
    refresh = tokens.refresh_token(server.keys, presented.handle, generation)
    if outcome is Rotation.ROTATED:
        await audit.record(server, request, "token_refreshed", grant=grant)
        return token_response(server, client, secret, access_token, refresh)
    if outcome is Rotation.REPEATED:
        return await _repeat(server, client, presented.handle, generation, scopes)
    if outcome is Rotation.REPLAYED:
        await audit.record(server, request, "refresh_token_reused", grant=grant)
    raise InvalidGrant(_REFUSED)


async def _repeat(
    server: AuthorizationServer,
    client: Client,
    handle: bytes,
    generation: int,
    scopes: tuple[str, ...],
) -> TokenResponse:
    """Give the answer again whose receiver may not have read it: the same tokens, no new ones."""
    for secret in tokens.access_tokens(server.keys, handle, generation):
        found = await server.store.find_access_token(digest(secret), server.now())
        if found is None:
            continue
        access_token, grant = found
        # The person may have taken some of its scopes away since.
        remaining = tuple(scope for scope in access_token.scopes if scope in grant.scopes)
        if remaining == scopes:
            refresh = tokens.refresh_token(server.keys, handle, generation)
            answer = replace(access_token, scopes=remaining)
            return token_response(server, client, secret, answer, refresh)
    raise InvalidGrant(_REFUSED)


def _narrow(scope: str | None, grant: Grant) -> tuple[str, ...]:
    """The scopes of the new access token: of those asked for, the ones that the grant still holds.

    Clients repeat what they were given, or what they first asked for, though the person may have
    allowed less or taken some back since: that is no reason to end a grant (OAuth 2.1 §4.3.1).
    """
    names = [name for name in split(scope) if name != OFFLINE_ACCESS]
    if not names:
        return grant.scopes
    held = tuple(name for name in grant.scopes if name in names)
    if not held:
        raise InvalidScope("none of the scopes is granted")
    return held
