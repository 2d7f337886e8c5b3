"""One file a grant type, named by its `grant_type` (OAuth 2.1 §4)."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request

from auth.grants import authorization_code, client_credentials, refresh_token
from auth.http import Form
from auth.issuing import TokenResponse
from auth.models import Client
from auth.server import AuthorizationServer

Exchange = Callable[[AuthorizationServer, Request, Client, Form], Awaitable[TokenResponse]]

GRANTS: Mapping[str, Exchange] = {
    "authorization_code": authorization_code.exchange,
    "refresh_token": refresh_token.exchange,
    "client_credentials": client_credentials.exchange,
}
