"""Who we say we are: the configured origins, and everything that is built from one of them."""

import re
from dataclasses import dataclass, field
from functools import lru_cache

MCP_PATH = "/mcp"
WELL_KNOWN = "/.well-known/"
PROTECTED_RESOURCE_PATH = f"{WELL_KNOWN}oauth-protected-resource"
AUTHORIZATION_SERVER_PATH = f"{WELL_KNOWN}oauth-authorization-server"

_MAX_PORT = 65535
_PORT = r"(?::[0-9]{1,5})?"
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])" + _PORT, re.IGNORECASE | re.ASCII)
_LABEL = r"[a-z0-9]+(?:-+[a-z0-9]+)*"
_ORIGIN = re.compile(
    rf"(https?)://((?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]){_PORT})", re.IGNORECASE | re.ASCII
)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class InvalidOrigin(ValueError):
    """A configured URL cannot be an origin of ours; the message says why and what would."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One origin of ours, `https://host` without a slash: issuer, resource and links come from it.

    Each string is made once and emitted byte for byte: clients compare them so (RFC 8414 §3.3,
    RFC 9207 §2.4, RFC 9728 §3.3).
    """

    url: str
    resource: str = field(init=False)
    resource_metadata_url: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resource", self.url + MCP_PATH)
        object.__setattr__(
            self, "resource_metadata_url", self.url + PROTECTED_RESOURCE_PATH + MCP_PATH
        )

    @property
    def issuer(self) -> str:
        """The issuer identifier (RFC 8414 §2): the origin itself."""
        return self.url

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach us over TLS, so that cookies may be `__Host-` ones."""
        return self.url.startswith("https://")

    @property
    def host(self) -> str:
        """Host and port as a person types them."""
        return self.url.partition("://")[2]

    @property
    def port(self) -> str:
        """The port, empty if it is the default one."""
        return _port(self.host)


class Origins:
    """The origins that a request's Host may select; none configured means any loopback one.

    Host only selects: nothing that is not configured can be claimed by sending it
    (docs/threat-model.md, 1).
    """

    def __init__(self, configured: tuple[str, ...]) -> None:
        self.configured = tuple(Origin(url) for url in configured)
        """What the operator configured, the public one first; empty in loopback mode."""
        self._by_host = {name: origin for origin in self.configured for name in _hosts(origin)}
        self._select = lru_cache(maxsize=256)(self._find)

    @property
    def is_loopback(self) -> bool:
        """Whether nothing is configured, so that only this machine can reach us."""
        return not self.configured

    def select(self, host: str) -> Origin | None:
        """The origin of ours that this Host header names, None if it is not ours."""
        return self._select(host)

    def _find(self, host: str) -> Origin | None:
        host = host.lower()
        if self.configured:
            return self._by_host.get(host)
        if not is_loopback_host(host):
            return None
        return Origin("http://" + host.removesuffix(_DEFAULT_PORTS["http"]))


def _hosts(origin: Origin) -> set[str]:
    """What a Host header may say to mean this origin: the default port is not always left out."""
    scheme, _, host = origin.url.partition("://")
    return {host} if _port(host) else {host, host + _DEFAULT_PORTS[scheme]}


def is_loopback_host(host: str) -> bool:
    """Whether a host (with or without port) is this machine by its literal name."""
    return _LOOPBACK.fullmatch(host) is not None and _has_possible_port(host)


def canonical_origin(url: str) -> str:
    """An origin as we write it: scheme and host in lower case, no default port, no slash.

    Raises InvalidOrigin for anything that is not an https origin, or http on a loopback host.
    """
    origin, path = _split(url)
    if path not in {"", "/"}:
        raise InvalidOrigin(f"{origin} must stand alone, without {path}")
    return origin


def canonical_resource(url: str) -> str:
    """The URL of an MCP endpoint as we write it: a canonical origin and a path without end slash.

    Raises InvalidOrigin as `canonical_origin` does, and for a query or a fragment (RFC 9728 §2).
    """
    origin, path = _split(url)
    return origin + path.removesuffix("/")


def issuer_identifier(url: str) -> str:
    """The issuer of an authorization server (RFC 8414 §2), byte for byte as that server writes it.

    Another's issuer may have a path, and a slash at its end that belongs to it. Raises
    InvalidOrigin as `canonical_resource` does.
    """
    _split(url)
    return url


def _split(url: str) -> tuple[str, str]:
    """The canonical origin of a URL that we would take, and its path."""
    match = _ORIGIN.match(url)
    if match is None or not _has_possible_port(match[2]):
        raise InvalidOrigin(
            "it must begin with scheme and host, such as https://mcp.example.com or "
            "https://mcp.example.com:8443 (a name in another script as xn--…)"
        )
    path = url[match.end() :]
    if not _PATH.fullmatch(path):
        raise InvalidOrigin(
            "behind scheme, host and port there may be a plain path, but no user name, query, "
            "fragment or other character"
        )
    scheme, host = match[1].lower(), match[2].lower()
    if scheme == "http" and not is_loopback_host(host):
        raise InvalidOrigin(
            f"http://{host} would send tokens in clear: write https://{host} and let a proxy in "
            "front of Latchgate speak TLS"
        )
    return f"{scheme}://{host.removesuffix(_DEFAULT_PORTS[scheme])}", path


def _port(host: str) -> str:
    """The port behind a host, empty if there is none (the colons of [::1] are none)."""
    port = host.rpartition(":")[2]
    return port if ":" in host and port.isdecimal() else ""


def _has_possible_port(host: str) -> bool:
    port = _port(host)
    return not port or 0 < int(port) <= _MAX_PORT
