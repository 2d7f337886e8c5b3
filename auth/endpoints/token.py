"""The token endpoint (OAuth 2.1 §3.2)."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.client_address import client_network
from auth.client_authentication import authenticate_client
from auth.errors import InvalidGrant, InvalidRequest, UnauthorizedClient, UnsupportedGrantType
from auth.grants import GRANTS
from auth.http import NO_STORE, read_form
from auth.server import AuthorizationServer
from auth.tracing import note


async def token(server: AuthorizationServer, request: Request) -> Response:
    """Exchange a grant for tokens; which grant is the form's `grant_type`."""
    form = await read_form(request)
    client = await authenticate_client(server, request, form)
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise InvalidRequest("the parameter grant_type is missing")
    exchange = GRANTS.get(grant_type)
    if exchange is None:
        raise UnsupportedGrantType("grant_type must be one of " + ", ".join(GRANTS))
    note("oauth.grant_type", grant_type)
    if grant_type not in client.grant_types:
        raise UnauthorizedClient("the client is not registered for this grant_type")
    # By what is presented as well, so that a client which tries the same dead token again and again
    # is told to stop, and not everybody who shares its address (hosted clients) or its client_id.
    presented = form.get("code") or form.get("refresh_token") or ""
    failures = (client.client_id, presented, client_network(server, request))
    await server.limits.token_limit.check(*failures)
    try:
        answer = await exchange(server, request, client, form)
    except InvalidGrant:
        await server.limits.token_limit.note(*failures)
        raise
    return JSONResponse(answer.members(), headers=NO_STORE)
