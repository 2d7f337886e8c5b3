"""The introspection endpoint (RFC 7662)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth import tokens
from auth.client_address import client_network
from auth.client_authentication import authenticate_client
from auth.credentials import digest
from auth.errors import InvalidClient
from auth.http import NO_STORE, Parameters, parse, read_form
from auth.models import Client, Grant
from auth.resources import resource_of
from auth.server import AuthorizationServer

_INACTIVE = {"active": False}
_HOW = "authenticate with client_secret_basic, client_secret_post or private_key_jwt"


class IntrospectionRequest(Parameters):
    """RFC 7662 §2.1. The hint is not needed: a token says by its prefix what it is."""

    token: str


async def introspect(server: AuthorizationServer, request: Request) -> Response:
    """Tell an authenticated caller about a token that is its own, or that is for it.

    Everything else – expired, revoked, foreign, garbage – is `{"active": false}` and no more
    (RFC 7662 §2.2).
    """
    form = await read_form(request)
    try:
        caller = await authenticate_client(server, request, form)
    except InvalidClient as error:
        raise InvalidClient(f"{_HOW}; {error.description}", challenge=True) from error
    if not caller.is_confidential:
        raise InvalidClient(f"{_HOW}; a public client may not introspect", challenge=True)
    token = parse(IntrospectionRequest, form).token
    if _is_resource_server(server, caller):
        # It asks on behalf of everybody, also of those who send it garbage.
        return _answer(await _describe(server, request, caller, token))
    failures = (caller.client_id, client_network(server, request))
    await server.limits.token_lookup_limit.check(*failures)
    members = await _describe(server, request, caller, token)
    if members is None:
        await server.limits.token_lookup_limit.note(*failures)
    return _answer(members)


def _answer(members: dict[str, Any] | None) -> Response:
    return JSONResponse(members or _INACTIVE, headers=NO_STORE)


async def _describe(
    server: AuthorizationServer, request: Request, caller: Client, token: str
) -> dict[str, Any] | None:
    refresh = tokens.read_refresh_token(server.keys, token)
    if refresh and _is_resource_server(server, caller):
        # RFC 7662 §4: whoever is told that it is active may take it for an access token.
        return None
    if refresh:
        grant = await server.store.find_grant(refresh.grant_id, server.now())
        if grant is None or grant.generation != refresh.generation:
            return None
        expires_at, issued_at, scopes = grant.expires_at, grant.rotated_at, grant.scopes
        members: dict[str, Any] = {}
    else:
        found = await server.store.find_access_token(digest(token), server.now())
        if found is None:
            return None
        access_token, grant = found
        expires_at, issued_at = access_token.expires_at, access_token.issued_at
        scopes = tuple(scope for scope in access_token.scopes if scope in grant.scopes)
        members = {"token_type": "Bearer"}
    if not _may_see(server, request, caller, grant):
        return None
    return {
        "active": True,
        "client_id": grant.client_id,
        "sub": grant.subject,
        "scope": " ".join(scopes),
        "exp": expires_at,
        "iat": issued_at,
        "iss": server.origin(request).issuer,
        "aud": grant.resource,
        **members,
        **await _person(server, caller, grant.subject),
    }


def _may_see(server: AuthorizationServer, request: Request, caller: Client, grant: Grant) -> bool:
    """A client sees its own tokens, the resource server those for its resource (RFC 7662 §4)."""
    if _is_resource_server(server, caller):
        return grant.resource == resource_of(server.settings, server.origin(request))
    return grant.client_id == caller.client_id


def _is_resource_server(server: AuthorizationServer, caller: Client) -> bool:
    return caller.client_id == server.settings.introspection_client_id


async def _person(
    server: AuthorizationServer, caller: Client, subject: str
) -> dict[str, str | list[str] | int | None]:
    """What the resource server's tools may know of the person (RFC 7662 §2.2 extension members)."""
    account = await server.store.find_account(subject)
    if account is None:
        return {}
    if not _is_resource_server(server, caller):
        return {"username": account.username}
    return {
        "username": account.username,
        "name": account.name,
        "email": account.email,
        "roles": list(account.roles),
        "auth_time": account.last_sign_in_at,
    }
