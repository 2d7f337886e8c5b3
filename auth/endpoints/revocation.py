"""The revocation endpoint (RFC 7009)."""

from starlette.requests import Request
from starlette.responses import Response

from auth import audit, tokens
from auth.client_address import client_network
from auth.client_authentication import authenticate_client
from auth.credentials import digest
from auth.http import NO_STORE, Parameters, parse, read_form
from auth.models import Client, Grant
from auth.server import AuthorizationServer


class RevocationRequest(Parameters):
    """RFC 7009 §2.1. The hint is not needed: a token says by its prefix what it is."""

    token: str


async def revoke(server: AuthorizationServer, request: Request) -> Response:
    """End a token, at once; 200 for one that is unknown or another client's (RFC 7009 §2.2).

    A refresh token, even a spent one, takes its whole family along; an access token only itself.
    """
    form = await read_form(request)
    client = await authenticate_client(server, request, form)
    token = parse(RevocationRequest, form).token
    failures = (client.client_id, client_network(server, request))
    await server.limits.token_lookup_limit.check(*failures)
    if not await _revoke(server, request, client, token):
        await server.limits.token_lookup_limit.note(*failures)
    return Response(status_code=200, headers=NO_STORE)


async def _revoke(
    server: AuthorizationServer, request: Request, client: Client, token: str
) -> bool:
    """End this client's token; False if it has no such token."""
    if refresh := tokens.read_refresh_token(server.keys, token):
        grant = await server.store.find_grant(refresh.grant_id, server.now())
        if not _is_of(grant, client):
            return False
        await server.store.revoke_grant(refresh.grant_id, server.now())
        await audit.record(server, request, "grant_revoked", grant=grant)
        return True
    found = await server.store.find_access_token(digest(token), server.now())
    if found is None or not _is_of(found[1], client):
        return False
    await server.store.revoke_access_token(digest(token))
    await audit.record(server, request, "token_revoked", grant=found[1])
    return True


def _is_of(grant: Grant | None, client: Client) -> bool:
    return grant is not None and grant.client_id == client.client_id
