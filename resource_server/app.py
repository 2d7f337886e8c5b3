"""The protected resource as an application of its own: `uvicorn resource_server.app:app`.

Split deployment: the tokens are another server's, LATCHGATE_AUTHORIZATION_SERVER.
"""

import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cors import CrossOrigin, sharing_headers
from host_guard import HostGuard
from request_limits import RequestLimits
from resource_server.discovery import new_http_client
from resource_server.loading import load_mcp_server
from resource_server.metadata import METADATA_PATHS, Description, metadata
from resource_server.people import ClaimedPeople
from resource_server.protected_resource import PATHS, ProtectedResource, is_stateless
from resource_server.refusals import Refusals
from resource_server.stream_limits import StreamLimits
from resource_server.verifiers import IntrospectionVerifier, JwtVerifier, VerifierUnavailable
from settings import Settings
from startup import PlainStart, before_shutdown, start
from telemetry.correlation import correlation_id
from telemetry.metrics import Metrics, Reading, Tally
from telemetry.requests import ObserveRequests
from telemetry.scraping import PortTaken, metrics_port, metrics_routes

CORS_PATHS = (*METADATA_PATHS, *PATHS)
"""What a client in a browser asks of a protected resource."""

_NOT_SERVED = {
    404: ("not_found", "nothing is served here"),
    405: ("invalid_request", "this method is not served here"),
}

logger = logging.getLogger("latchgate")

Verifier = IntrospectionVerifier | JwtVerifier


class IncompleteSettings(ValueError):
    """A setting that this application cannot do without is missing."""


def create_app(
    settings: Settings,
    clock: Callable[[], float] = time.time,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> ASGIApp:
    """The protected resource alone; `transport` leads to the authorization server."""
    http = new_http_client(transport)
    issuer, verify = _verifier(settings, http, clock)
    origins = settings.origins
    metrics = Metrics()
    calls = Tally("latchgate_calls", "Calls with a good token.")

    async def count_calls() -> int:
        return calls.counts[()]

    metrics.readings.append(Reading("counter", calls.name, calls.documentation, count_calls))
    resource = ProtectedResource(
        load_mcp_server(settings.mcp_server, ClaimedPeople()),
        verify,
        origins,
        settings.required_scopes,
        browser_origins=settings.browser_origins,
        note_use=lambda _token: calls.add(),
        metrics=metrics,
        is_stateless=is_stateless(settings),
        is_hiding=settings.mcp_lists == "usable",
        clock=clock,
        refusals=Refusals(clock),
        streams=StreamLimits(settings.streams_per_person, settings.streams),
    )
    description = Description(origins, settings.required_scopes, settings.name, (issuer,))

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with http, resource.run(), metrics_port(settings, metrics):
            with before_shutdown(resource.close_streams):
                yield

    paths = [
        *resource.routes,
        *(Route(path, partial(metadata, description)) for path in METADATA_PATHS),
        Route("/", partial(signpost, description)),
        Route("/healthz", healthz),
        Route("/readyz", partial(readyz, verify)),
        *metrics_routes(settings, metrics),
    ]
    app = Starlette(
        routes=paths,
        exception_handlers=_HANDLERS,
        middleware=[
            Middleware(PlainStart, PortTaken),
            Middleware(ObserveRequests, metrics, paths),
            Middleware(HostGuard, origins),
            Middleware(CrossOrigin, CORS_PATHS),
            Middleware(RequestLimits, settings.body_timeout),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def _verifier(
    settings: Settings, http: httpx2.AsyncClient, clock: Callable[[], float]
) -> tuple[str, Verifier]:
    """Whose tokens we take and how they are verified; IncompleteSettings if we are not told."""
    issuer = settings.authorization_server
    if issuer is None:
        raise IncompleteSettings(
            "LATCHGATE_AUTHORIZATION_SERVER is not set: which server's tokens shall be taken? "
            "(Both halves in one process need no setting: uvicorn combined_app:app)"
        )
    if settings.token_verification == "jwks":
        return issuer, JwtVerifier(http, issuer, settings.origins, clock)
    client_id, secret = settings.introspection_client_id, settings.introspection_client_secret
    if not client_id or secret is None:
        raise IncompleteSettings(
            "LATCHGATE_INTROSPECTION_CLIENT_ID and LATCHGATE_INTROSPECTION_CLIENT_SECRET are not "
            "set: introspection needs them (or set LATCHGATE_TOKEN_VERIFICATION=jwks)"
        )
    credentials = client_id, secret.get_secret_value()
    return issuer, IntrospectionVerifier(http, issuer, credentials, settings.origins, clock)


async def signpost(description: Description, request: Request) -> Response:
    """What somebody is told who opens this server in a browser."""
    origin = description.origins.select(request.headers.get("host", ""))
    if origin is None:
        return Response(status_code=421)
    (issuer,) = description.authorization_servers
    return PlainTextResponse(
        f"The MCP server is at {origin.resource}. Its access tokens come from {issuer}.\n"
    )


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def readyz(verify: Verifier, request: Request) -> Response:
    """Tokens can be verified: the authorization server answers, and takes us for who we are."""
    try:
        await verify.ready()
    except VerifierUnavailable as error:
        logger.warning("not ready: %s", error)
        headers = {"Retry-After": str(error.retry_after)}
        code, description = "temporarily_unavailable", "tokens cannot be verified at the moment"
        return _refused(request, 503, code, description, headers)
    return PlainTextResponse("ok\n")


async def http_exception(request: Request, error: HTTPException) -> Response:
    """What is refused is said in JSON, as the authorization server says it to programs."""
    told = "invalid_request", "the request is not right"
    code, description = _NOT_SERVED.get(error.status_code, told)
    return _refused(request, error.status_code, code, description, error.headers)


def _refused(
    request: Request, status: int, code: str, description: str, headers: Mapping[str, str] | None
) -> Response:
    named = {"correlation_id": correlation_id(request.scope)}
    body = {"error": code, "error_description": description} | named
    return JSONResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})


async def failed(request: Request, _error: Exception) -> Response:
    """A mistake of ours; Starlette answers it outside of all middleware, and raises it again."""
    headers = sharing_headers(request.scope)
    return _refused(request, 500, "server_error", "something went wrong here", headers)


_HANDLERS: Mapping[Any, Any] = {HTTPException: http_exception, Exception: failed}


def __getattr__(name: str) -> ASGIApp:
    """`app`, made when uvicorn asks for it: what is missing is then said without a traceback."""
    if name == "app":
        return start(create_app, keeps_state=False)
    raise AttributeError(name)
