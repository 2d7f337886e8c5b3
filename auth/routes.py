"""The table of paths that the authorization server serves."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.endpoints.activity import activity
from auth.endpoints.authorization import authorize
from auth.endpoints.connections import post_connections, show_connections
from auth.endpoints.consent import consent
from auth.endpoints.home import home
from auth.endpoints.introspection import introspect
from auth.endpoints.metadata import metadata
from auth.endpoints.openapi import OPENAPI_PATH, Description, openapi
from auth.endpoints.password import post_password, show_password
from auth.endpoints.registration import register
from auth.endpoints.revocation import revoke
from auth.endpoints.sign_in import post_sign_in, show_sign_in, sign_out
from auth.endpoints.token import token
from auth.pages import logo, stylesheet
from auth.server import AuthorizationServer
from auth.tracing import traced
from origins import AUTHORIZATION_SERVER_PATH

Endpoint = Callable[..., Awaitable[Response]]

CROSS_ORIGIN_PATHS = frozenset(
    {
        AUTHORIZATION_SERVER_PATH,
        OPENAPI_PATH,
        "/oauth/register",
        "/oauth/token",
        "/oauth/revoke",
    }
)
"""What browser clients call (OAuth 2.1 §3.2); never the pages, never introspection."""


def routes(server: AuthorizationServer) -> list[Route]:
    """Every path of this half; an endpoint is a function, bound here to its server.

    What is a step of OAuth has a span of its own.
    """
    get, post = ["GET"], ["POST"]

    def route(path: str, endpoint: Endpoint, methods: list[str], first: Any = server) -> Route:
        return Route(path, partial(endpoint, first), methods=methods)

    def step(name: str, path: str, endpoint: Endpoint, methods: list[str]) -> Route:
        return Route(path, traced(name, partial(endpoint, server)), methods=methods)

    is_open = server.settings.registration == "on"
    registering = [step("register", "/oauth/register", register, post)] if is_open else []

    # Paths are tried from the top: first what is asked for most.
    table = [
        step("token", "/oauth/token", token, post),
        step("introspect", "/oauth/introspect", introspect, post),
        step("authorize", "/oauth/authorize", authorize, ["GET", "POST"]),
        *registering,
        step("revoke", "/oauth/revoke", revoke, post),
        route(AUTHORIZATION_SERVER_PATH, metadata, get),
        route("/oauth/sign-in", show_sign_in, get),
        step("sign_in", "/oauth/sign-in", post_sign_in, post),
        route("/oauth/sign-out", sign_out, post),
        step("consent", "/oauth/consent", consent, post),
        route("/oauth/connections", show_connections, get),
        route("/oauth/connections", post_connections, post),
        route("/oauth/activity", activity, get),
        route("/oauth/password", show_password, get),
        route("/oauth/password", post_password, post),
        route("/", home, get),
        route(server.pages.stylesheet_path, stylesheet, get, server.pages),
        route(server.pages.logo_path, logo, get, server.pages),
        *(Route(path, partial(probe, server)) for path in ("/healthz", "/readyz")),
    ]
    table.append(route(OPENAPI_PATH, openapi, get, Description(table)))
    return table


async def probe(server: AuthorizationServer, request: Request) -> Response:
    """Liveness, and readiness: the store answers (StoreUnavailable becomes 503)."""
    if request.scope["path"] == "/readyz":
        await server.store.check()
    return Response("ok\n", media_type="text/plain")
