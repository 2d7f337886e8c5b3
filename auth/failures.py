"""Every error on its way out: JSON to programs, a page to people, one line to the log."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from auth.errors import OAuthError, PageError, TemporarilyUnavailable, TooManyRequests
from auth.http import NO_STORE, accepts_html, error_response
from auth.pages import logo, stylesheet
from auth.pages.setup_snippets import setup_snippets
from auth.resources import resource_of
from auth.server import AuthorizationServer
from auth.store import StoreUnavailable
from cors import sharing_headers
from origins import WELL_KNOWN
from telemetry.correlation import HEADER, correlation_id

RETRY_AFTER = 5

# Endpoints that only programs call, whatever their HTTP library says it accepts.
PROGRAM_PATHS = frozenset({"/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/register"})

# What a program is told where a person would get a page: error code and description.
_FOR_PROGRAMS: Mapping[str, tuple[str, str]] = {
    "missing_client_id": ("invalid_request", "client_id is missing"),
    "unknown_client": ("invalid_client", "the client is unknown here: register again"),
    "invalid_redirect_uri": ("invalid_request", "redirect_uri is not registered for this client"),
    "missing_redirect_uri": ("invalid_request", "redirect_uri is missing"),
    "repeated_parameter": ("invalid_request", "a parameter is repeated"),
    "expired_form": ("invalid_request", "the form is too old: start again"),
    "forged_form": ("invalid_request", "the form was not given to this browser"),
    "other_session": ("invalid_request", "the person signed out or in anew: start again"),
    "spent_form": ("invalid_request", "the form was answered already"),
    "not_found": ("not_found", "nothing is served here"),
    "method_not_allowed": ("invalid_request", "this method is not served here"),
    "misdirected": (
        "misdirected_request",
        "this server has no such name: set LATCHGATE_PUBLIC_URL or LATCHGATE_EXTRA_ORIGINS",
    ),
    "unreachable_document": (
        "temporarily_unavailable",
        "the client's metadata document cannot be fetched at the moment",
    ),
    "invalid_document": ("invalid_client", "the client's metadata document is not valid"),
    "throttled": ("temporarily_unavailable", "too many attempts: wait"),
    "unavailable": ("temporarily_unavailable", "the store cannot be reached: try again"),
    "server_error": ("server_error", "something went wrong here"),
}

_SHOWN = ("client_id", "client_name", "redirect_uri")
"""Details by which whoever asked can tell what went wrong: shortened, and never a secret."""

_KIND_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}

logger = logging.getLogger("latchgate")


def exception_handlers(server: AuthorizationServer) -> dict[Any, Any]:
    """How each type of error is rendered, for Starlette's `exception_handlers`."""

    async def oauth_error(request: Request, error: OAuthError) -> Response:
        _note(server, request, error.error, error.status, error.description)
        if not _is_for_person(request):
            return error_response(error)
        retry_after = error.retry_after if isinstance(error, TemporarilyUnavailable) else None
        kind = "unavailable" if retry_after else ""
        if isinstance(error, TooManyRequests):
            kind = "throttled"
        return _page(
            server,
            request,
            PageError(
                kind or _KIND_OF_STATUS.get(error.status, "invalid_request"),
                error.status,
                description=error.description,
                retry_after=retry_after,
            ),
        )

    async def page_error(request: Request, error: PageError) -> Response:
        return fail(server, request, error)

    async def store_unavailable(request: Request, error: StoreUnavailable) -> Response:
        logger.error("store unavailable: %s", error)
        return fail(server, request, PageError("unavailable", 503, retry_after=RETRY_AFTER))

    async def http_exception(request: Request, error: HTTPException) -> Response:
        kind = _KIND_OF_STATUS.get(error.status_code, "invalid_request")
        response = fail(server, request, PageError(kind, error.status_code))
        response.headers.update(error.headers or {})
        return response

    async def client_disconnect(_request: Request, _error: ClientDisconnect) -> Response:
        # Nobody is there to be told, and nothing of ours went wrong.
        return Response(status_code=400, headers=NO_STORE)

    async def anything_else(request: Request, error: Exception) -> Response:
        logger.error("server error", exc_info=error)
        response = fail(server, request, PageError("server_error", 500))
        # Starlette answers this one outside of all middleware.
        response.headers[HEADER.decode()] = correlation_id(request.scope)
        response.headers.update(sharing_headers(request.scope))
        return response

    return {
        OAuthError: oauth_error,
        PageError: page_error,
        StoreUnavailable: store_unavailable,
        HTTPException: http_exception,
        ClientDisconnect: client_disconnect,
        Exception: anything_else,
    }


def fail(server: AuthorizationServer, request: Request, error: PageError) -> Response:
    """Tell whoever asked: a person on a page, a program in JSON."""
    told = error.details.get("description") or error.details.get("reason")
    shown = {name: str(error.details[name]) for name in _SHOWN if error.details.get(name)}
    # What a client is told is known by its code, what only people are told by its kind.
    name = str(error.details["error"]) if error.kind == "request_error" else error.kind
    _note(server, request, name, error.status, str(told or ""), shown)
    if _is_for_person(request):
        return _page(server, request, error)
    code, description = _FOR_PROGRAMS.get(
        error.kind,
        (
            "invalid_request",
            str(error.details.get("description") or "the request is not right"),
        ),
    )
    if told and told != description:
        description = f"{description}: {told}"
    body = {
        "error": error.details.get("error") or code,
        "error_description": description,
        **shown,
        "correlation_id": correlation_id(request.scope),
    }
    return JSONResponse(body, error.status, NO_STORE | _retry_after(error))


def misdirected(server: AuthorizationServer) -> ASGIApp:
    """What the Host guard answers: 421, and to people the look of its page under any name too."""
    assets = {server.pages.stylesheet_path: stylesheet, server.pages.logo_path: logo}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if asset := assets.get(scope["path"]):
            response = await asset(server.pages, request)
        else:
            response = fail(server, request, PageError("misdirected", 421))
        await response(scope, receive, send)

    return answer


def _page(server: AuthorizationServer, request: Request, error: PageError) -> Response:
    details = dict(error.details)
    context: dict[str, Any] = {name: details.pop(name, None) for name in ("return_url", "again")}
    if error.kind == "unknown_client":
        resource = resource_of(server.settings, server.origin(request))
        context["snippets"] = setup_snippets(server.settings.name, resource)
    return server.pages.render(
        request,
        "error.html",
        error.status,
        headers=_retry_after(error),
        kind=error.kind,
        details=details,
        correlation_id=correlation_id(request.scope),
        **context,
    )


def _is_for_person(request: Request) -> bool:
    path = request.scope["path"]
    return accepts_html(request) and path not in PROGRAM_PATHS and WELL_KNOWN not in path


def _retry_after(error: PageError) -> dict[str, str]:
    seconds = error.details.get("retry_after")
    return {} if seconds is None else {"Retry-After": str(seconds)}


def _note(
    server: AuthorizationServer,
    request: Request,
    error: str,
    status: int,
    description: str,
    shown: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Count a refusal, and log it."""
    server.metrics.refusals.add(error)
    why = f" ({description})" if description else ""
    # %r, since a stranger chose these: neither line breaks nor endless ones get into the log.
    why += "".join(f", {name} {value!r:.256}" for name, value in shown.items())
    logger.info("%s %.256r: %d %s%s", request.method, request.scope["path"], status, error, why)
