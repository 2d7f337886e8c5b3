"""Resource indicators (RFC 8707): which protected resource a token is for."""

from auth.errors import InvalidTarget
from origins import Origin, canonical_resource
from settings import Settings


def resource_of(settings: Settings, origin: Origin) -> str:
    """The one protected resource that this authorization server speaks for at this origin."""
    return settings.resource_server_url or origin.resource


def check_resource(resources: tuple[str, ...], resource: str) -> None:
    """Refuse a request for anything but this resource (RFC 8707 §2).

    None named means this one; named twice it is still one. A slash at the end, the case of scheme
    and host, and the bare origin (which older clients cached) are forgiven; a prefix is not.
    """
    for named in resources:
        if named == resource:
            continue
        try:
            canonical = canonical_resource(named)
        except ValueError:
            raise InvalidTarget("the resource is not the URL of an MCP server here") from None
        origin = "/".join(resource.split("/")[:3])
        if canonical not in {resource, origin}:
            raise InvalidTarget("the resource is not the MCP server of this authorization server")
