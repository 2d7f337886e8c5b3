"""The client credentials grant (OAuth 2.1 §4.2; MCP extension "OAuth Client Credentials")."""

from math import ceil

from starlette.requests import Request

from auth import audit, tokens
from auth.errors import InvalidClient, InvalidScope
from auth.http import Form, Parameters, parse
from auth.issuing import TokenResponse, new_access_token
from auth.models import CLIENT_SUBJECT, Client, Grant
from auth.resources import check_resource, resource_of
from auth.server import AuthorizationServer


class ClientCredentialsRequest(Parameters):
    """OAuth 2.1 §4.2.1."""

    scope: str | None = None


async def exchange(
    server: AuthorizationServer, request: Request, client: Client, form: Form
) -> TokenResponse:
    """Give a client a token of its own: within its scope, for nobody, never refreshed.

    Only the operator's file registers clients for this grant, and only such that authenticate.
    """
    asked = parse(ClientCredentialsRequest, form)
    resource = resource_of(server.settings, server.origin(request))
    check_resource(form.resources, resource)
    scopes = server.scopes.requested(asked.scope, client)
    if not scopes:
        raise InvalidScope("the client may have none of these scopes")
    # No code that could be replayed leads here: the family is a fresh one with a single member.
    handle = tokens.random_handle()
    now = server.now()
    ends_at = ceil(server.clock() + server.settings.access_token_ttl)
    grant = Grant(
        grant_id=tokens.grant_id_of(handle),
        # Apart from people: a client must never look like one (RFC 9700 §4.15).
        subject=CLIENT_SUBJECT + client.client_id,
        client_id=client.client_id,
        client_name=client.client_name,
        redirect_uri="",
        resource=resource,
        scopes=scopes,
        created_at=now,
        expires_at=ends_at,
        ends_at=ends_at,
        generation=1,
        rotated_at=now,
    )
    secret, access_token = new_access_token(server, grant, handle, grant.generation, scopes)
    if not await server.store.add_grant(grant, access_token):
        raise InvalidClient("the client was shut out")
    await audit.record(server, request, "token_issued", grant=grant)
    return TokenResponse(secret, int(access_token.expires_at - server.clock()), scopes)
