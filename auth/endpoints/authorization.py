"""The authorization endpoint (OAuth 2.1 §3.1): sign in, consent, and back to the client."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth import audit
from auth.authorization_requests import (
    AuthorizationRequest,
    RedirectionEndpoint,
    authorize_path,
    find_redirection,
    read_authorization_request,
    recognizable,
    redirect,
    refuse,
)
from auth.client_address import client_network
from auth.consents import Consent, choices, find_consent, give_code
from auth.errors import AuthorizationError, PageError
from auth.forms import render_form
from auth.http import NO_STORE, asks_for_json, read_posted_form, read_query
from auth.redirect_uris import redirect_destination
from auth.server import AuthorizationServer
from auth.sessions import SignedIn, find_signed_in


async def authorize(server: AuthorizationServer, request: Request) -> Response:
    """Answer an authorization request with the page that it needs next, or with a code.

    Asking twice changes nothing: only the person's yes, posted from our page, makes a grant. Where
    no page may be shown (`prompt=none`), the client is told which it needs (OIDC Core §3.1.2.6).
    """
    await server.limits.authorization_limit.take(client_network(server, request))
    form = read_query(request) if request.method != "POST" else await read_posted_form(request)
    redirection = await find_redirection(server, request, form)
    signed_in = await find_signed_in(server, request)
    try:
        asked = read_authorization_request(server, request, redirection, form)
        if signed_in is None or asked.wants_sign_in:
            return _ask_to_sign_in(server, request, asked)
        consent = await find_consent(server, signed_in.account, asked)
        if not consent.is_remembered:
            return _ask_for_consent(server, request, signed_in, asked, consent)
        code, grant = await give_code(server, signed_in, asked, asked.scopes)
    except AuthorizationError as error:
        return tell_client(server, redirection, error, signed_in)
    await audit.record(server, request, "consent_remembered", grant=grant)
    return redirect(redirection.url({"code": code}))


def tell_client(
    server: AuthorizationServer,
    redirection: RedirectionEndpoint,
    error: AuthorizationError,
    signed_in: SignedIn | None,
) -> Response:
    """Tell the client what is wrong – through a link while nobody is signed in, or to an app.

    Otherwise anybody could register a client and use us to redirect strangers (OAuth 2.1 §7.12.2),
    or to start a program on the machine of whoever follows a link.
    """
    is_app = redirect_destination(redirection.redirect_uri).kind == "app"
    if signed_in is not None and not is_app:
        return refuse(server, redirection, error)
    raise PageError(
        "request_error",
        return_url=redirection.error_url(error),
        error=error.error,
        description=error.description,
        client_id=recognizable(redirection.client.client_id),
        client_name=redirection.client.client_name,
    )


def _ask_to_sign_in(
    server: AuthorizationServer, request: Request, asked: AuthorizationRequest
) -> Response:
    if asks_for_json(request):
        return _interaction_required(server, request, asked)
    if "none" in asked.prompt:
        raise AuthorizationError("login_required", "nobody is signed in, and prompt is none")
    return render_form(
        server,
        request,
        "sign_in.html",
        parameters=asked.after_sign_in,
        redirect_uri=asked.redirection.redirect_uri,
        client_name=asked.client.client_name,
    )


def _ask_for_consent(
    server: AuthorizationServer,
    request: Request,
    signed_in: SignedIn,
    asked: AuthorizationRequest,
    consent: Consent,
) -> Response:
    if asks_for_json(request):
        return _interaction_required(server, request, asked)
    if "none" in asked.prompt:
        raise AuthorizationError("consent_required", "the person has to be asked: prompt is none")
    redirect_uri = asked.redirection.redirect_uri
    return render_form(
        server,
        request,
        "consent.html",
        signed_in=signed_in,
        parameters=asked.parameters,
        shown=asked.scopes,
        held=tuple(scope for scope in asked.scopes if scope not in consent.new),
        redirect_uri=redirect_uri,
        client=asked.client,
        scopes=choices(server, consent),
        destination=redirect_destination(redirect_uri),
        resource=asked.resource,
        origin=server.origin(request),
        lifetime=server.settings.grant_ttl,
    )


def _interaction_required(
    server: AuthorizationServer, request: Request, asked: AuthorizationRequest
) -> Response:
    """A program asked for JSON: say that a person is needed, and where."""
    parameters = dict(asked.parameters)
    if "none" in asked.prompt:
        del parameters["prompt"]
    body = {
        "error": "interaction_required",
        "error_description": (
            "a person has to sign in and consent: open authorization_url in a browser"
        ),
        "authorization_url": server.origin(request).url + authorize_path(parameters),
    }
    return JSONResponse(body, 400, NO_STORE)
