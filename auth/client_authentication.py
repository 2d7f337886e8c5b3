"""Client authentication (OAuth 2.1 §2.4): one method a request, and the one that was registered."""

import re
from base64 import b64decode
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from auth import audit
from auth.client_address import client_network
from auth.client_assertion import unverified_issuer, verify_client_assertion
from auth.client_id_metadata import DocumentInvalid, DocumentMethodUnknown, DocumentUnreachable
from auth.clients import MAX_CLIENT_ID, find_client, has_secret
from auth.errors import InvalidClient, InvalidRequest, TemporarilyUnavailable, UnauthorizedClient
from auth.http import Form
from auth.models import Client, Identity
from auth.server import AuthorizationServer

EITHER_WAY = "client_secret"
"""Not a method on the wire: a secret of which nobody said how it will come."""

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# One wording for every kind of no: which part was wrong is nobody's business (and client ids of
# metadata documents or pre-registered clients could be guessed).
_REFUSED = "the client is unknown or its authentication failed; register again if it worked before"

_MALFORMED_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request presents: a client_id and how it claims to be that client."""

    client_id: str
    method: str
    secret: str = ""


async def authenticate_client(server: AuthorizationServer, request: Request, form: Form) -> Client:
    """The client that sent this request.

    Raises InvalidClient, InvalidRequest (two methods), UnauthorizedClient (a method that is not
    known here), TemporarilyUnavailable (its document cannot be fetched) and TooManyRequests.
    Wrong secrets are limited for each client and address (OAuth 2.1 §2.4.1): who guesses cannot
    shut out the client itself.
    """
    credentials = read_credentials(request, form)
    if credentials.method == "none":
        return await _authenticate(server, request, credentials)
    limit = server.limits.client_authentication_limit
    failures = (credentials.client_id, client_network(server, request))
    await limit.check(*failures)
    try:
        return await _authenticate(server, request, credentials)
    except InvalidClient:
        await limit.note(*failures)
        client_id = credentials.client_id
        await audit.record(server, request, "client_authentication_failed", client_id=client_id)
        raise


async def _authenticate(
    server: AuthorizationServer, request: Request, credentials: Credentials
) -> Client:
    challenge = credentials.method == "client_secret_basic"
    try:
        client = await find_client(server, credentials.client_id, client_network(server, request))
    except DocumentUnreachable as error:
        raise TemporarilyUnavailable(
            "the client's metadata document cannot be fetched at the moment", retry_after=30
        ) from error
    except DocumentMethodUnknown as error:
        raise UnauthorizedClient("the client authenticates in no way that is known here") from error
    except DocumentInvalid as error:
        raise InvalidClient("the client's metadata document is not valid") from error
    if client is None or not _is_method(client, credentials):
        raise InvalidClient(_REFUSED, challenge=challenge)
    if credentials.method == "private_key_jwt":
        await _verify_assertion(server, request, client, credentials.secret)
    elif client.is_confidential and not has_secret(server.keys, client, credentials.secret):
        raise InvalidClient(_REFUSED, challenge=challenge)
    return client


def _is_method(client: Client, credentials: Credentials) -> bool:
    """Whether this is how the client said it would authenticate.

    A secret may come either way if the client did not say how, a metadata document may offer both
    nothing and a key (ChatGPT's does), and who has no secret may say so by Basic (RFC 6749 §2.3.1).
    """
    registered, method = client.token_endpoint_auth_method, credentials.method
    if registered == EITHER_WAY:
        return method in {"client_secret_basic", "client_secret_post"}
    if registered == "none" and method == "private_key_jwt":
        return bool(client.jwks or client.jwks_uri)
    if registered == "none" and method == "client_secret_basic":
        return not credentials.secret
    return method == registered


async def _verify_assertion(
    server: AuthorizationServer, request: Request, client: Client, assertion: str
) -> None:
    if client.identity is not Identity.PREREGISTERED:
        # Good ones too: checking costs, and each that counted is remembered until it expires.
        await server.limits.client_assertion_limit.take(client_network(server, request))
    origin = server.origin(request)
    await verify_client_assertion(
        assertion,
        client=client,
        issuer=origin.issuer,
        token_endpoint=f"{origin.url}/oauth/token",
        store=server.store,
        now=server.now(),
        fetch_jwks=server.fetch_jwks,
    )


def read_credentials(request: Request, form: Form) -> Credentials:
    """Which client a request says it is from, and by which single method (OAuth 2.1 §2.4)."""
    headers = request.headers.getlist("authorization")
    client_id, secret = form.get("client_id"), form.get("client_secret")
    assertion = form.get("client_assertion")
    if sum((bool(headers), secret is not None, assertion is not None)) > 1:
        raise InvalidRequest("authenticate the client by one method, not by several")
    if headers:
        credentials = _read_basic(headers)
        if client_id not in {None, credentials.client_id}:
            raise InvalidRequest("client_id in the body is not the one in the Authorization header")
        return credentials
    if assertion is not None:
        return _read_assertion(form, assertion)
    if form.get("client_assertion_type") is not None:
        raise InvalidClient("client_assertion is missing")
    if client_id is None or len(client_id) > MAX_CLIENT_ID:
        raise InvalidClient("name the client: client_id is missing")
    if secret is not None:
        return Credentials(client_id, "client_secret_post", secret)
    return Credentials(client_id, "none")


def _read_assertion(form: Form, assertion: str) -> Credentials:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidClient(f"client_assertion_type must be {ASSERTION_TYPE}")
    client_id = form.get("client_id") or unverified_issuer(assertion)
    if client_id is None:
        raise InvalidClient("the client assertion is not a JWT that names its issuer")
    return Credentials(client_id, "private_key_jwt", assertion)


def _read_basic(headers: list[str]) -> Credentials:
    """Credentials of HTTP Basic, form-urlencoded before they were joined (OAuth 2.1 §2.4.1)."""
    refused = InvalidClient("the Authorization header is not well-formed Basic", challenge=True)
    scheme, _, encoded = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "basic":
        raise refused
    try:
        text = b64decode(encoded.strip(" "), validate=True).decode("ascii")
    except ValueError:
        raise refused from None
    client_id, colon, secret = text.partition(":")
    if not (colon and client_id) or _MALFORMED_ESCAPE.search(text):
        raise refused
    try:
        return Credentials(_form_decode(client_id), "client_secret_basic", _form_decode(secret))
    except ValueError:
        raise refused from None


def _form_decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()
