"""Dynamic client registration (RFC 7591): nothing is stored, the `client_id` is the record."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth import audit
from auth.client_address import client_network
from auth.client_authentication import EITHER_WAY
from auth.clients import MAX_CLIENT_ID, seal_client, secret_of
from auth.errors import InvalidClientMetadata, InvalidRedirectUri
from auth.http import NO_STORE, read_json_object
from auth.jwks import has_private_keys
from auth.models import Client, Identity
from auth.redirect_uris import check_redirect_uri
from auth.scopes import OFFLINE_ACCESS, is_scope, split
from auth.self_description import kept_link, kept_name
from auth.server import AuthorizationServer

MAX_REDIRECT_URIS = 10
MAX_APPLICATION_TYPE = 100

# What a client may register for. Others that it lists (implicit, device_code …) are left out of
# the answer, which tells it what it got (RFC 7591 §3.2.1).
_GRANT_TYPES = ("authorization_code", "refresh_token")

Absent = BeforeValidator(lambda value: None if value == "" else value)
Text = Annotated[str | None, Absent]
Link = Annotated[str | None, BeforeValidator(kept_link)]


def _application_type(value: object) -> str | None:
    """Whatever it is called, since it decides nothing here."""
    return value[:MAX_APPLICATION_TYPE] or None if isinstance(value, str) else None


class ClientMetadata(BaseModel):
    """RFC 7591 §2; members that are not listed here are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    client_name: Text = None
    redirect_uris: list[str] = Field(default_factory=list)
    token_endpoint_auth_method: Annotated[
        Literal["none", "client_secret_basic", "client_secret_post"] | None, Absent
    ] = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
    scope: Text = None
    client_uri: Link = None
    jwks: Any = None
    jwks_uri: Any = None
    application_type: Annotated[str | None, BeforeValidator(_application_type)] = None
    software_id: Text = None
    software_version: Text = None


async def register(server: AuthorizationServer, request: Request) -> Response:
    """Register a client: 201 with its `client_id` and everything that was registered."""
    await server.limits.registration_limit.take(client_network(server, request))
    metadata = _read(await read_json_object(request))
    client = _client(server, metadata)
    client_id = seal_client(server.keys, client)
    if len(client_id) > MAX_CLIENT_ID:
        raise InvalidClientMetadata("the metadata is too large: register fewer redirect URIs")
    await audit.record(server, request, "client_registered", client_id=client_id)
    return JSONResponse(_answer(server, client_id, client, metadata), 201, NO_STORE)


def _read(members: dict[str, Any]) -> ClientMetadata:
    """The metadata, each member of its type. The error names the member, never its value."""
    try:
        return ClientMetadata.model_validate(
            {name: value for name, value in members.items() if value is not None}
        )
    except ValidationError as error:
        member = error.errors(include_url=False, include_input=False)[0]["loc"][0]
        if member == "redirect_uris":
            raise InvalidRedirectUri("redirect_uris must be a list of strings") from None
        raise InvalidClientMetadata(f"{member} is not valid or not supported") from None


def _client(server: AuthorizationServer, metadata: ClientMetadata) -> Client:
    method = metadata.token_endpoint_auth_method or _default_method(metadata.redirect_uris)
    _check_redirect_uris(metadata.redirect_uris, is_public=method == "none")
    # RFC 7591's default has no refresh_token; nobody wants to sign in every hour.
    grant_types = metadata.grant_types or list(_GRANT_TYPES)
    if "authorization_code" not in grant_types:
        raise InvalidClientMetadata("grant_types must hold authorization_code")
    if "code" not in (metadata.response_types or ["code"]):
        raise InvalidClientMetadata("response_types must hold code")
    if metadata.scope is not None and not is_scope(metadata.scope):
        raise InvalidClientMetadata("scope is not a list of scopes separated by spaces")
    _check_keys(metadata)
    return Client(
        client_id="",
        client_name=kept_name(metadata.client_name or ""),
        redirect_uris=tuple(metadata.redirect_uris),
        identity=Identity.SELF_DECLARED,
        token_endpoint_auth_method=method,
        grant_types=tuple(name for name in _GRANT_TYPES if name in grant_types),
        scope=_scope(server, metadata.scope),
        client_uri=metadata.client_uri,
        registered_at=server.now(),
    )


def _default_method(redirect_uris: list[str]) -> str:
    """For apps behind a private-use scheme none, since none keeps a secret; else a secret.

    RFC 7591 §2's default is Basic, but many libraries that name no method send it in the body.
    """
    is_app = any(not uri.startswith(("https:", "http:")) for uri in redirect_uris)
    return "none" if is_app else EITHER_WAY


def _check_keys(metadata: ClientMetadata) -> None:
    """Keys are of no use here, but what must not be said of them is a mistake (RFC 7591 §2)."""
    if metadata.jwks and metadata.jwks_uri:
        raise InvalidClientMetadata("name jwks or jwks_uri, not both")
    if has_private_keys(metadata.jwks):
        raise InvalidClientMetadata("jwks must not hold private keys: make new ones")


def _scope(server: AuthorizationServer, scope: str | None) -> str | None:
    """What is registered of a scope: the part that exists here."""
    known = {*server.scopes.supported, OFFLINE_ACCESS}
    return " ".join(name for name in split(scope) if name in known) or None


def _check_redirect_uris(uris: list[str], *, is_public: bool) -> None:
    if not 0 < len(uris) <= MAX_REDIRECT_URIS:
        raise InvalidRedirectUri(f"register 1 to {MAX_REDIRECT_URIS} redirect_uris")
    for index, uri in enumerate(uris):
        if reason := check_redirect_uri(uri, is_public=is_public):
            raise InvalidRedirectUri(f"redirect_uris[{index}]: {reason}")


def _answer(
    server: AuthorizationServer, client_id: str, client: Client, metadata: ClientMetadata
) -> dict[str, Any]:
    """The client information response (RFC 7591 §3.2.1)."""
    method = client.token_endpoint_auth_method
    if method == EITHER_WAY:
        method = "client_secret_basic"
    answer: dict[str, Any] = {
        "client_id": client_id,
        "client_id_issued_at": client.registered_at,
        "client_name": client.client_name or None,
        "redirect_uris": list(client.redirect_uris),
        "token_endpoint_auth_method": method,
        "grant_types": list(client.grant_types),
        "response_types": ["code"],
        "scope": client.scope or " ".join(server.scopes.supported),
        "client_uri": client.client_uri,
        "application_type": metadata.application_type,
        "software_id": metadata.software_id,
        "software_version": metadata.software_version,
    }
    if client.is_confidential:
        answer |= {
            "client_secret": secret_of(server.keys, client_id),
            "client_secret_expires_at": 0,
        }
    return {name: value for name, value in answer.items() if value is not None}
