"""From where a request comes: the peer, or what the operator's own proxies saw (RFC 7239 §7.4)."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

from auth.server import AuthorizationServer

UNKNOWN = "unknown"
"""Of a peer that has no address, such as one on a Unix socket."""

_HOP = re.compile(r"\[(?P<v6>[^\]]+)\](?::\d+)?|(?P<v4>[\d.]+)(?::\d+)?|(?P<bare>[\da-fA-F:.]+)")
_PREFIX = 64
_LONGEST = 64
"""Characters of the longest hop, an IPv6 address and a port, and some: no memory for more."""


def client_address(server: AuthorizationServer, request: Request) -> str:
    """The address that a request came from, as the outermost trusted proxy saw it.

    Each of `trusted_proxies` appends its own peer to X-Forwarded-For; whatever stands left of what
    they wrote is the client's own invention. A malformed hop ends the chain.
    """
    address = _read(request.client.host) if request.client else None
    if proxies := server.settings.trusted_proxies:
        written = ",".join(request.headers.getlist("x-forwarded-for"))
        hops = reversed(written.split(",")) if written else iter(())
        for hop, _ in zip(hops, range(proxies), strict=False):
            before = _read(hop.strip()[:_LONGEST])
            if before is None:
                break
            address = before
    return address or UNKNOWN


def client_network(server: AuthorizationServer, request: Request) -> str:
    """What limits count by: the address, or the /64 that one IPv6 subscriber has to himself."""
    address = client_address(server, request)
    if ":" not in address:
        return address
    return str(IPv6Network((IPv6Address(address), _PREFIX), strict=False))


@lru_cache(maxsize=4096)
def _read(hop: str) -> str | None:
    """An address in its one spelling, None for anything else."""
    parts = _HOP.fullmatch(hop)
    if parts is None:
        return None
    try:
        address = ip_address(parts["v6"] or parts["v4"] or parts["bare"])
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
