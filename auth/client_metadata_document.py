"""What a client metadata document may say, and the client that it describes (CIMD §4, §6)."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from auth.json_documents import InvalidJson, read_json
from auth.jwks import InvalidJwks, read_jwks
from auth.models import Client, Identity
from auth.redirect_uris import check_redirect_uri
from auth.safe_fetch import DocumentInvalid, DocumentMethodUnknown
from auth.self_description import kept_link, kept_name
from auth.uris import InvalidUri, check_web_uri

GRANT_TYPES = ("authorization_code", "refresh_token")

_SECRETS = ("client_secret", "client_secret_expires_at")
_SHARED_SECRET_METHODS: Final = frozenset(
    {"client_secret_basic", "client_secret_post", "client_secret_jwt"}
)
# In the order in which we choose. A client that names both authenticates or not, as it likes: to
# insist on its keys would shut out those that read our metadata as offering `none`.
_METHODS = ("none", "private_key_jwt")


class ClientMetadataDocument(BaseModel):
    """The members that we go by, in the types of RFC 7591 §2; every other member is ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    client_id: str
    client_name: str
    redirect_uris: list[str]
    token_endpoint_auth_method: str | None = None
    token_endpoint_auth_methods_supported: list[str] | None = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
    scope: str | None = None
    client_uri: Any = None
    logo_uri: Any = None
    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None


def read_client_metadata_document(content: bytes, client_id: str) -> Client:
    """The client that this document describes; raises DocumentInvalid.

    `client_id` is the URL it was fetched from, and must stand in it byte for byte.
    """
    document = _read_shape(content)
    if document.client_id != client_id:
        raise DocumentInvalid("its client_id is not the URL it was fetched from")
    method = _choose_auth_method(document)
    client_name = kept_name(document.client_name)
    if not client_name:
        raise DocumentInvalid("its client_name is empty")
    _check_redirect_uris(document, is_public=method == "none")
    jwks, jwks_uri = _choose_keys(document, method)
    return Client(
        client_id=client_id,
        client_name=client_name,
        redirect_uris=tuple(document.redirect_uris),
        identity=Identity.METADATA_DOCUMENT,
        token_endpoint_auth_method=method,
        grant_types=_choose_grant_types(document),
        scope=document.scope or None,
        client_uri=kept_link(document.client_uri),
        logo_uri=kept_link(document.logo_uri),
        jwks=jwks,
        jwks_uri=jwks_uri,
    )


def _read_shape(content: bytes) -> ClientMetadataDocument:
    try:
        members = read_json(content)
    except InvalidJson as error:
        raise DocumentInvalid(str(error)) from error
    if not isinstance(members, dict):
        raise DocumentInvalid("it is not a JSON object")
    for name in _SECRETS:
        if name in members:
            raise DocumentInvalid(f"it must not have {name}: everybody can read it")
    try:
        return ClientMetadataDocument.model_validate(members)
    except ValidationError as error:
        member = error.errors()[0]["loc"][0]
        raise DocumentInvalid(f"its {member} is missing or of the wrong type") from error


def _choose_auth_method(document: ClientMetadataDocument) -> str:
    """How the client authenticates (CIMD §6): what it says, of that the first that we know."""
    said, among = (
        document.token_endpoint_auth_method,
        document.token_endpoint_auth_methods_supported,
    )
    if said is not None and among is not None and said not in among:
        raise DocumentInvalid("its token_endpoint_auth_method is not among those it supports")
    declared = [said] if said is not None else among
    if not _SHARED_SECRET_METHODS.isdisjoint([*(declared or ()), *(among or ())]):
        raise DocumentInvalid("it must not declare authentication by a secret")
    if declared is None:
        return "none"
    for method in _METHODS:
        if method in declared:
            return method
    raise DocumentMethodUnknown(
        f"it must declare {' or '.join(_METHODS)} as its authentication method"
    )


def _choose_keys(document: ClientMetadataDocument, method: str) -> tuple[str | None, str | None]:
    """The keys, and where they are kept: one of the two, or none if it needs none."""
    if document.jwks is not None and document.jwks_uri:
        raise DocumentInvalid("it must not have both jwks and jwks_uri")
    needs_keys = method == "private_key_jwt"
    if needs_keys and document.jwks is None and not document.jwks_uri:
        raise DocumentInvalid("it must have jwks or jwks_uri for private_key_jwt")
    try:
        if document.jwks is not None:
            return read_jwks(document.jwks), None
        if document.jwks_uri:
            check_web_uri(document.jwks_uri)
            return None, document.jwks_uri
    except InvalidJwks as error:
        raise DocumentInvalid(f"its jwks {error}") from error
    except InvalidUri as invalid:
        if needs_keys:
            raise DocumentInvalid(f"its jwks_uri {invalid}") from invalid
    return None, None


def _choose_grant_types(document: ClientMetadataDocument) -> tuple[str, ...]:
    """Both of ours when it names none: all MCP clients refresh, and many leave this out."""
    if document.response_types and "code" not in document.response_types:
        raise DocumentInvalid("its response_types must include code")
    grant_types = tuple(
        name for name in GRANT_TYPES if name in (document.grant_types or GRANT_TYPES)
    )
    if "authorization_code" not in grant_types:
        raise DocumentInvalid("its grant_types must include authorization_code")
    return grant_types


def _check_redirect_uris(document: ClientMetadataDocument, *, is_public: bool) -> None:
    if not document.redirect_uris:
        raise DocumentInvalid("its redirect_uris are empty")
    for index, uri in enumerate(document.redirect_uris):
        reason = check_redirect_uri(uri, is_public=is_public)
        if reason is not None:
            raise DocumentInvalid(f"its redirect_uris[{index}] {reason}")
