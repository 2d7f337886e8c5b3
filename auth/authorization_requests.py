"""The authorization request (OAuth 2.1 §4.1.1), read in two steps.

First where an answer may go: whoever holds a `RedirectionEndpoint` has checked `client_id` and
`redirect_uri`; before that the only way out is a page. Then what is asked: each fault from there on
is an `AuthorizationError`, which the client is told by redirect.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from auth import pkce
from auth.client_address import client_network
from auth.client_id_metadata import DocumentInvalid, DocumentUnreachable
from auth.clients import find_client
from auth.errors import AuthorizationError, InvalidTarget, PageError
from auth.http import Form
from auth.models import Client
from auth.redirect_uris import add_query, matches_redirect_uri, near_miss
from auth.resources import check_resource, resource_of
from auth.scopes import is_scope
from auth.server import AuthorizationServer
from auth.tracing import note

AUTHORIZE_PATH = "/oauth/authorize"
MAX_STATE = 4096

logger = logging.getLogger("latchgate")

_SIGN_IN = frozenset({"login", "select_account"})

# What is sealed into the forms while a person decides; the rest of a request is not ours.
_KEPT = (
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "scope",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "ui_locales",
)


@dataclass(frozen=True, slots=True)
class RedirectionEndpoint:
    """Where the answer goes: the client is known and the URI is its own."""

    client: Client
    redirect_uri: str
    state: str | None
    issuer: str

    def url(self, parameters: Mapping[str, str]) -> str:
        """The redirect URI with these parameters, `state` as it came, and `iss` (RFC 9207 §2)."""
        state = {} if self.state is None else {"state": self.state}
        return add_query(self.redirect_uri, {**parameters, **state, "iss": self.issuer})

    def error_url(self, error: AuthorizationError) -> str:
        """The redirect URI with an error answer (OAuth 2.1 §4.1.2.1)."""
        return self.url({"error": error.error, "error_description": error.description})


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be answered with a code, if the person wants it.

    `parameters` are those it came with, to be sealed into a form until the person decides.
    """

    parameters: Mapping[str, str]
    redirection: RedirectionEndpoint
    scopes: tuple[str, ...]
    resource: str
    code_challenge: str
    prompt: frozenset[str]

    @property
    def wants_sign_in(self) -> bool:
        """Whether the person shall sign in, signed in or not: somebody else may sit there."""
        return not self.prompt.isdisjoint(_SIGN_IN)

    @property
    def after_sign_in(self) -> Mapping[str, str]:
        """The parameters without what signing in answers, or it would be asked for ever."""
        kept = " ".join(sorted(self.prompt - _SIGN_IN))
        others = {name: value for name, value in self.parameters.items() if name != "prompt"}
        return others | ({"prompt": kept} if kept else {})

    @property
    def client(self) -> Client:
        """Who asks."""
        return self.redirection.client


def refuse(
    server: AuthorizationServer, redirection: RedirectionEndpoint, error: AuthorizationError
) -> Response:
    """Send the browser to the client with an error answer; count it, and log it."""
    server.metrics.refusals.add(error.error)
    note("error.type", error.error)
    client_id = recognizable(redirection.client.client_id)
    logger.info("told client %r by redirect: %s (%s)", client_id, error.error, error.description)
    return redirect(redirection.error_url(error))


def redirect(url: str) -> Response:
    """Send the browser there by GET, whatever it sent (303: OAuth 2.1 §7.5, never 307)."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    response = RedirectResponse("", 303, headers)
    # Byte for byte: Starlette would quote the URI anew, and clients compare it (OAuth 2.1 §2.3.1).
    response.headers["location"] = url
    return response


def authorize_path(parameters: Mapping[str, str]) -> str:
    """The path and query that resume a request which waited in a form."""
    return f"{AUTHORIZE_PATH}?{urlencode(parameters)}"


def _kept_parameters(form: Form) -> dict[str, str]:
    kept = {name: value for name in _KEPT if (value := form.get(name)) is not None}
    return kept | ({"resource": form.resources[0]} if form.resources else {})


async def find_redirection(
    server: AuthorizationServer, request: Request, form: Form
) -> RedirectionEndpoint:
    """Who asks and where the answer may go (OAuth 2.1 §4.1.2.1).

    Raises PageError, and TooManyRequests if who asks names one unknown document after another.
    """
    if form.repeated & {"client_id", "redirect_uri"}:
        raise PageError("repeated_parameter")
    client_id = form.get("client_id")
    if client_id is None:
        raise PageError("missing_client_id")
    client = await _find_client(server, request, client_id)
    if client is None or "authorization_code" not in client.grant_types:
        raise PageError("unknown_client", client_id=recognizable(client_id))
    redirect_uri = form.get("redirect_uri")
    if redirect_uri is None:
        if len(client.redirect_uris) != 1:
            raise PageError("missing_redirect_uri", client_name=client.client_name)
        redirect_uri = client.redirect_uris[0]
    if not matches_redirect_uri(client.redirect_uris, redirect_uri):
        raise PageError(
            "invalid_redirect_uri",
            client_id=recognizable(client_id),
            client_name=client.client_name,
            # Without its query, which may hold a secret, and with every odd character spelt out.
            redirect_uri=recognizable(ascii(redirect_uri.partition("?")[0])[1:-1], 200),
            reason=near_miss(client.redirect_uris, redirect_uri),
        )
    state = None if "state" in form.repeated else form.get("state")
    issuer = server.origin(request).issuer
    return RedirectionEndpoint(client, redirect_uri, state, issuer)


async def _find_client(
    server: AuthorizationServer, request: Request, client_id: str
) -> Client | None:
    try:
        return await find_client(server, client_id, client_network(server, request))
    except DocumentUnreachable as error:
        raise PageError(
            "unreachable_document",
            503,
            client_id=recognizable(client_id),
            reason=error.reason,
            retry_after=30,
        ) from error
    except DocumentInvalid as error:
        raise PageError(
            "invalid_document",
            client_id=recognizable(client_id),
            reason=error.reason,
            error=error.error,
        ) from error


def recognizable(text: str, length: int = 60) -> str:
    """Enough of a client_id or of a URI for a person to tell which it is."""
    return text if len(text) <= length else text[:length] + "…"


def read_authorization_request(
    server: AuthorizationServer, request: Request, redirection: RedirectionEndpoint, form: Form
) -> AuthorizationRequest:
    """What is asked (OAuth 2.1 §4.1.1, RFC 7636 §4.3, RFC 8707 §2). Raises AuthorizationError."""
    if form.repeated:
        raise AuthorizationError("invalid_request", "a parameter is repeated")
    _check_response(form)
    code_challenge = _read_code_challenge(form)
    if len(redirection.state or "") > MAX_STATE:
        raise AuthorizationError("invalid_request", f"state is longer than {MAX_STATE} characters")
    resource = resource_of(server.settings, server.origin(request))
    try:
        check_resource(form.resources, resource)
    except InvalidTarget as error:
        raise AuthorizationError(error.error, error.description) from error
    return AuthorizationRequest(
        parameters=_kept_parameters(form),
        redirection=redirection,
        scopes=_read_scopes(server, redirection.client, form.get("scope")),
        resource=resource,
        code_challenge=code_challenge,
        prompt=_read_prompt(form.get("prompt")),
    )


def _check_response(form: Form) -> None:
    response_type = form.get("response_type")
    if response_type is None:
        raise AuthorizationError("invalid_request", "response_type is missing")
    if response_type != "code":
        raise AuthorizationError("unsupported_response_type", "response_type must be code")
    if form.get("response_mode") not in {None, "query"}:
        raise AuthorizationError("invalid_request", "response_mode must be query")
    if form.get("request") is not None:
        raise AuthorizationError("request_not_supported", "send the parameters themselves")
    if form.get("request_uri") is not None:
        raise AuthorizationError("request_uri_not_supported", "send the parameters themselves")


def _read_code_challenge(form: Form) -> str:
    code_challenge = form.get("code_challenge")
    if code_challenge is None:
        raise AuthorizationError("invalid_request", "code_challenge is missing: PKCE is required")
    # Absent means plain (RFC 7636 §4.3), which shows the verifier to whoever sees the request.
    if form.get("code_challenge_method") != "S256":
        raise AuthorizationError("invalid_request", "code_challenge_method must be S256")
    if not pkce.is_challenge(code_challenge):
        raise AuthorizationError(
            "invalid_request", "code_challenge is not 43 characters of unpadded base64url"
        )
    return code_challenge


def _read_prompt(prompt: str | None) -> frozenset[str]:
    """OIDC Core §3.1.2.1, of which `login` and `select_account` are one: sign in again."""
    values = frozenset((prompt or "").split())
    if "none" in values and len(values) > 1:
        raise AuthorizationError("invalid_request", "prompt is none and something else")
    return values


def _read_scopes(server: AuthorizationServer, client: Client, scope: str | None) -> tuple[str, ...]:
    if scope is not None and not is_scope(scope):
        raise AuthorizationError("invalid_scope", "scope is not a list of scopes")
    scopes = server.scopes.requested(scope, client)
    if not scopes:
        raise AuthorizationError(
            "invalid_scope", "none of the scopes exists here: see scopes_supported in the metadata"
        )
    return scopes
