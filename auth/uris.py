"""URIs as raw strings, read in one strict way (RFC 3986).

Parsers disagree on hostile input: a backslash, a number as a host, a tab. So none of them decides
here; what two of them could read differently is refused, and what is accepted is never rewritten.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

MAX_LENGTH = 2048
MAX_PORT = 65535

# The literal names of this machine, as OAuth 2.1 §8.4.2 takes them and browsers write them.
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})

_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()+,;=%-]+")
_PARTS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*):"
    r"(?://(?P<authority>[^/?]*))?"
    r"(?P<path>/[^?]*)?"
    r"(?:\?(?P<query>.*))?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:]+\]|[A-Za-z0-9._-]*)(?::(?P<port>[1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# WHATWG URL §3.5: a last label that is a number makes the whole host an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
_ENCODED_SEPARATOR = re.compile(r"%(?:2[Ff]|5[Cc])")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2[Ee]){1,2}(?=/|$)")
_MAX_HOST_LENGTH = 253


class InvalidUri(ValueError):
    """A URI we do not take. The message says what is wrong and never repeats the URI."""


@dataclass(frozen=True, slots=True)
class Uri:
    """The parts of a URI as they were written: nothing decoded, nothing in another case.

    `host` is empty where there is no authority; the brackets of an IPv6 literal belong to it.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str | None


def split_uri(uri: str) -> Uri:
    """The parts of an absolute URI (RFC 3986 §4.3); raises InvalidUri."""
    if len(uri) > MAX_LENGTH:
        raise InvalidUri(f"is longer than {MAX_LENGTH} characters")
    if "#" in uri:
        raise InvalidUri("must not have a fragment")
    if "*" in uri:
        raise InvalidUri("must not have a wildcard")
    if not _CHARACTERS.fullmatch(uri):
        raise InvalidUri("has a character that a URI cannot have")
    _check_percent_encoding(uri)
    parts = _PARTS.fullmatch(uri)
    if parts is None:
        raise InvalidUri("must be absolute, its scheme in lower case: scheme://host/path")
    path, query = parts["path"] or "", parts["query"]
    if _DOT_SEGMENT.search(path) or _ENCODED_SEPARATOR.search(path):
        raise InvalidUri("must not have dot segments or encoded slashes in its path")
    if any(bracket in path + (query or "") for bracket in "[]"):
        raise InvalidUri("must not have brackets outside its host")
    host, port = _split_authority(parts["authority"] or "")
    return Uri(parts["scheme"], host, port, path, query)


def check_host(host: str) -> None:
    """Refuse a host that is not a canonical DNS name or IP address; raises InvalidUri."""
    if not _is_ip_address(host) and not _is_name(host):
        raise InvalidUri("must have a host name or IP address in its canonical lower-case form")


def check_web_uri(uri: str) -> None:
    """Refuse what is not https (or http on this machine) with a plain host; raises InvalidUri."""
    parts = split_uri(uri)
    check_host(parts.host)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.host in LOOPBACK_HOSTS):
        raise InvalidUri("must use https, or http on a loopback host")


def host_of(uri: str) -> str | None:
    """The host of an https URI, None of anything else."""
    try:
        parts = split_uri(uri)
        check_host(parts.host)
    except InvalidUri:
        return None
    return parts.host if parts.scheme == "https" else None


def _check_percent_encoding(uri: str) -> None:
    if _BAD_PERCENT.search(uri):
        raise InvalidUri("has a percent sign without two hexadecimal digits")
    if _ENCODED_CONTROL.search(uri):
        raise InvalidUri("must not have percent-encoded control characters")


def _split_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise InvalidUri("must not have user information")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not _is_port(parts["port"]):
        raise InvalidUri("must have a plain host and, if need be, a port")
    return parts["host"], int(parts["port"]) if parts["port"] else None


def _is_port(port: str | None) -> bool:
    return port is None or int(port) <= MAX_PORT


def _is_ip_address(host: str) -> bool:
    try:
        if not host.startswith("["):
            return str(IPv4Address(host)) == host
        address = IPv6Address(host[1:-1])
    except AddressValueError:
        return False
    return f"[{address}]" == host and address.ipv4_mapped is None


def _is_name(host: str) -> bool:
    labels = host.split(".")
    return (
        len(host) <= _MAX_HOST_LENGTH
        and not _NUMBER.fullmatch(labels[-1])
        and all(_LABEL.fullmatch(label) and _is_punycode_sound(label) for label in labels)
    )


def _is_punycode_sound(label: str) -> bool:
    if not label.startswith("xn--"):
        return True
    try:
        idna.decode(label)
    except (idna.IDNAError, UnicodeError):
        return False
    return True
