"""Protected resource metadata (RFC 9728): which authorization server, and which scopes."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from origins import MCP_PATH, PROTECTED_RESOURCE_PATH, Origin, Origins
from resource_server.challenges import OFFLINE_ACCESS

METADATA_PATHS = (
    PROTECTED_RESOURCE_PATH,
    f"{PROTECTED_RESOURCE_PATH}{MCP_PATH}",
    f"{PROTECTED_RESOURCE_PATH}{MCP_PATH}/",
)
"""Where clients look (RFC 9728 §3.1): the root for those that drop the path, with and without
slash; the answer is the same to the byte."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the metadata says; `authorization_servers` empty means that we are our own."""

    origins: Origins
    scopes: tuple[str, ...]
    name: str
    authorization_servers: tuple[str, ...] = ()


def protected_resource_metadata(
    origin: Origin, authorization_servers: Sequence[str], scopes: Sequence[str], name: str
) -> dict[str, object]:
    """The document (RFC 9728 §2); what would be empty is left out (§3.2)."""
    document: dict[str, object] = {
        "resource": origin.resource,
        "authorization_servers": [*authorization_servers],
        "scopes_supported": [scope for scope in scopes if scope != OFFLINE_ACCESS],
        "bearer_methods_supported": ["header"],
        "resource_name": name,
    }
    return {member: value for member, value in document.items() if value}


async def metadata(description: Description, request: Request) -> Response:
    """GET …/.well-known/oauth-protected-resource, the same document at each of its paths."""
    origin = description.origins.select(request.headers.get("host", ""))
    if origin is None:
        return Response(status_code=421)
    document = protected_resource_metadata(
        origin,
        description.authorization_servers or (origin.issuer,),
        description.scopes,
        description.name,
    )
    # The header stands here for caches too, which ask without an Origin and answer with one.
    headers = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}
    return JSONResponse(document, headers=headers)
