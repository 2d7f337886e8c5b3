"""From a refused request to the authorization server: challenge and metadata (RFC 9728, 8414)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from demo.narration import StepFailed
from origins import is_loopback_host

PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
OPENID_CONFIGURATION = "/.well-known/openid-configuration"

_DEFAULT_PORTS = {"https": 443, "http": 80}
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))')
_SCHEME = re.compile(rf"({_WORD})(?:\s+|$)")
_SEPARATOR = re.compile(r"[\s,]*")


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate header (RFC 9110 §11.6.1)."""

    scheme: str
    parameters: dict[str, str]


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge in these header values; several may share one value, commas and all."""
    challenges: list[Challenge] = []
    for header in headers:
        at = 0
        while at < len(header):
            at = _end(_SEPARATOR.match(header, at), at)
            if challenges and (parameter := _PARAMETER.match(header, at)):
                name, quoted, token = parameter.groups()
                value = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                challenges[-1].parameters.setdefault(name.lower(), value)
                at = parameter.end()
            elif scheme := _SCHEME.match(header, at):
                challenges.append(Challenge(scheme[1].lower(), {}))
                at = scheme.end()
            else:
                at = len(header)
    return challenges


def bearer_challenge(headers: Iterable[str]) -> dict[str, str] | None:
    """The parameters of the Bearer challenge (RFC 6750 §3), None if there is none."""
    for challenge in read_challenges(headers):
        if challenge.scheme == "bearer":
            return challenge.parameters
    return None


class ProtectedResourceMetadata(BaseModel):
    """What the resource says of itself (RFC 9728 §2). Strings as they came: they are compared."""

    model_config = ConfigDict(strict=True)

    resource: str
    authorization_servers: list[str] = []
    scopes_supported: list[str] | None = None
    resource_name: str | None = None


class AuthorizationServerMetadata(BaseModel):
    """What the authorization server says of itself (RFC 8414 §2). Defaults as the RFC has them."""

    model_config = ConfigDict(strict=True)

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    response_types_supported: list[str] = ["code"]
    grant_types_supported: list[str] = ["authorization_code", "implicit"]
    scopes_supported: list[str] = []
    code_challenge_methods_supported: list[str] = []
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    revocation_endpoint_auth_methods_supported: list[str] | None = None
    authorization_response_iss_parameter_supported: bool = False
    client_id_metadata_document_supported: bool = False


def protected_resource_metadata_urls(url: str, resource_metadata: str | None = None) -> list[str]:
    """Where the resource's metadata may be, in the order clients ask (RFC 9728 §3.1, §5.1)."""
    origin, path = split_url(url)
    candidates = [resource_metadata] if resource_metadata else []
    if path.strip("/"):
        candidates.append(origin + PROTECTED_RESOURCE + path)
    return list(dict.fromkeys([*candidates, origin + PROTECTED_RESOURCE]))


def authorization_server_metadata_urls(issuer: str) -> list[str]:
    """Where the authorization server's metadata may be, in the order clients ask (RFC 8414 §3)."""
    origin, path = split_url(issuer)
    path = path.rstrip("/")
    candidates = [origin + AUTHORIZATION_SERVER + path, origin + OPENID_CONFIGURATION + path]
    if path:
        candidates.append(origin + path + OPENID_CONFIGURATION)
    return candidates


def read_protected_resource_metadata(
    content: dict[str, Any], url: str
) -> ProtectedResourceMetadata:
    """The metadata if it is about this URL (RFC 9728 §3.3). Raises StepFailed if it is not."""
    metadata = _validated(ProtectedResourceMetadata, content)
    if not covers(metadata.resource, url):
        raise StepFailed(
            f"the metadata is about {metadata.resource}, not about {url}",
            remedy="call the server by the URL it gives itself, or make its public URL this one",
        )
    if not metadata.authorization_servers:
        raise StepFailed(
            "the metadata names no authorization server",
            remedy="the resource must list at least one in authorization_servers (RFC 9728)",
        )
    return metadata


def read_authorization_server_metadata(
    content: dict[str, Any], issuer: str
) -> AuthorizationServerMetadata:
    """The metadata if its issuer is the one we asked, to the byte (RFC 8414 §3.3), and can PKCE.

    Raises StepFailed otherwise: a document of another issuer must not be used.
    """
    if content.get("issuer") != issuer:
        raise StepFailed(
            f"the metadata has the issuer {content.get('issuer')!r}, but {issuer!r} was asked",
            remedy="both must be the same string, to the last slash (RFC 8414 §3.3)",
        )
    metadata = _validated(AuthorizationServerMetadata, content)
    if "S256" not in metadata.code_challenge_methods_supported:
        raise StepFailed(
            "the authorization server does not announce PKCE with S256",
            remedy="its metadata needs code_challenge_methods_supported with S256; "
            "MCP clients must refuse to go on without it",
        )
    if "code" not in metadata.response_types_supported:
        raise StepFailed("the authorization server does not issue authorization codes")
    return metadata


def require_endpoint(name: str, url: str, *, told_by: str) -> str:
    """The URL, if tokens may travel there: https, or loopback told by loopback.

    A remote server must not make us talk to services on this machine.
    """
    parts = _parts(url)
    if not parts.hostname or parts.scheme not in _DEFAULT_PORTS or parts.username is not None:
        raise StepFailed(f"the {name} {url!r} is not a URL that can be asked")
    is_loopback = is_loopback_host(parts.netloc)
    if parts.scheme != "https" and not is_loopback:
        raise StepFailed(
            f"the {name} {url} would send secrets in clear", remedy="it has to be an https URL"
        )
    if is_loopback and told_by and not is_loopback_host(_parts(told_by).netloc):
        raise StepFailed(f"the {name} {url} points to this machine, told by {told_by}")
    if parts.fragment:
        raise StepFailed(f"the {name} {url} must not have a fragment")
    return url


def origin_of(url: str) -> str:
    """Scheme, host and port, in the one spelling that can be compared (RFC 6454 §4)."""
    parts = _parts(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def covers(resource: str, url: str) -> bool:
    """Whether the resource is this URL or a parent of it on the same origin.

    RFC 9728 §3.3 wants the very same string; clients in the field allow a parent, since servers
    that name their origin as the resource are common.
    """
    parent, path = _parts(resource), _parts(url).path.rstrip("/")
    own = parent.path.rstrip("/")
    return (
        not parent.fragment
        and origin_of(resource) == origin_of(url)
        and (path == own or path.startswith(own + "/"))
    )


def split_url(url: str) -> tuple[str, str]:
    """Origin as written, and path."""
    parts = _parts(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError as error:
        raise StepFailed(f"{url!r} is not a URL: {error}") from error
    return parts


def _validated(model: type[Model], content: dict[str, Any]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StepFailed(f"the metadata is not valid at {where}: {first['msg']}") from error


def _end(match: re.Match[str] | None, otherwise: int) -> int:
    return match.end() if match else otherwise
