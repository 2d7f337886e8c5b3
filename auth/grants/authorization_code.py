"""The authorization code grant (OAuth 2.1 §4.1.3)."""

from starlette.requests import Request

from auth import audit, pkce, tokens
from auth.credentials import digest
from auth.errors import InvalidGrant
from auth.http import Form, Parameters, parse
from auth.issuing import TokenResponse, expiry_after, new_access_token, token_response
from auth.models import Client, Code, Consumption
from auth.resources import check_resource
from auth.server import AuthorizationServer

_REFUSED = (
    "the code is not valid: it is unknown, expired or used, or was given to another client, "
    "redirect URI or code_challenge; start again at the authorization endpoint"
)


class AuthorizationCodeRequest(Parameters):
    """OAuth 2.1 §4.1.3; `redirect_uri` is OAuth 2.0's (§10.2): checked when it is sent."""

    code: str
    code_verifier: str
    redirect_uri: str | None = None


async def exchange(
    server: AuthorizationServer, request: Request, client: Client, form: Form
) -> TokenResponse:
    """Exchange a code for tokens: prove that it is yours, then spend it."""
    asked = parse(AuthorizationCodeRequest, form)
    found = await server.store.find_code(digest(asked.code), server.now())
    if found is None or not _is_for(found[0], asked, client):
        raise InvalidGrant(_REFUSED)
    code, grant = found
    check_resource(form.resources, grant.resource)
    handle = tokens.find_handle(server.keys, asked.code, grant.grant_id)
    if handle is None:
        raise InvalidGrant(_REFUSED)
    secret, access_token = new_access_token(server, grant, handle, 1, grant.scopes)
    expires_at = expiry_after(server, client, grant, access_token)
    outcome = await server.store.consume_code(code.digest, access_token, expires_at, server.now())
    if outcome is Consumption.REPLAYED:
        # Used twice by somebody who could prove it was theirs, so one of the two was a thief:
        # neither keeps a token (OAuth 2.1 §4.1.3). Without that proof nobody can be cut off.
        await audit.record(server, request, "code_replayed", grant=grant)
    if outcome is not Consumption.CONSUMED:
        raise InvalidGrant(_REFUSED)
    await audit.record(server, request, "token_issued", grant=grant)
    refresh = tokens.refresh_token(server.keys, handle, 1)
    return token_response(server, client, secret, access_token, refresh)


def _is_for(code: Code, asked: AuthorizationCodeRequest, client: Client) -> bool:
    """Possession, proved before anything is spent: a stolen code can neither be used nor burnt."""
    return (
        code.client_id == client.client_id
        and asked.redirect_uri in {None, code.redirect_uri}
        and pkce.matches(asked.code_verifier, code.code_challenge)
    )
