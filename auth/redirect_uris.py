"""Redirect URIs: which may be registered, which match, where they lead (OAuth 2.1 §2.3, §8.4)."""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import unquote_plus, urlencode

from auth.uris import LOOPBACK_HOSTS, MAX_PORT, InvalidUri, Uri, check_web_uri, split_uri

# Schemes that run code, open local files or other programs, or belong to a protocol: none is an
# application waiting for a code (RFC 7591 §5, RFC 8252 §7.1). Nor is a browser's own: it opens
# whatever page stands behind it.
_FORBIDDEN_SCHEME = re.compile(
    r"about|android-app|blob|brave(-.*)?|cap|chrome(-devtools|-untrusted)?|cid|content|data"
    r"|devtools|edge|feed|file|filesystem|firefox(-.*)?|ftps?|git|googlechromes?|gopher|hcp|imaps?"
    r"|intent|ircs?|its|jar|javascript|ldaps?|livescript|mailto|mhtml|microsoft-edge(-.*)?|mid|mk"
    r"|mms|mocha|ms-.*|news|nfs|nntps?|opera(-.*)?|pop|res|resource|rtsp|search(-ms)?|sftp|shell"
    r"|sips?|smb|sms|ssh|tag|tel|telnet|touch-https?|udp|urn|vbscript|view-source|wais|wss?"
    r"|wyciwyg|x-safari-https?"
)

_LOOPBACK = re.compile(
    r"(?P<host>http://(?:127\.0\.0\.1|\[::1\]|localhost))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>(?:[/?].*)?)",
    re.DOTALL,
)
_PARTS = re.compile(
    r"(?P<scheme>[^:/?#]*):(?://(?P<host>[^/?#]*))?(?P<path>[^?#]*)(?P<query>.*)", re.DOTALL
)
_ANSWER_PARAMETERS = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})


class Destination(NamedTuple):
    """Where a redirect leads, as the consent page says it.

    `text` is the host (in its ASCII form, so that look-alikes show) or the application's scheme.
    """

    kind: Literal["host", "computer", "app"]
    text: str


def check_redirect_uri(uri: str, *, is_public: bool) -> str | None:
    """Why this URI may not be registered, None if it may (OAuth 2.1 §2.3.1, §8.4).

    https anywhere, http on a literal loopback host, private-use schemes for public clients. Taken
    byte for byte: nothing is normalized, and what parsers could disagree on is refused.
    """
    try:
        parts = split_uri(uri)
        if parts.scheme in {"https", "http"}:
            check_web_uri(uri)
        else:
            _check_private_use(parts, is_public=is_public)
    except InvalidUri as invalid:
        return str(invalid)
    return None


def matches_redirect_uri(registered: Iterable[str], presented: str) -> bool:
    """Whether a presented redirect URI is a registered one (OAuth 2.1 §2.3.1, RFC 9700 §4.1.3).

    The same string, except that http on a literal loopback host may name another port, since native
    applications take whichever is free (RFC 8252 §7.3; `localhost` because MCP clients use it).
    """
    presented_without_port = _without_loopback_port(presented)
    return any(
        uri == presented
        or (
            presented_without_port is not None
            and _without_loopback_port(uri) == presented_without_port
        )
        for uri in registered
    )


def near_miss(registered: Iterable[str], presented: str) -> str | None:
    """In what alone an unregistered redirect URI differs from a registered one: a hint, no more."""
    for uri in registered:
        one, other = (_PARTS.fullmatch(_without_port(each)) for each in (uri, presented))
        if one is None or other is None:
            continue
        differing = [name for name, part in one.groupdict().items() if part != other[name]]
        if differing == ["host"] and {one["host"], other["host"]} <= LOOPBACK_HOSTS:
            return "it differs from a registered one only in the name of this computer"
        if differing == ["path"] and one["path"].rstrip("/") == other["path"].rstrip("/"):
            return "it differs from a registered one only in the slash at its end"
        if len(differing) == 1 and differing != ["host"]:
            return f"it differs from a registered one only in its {differing[0]}"
    return None


def redirect_destination(uri: str) -> Destination:
    """Where a registered redirect URI leads: to a host, to this computer, or to an application."""
    parts = split_uri(uri)
    if parts.scheme not in {"https", "http"}:
        return Destination("app", parts.scheme)
    if parts.host in LOOPBACK_HOSTS:
        return Destination("computer", parts.host)
    return Destination("host", parts.host)


def add_query(uri: str, params: Mapping[str, str]) -> str:
    """The redirect URI with the answer's parameters added to its query (OAuth 2.1 §2.3, §4.1.2).

    What was there stays byte for byte, but for pairs named like an answer's: a registered `iss` or
    `code` must not stand beside ours (RFC 9207 §2.4, mix-up).
    """
    base, _, query = uri.partition("?")
    pairs = query.split("&") if query else []
    kept = [pair for pair in pairs if not _is_answer_parameter(pair)]
    return f"{base}?{'&'.join([*kept, urlencode(params)])}"


def _check_private_use(parts: Uri, *, is_public: bool) -> None:
    if _FORBIDDEN_SCHEME.fullmatch(parts.scheme):
        raise InvalidUri("must not use this scheme")
    if not is_public:
        raise InvalidUri("must use https: private-use schemes are for public clients")
    if not parts.host and not parts.path:
        raise InvalidUri("must have a host or a path after its scheme")


def _without_loopback_port(uri: str) -> tuple[str, str] | None:
    parts = _LOOPBACK.fullmatch(uri)
    if parts is None or int(parts["port"] or 1) > MAX_PORT:
        return None
    return parts["host"], parts["rest"]


def _without_port(uri: str) -> str:
    return "".join(_without_loopback_port(uri) or (uri,))


def _is_answer_parameter(pair: str) -> bool:
    return unquote_plus(pair.partition("=")[0]) in _ANSWER_PARAMETERS
