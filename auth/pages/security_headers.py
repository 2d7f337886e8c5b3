"""The security headers of every page: nobody frames it, scripts it or learns whence one came.

OAuth 2.1 §7.10 (clickjacking), RFC 9700 §4.2.4 (Referer), §4.16 (framing).
"""

import re

# Host sources know neither userinfo nor IPv6 literals (CSP 3 §2.3.1), so neither gets through.
_WEB_ORIGIN = re.compile(r"(https?://[A-Za-z0-9._-]+(?::[0-9]{1,5})?)(?:[/?].*)?")
_IPV6_LOOPBACK = re.compile(r"http://\[::1\](?::[0-9]{1,5})?(?:[/?].*)?")
_PRIVATE_USE_SCHEME = re.compile(r"(?!https?:)([A-Za-z][A-Za-z0-9+.-]*:).*", re.IGNORECASE)

# Some callbacks send the browser on, and that hop is held against the form's policy as well: Claude
# and VS Code on the web hand the answer to their desktop programs.
_VSCODE = ("vscode:", "vscode-insiders:", "http://127.0.0.1:*", "http://localhost:*")
_SECOND_HOPS = {
    "https://claude.ai": ("claude:",),
    "https://claude.com": ("claude:",),
    "https://vscode.dev": _VSCODE,
    "https://insiders.vscode.dev": _VSCODE,
}

_ALWAYS = {
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Vary": "Accept, Accept-Language, Cookie",
}


# Our own pages, to which no client opens a window. The others may be a client's popup, which such
# a policy would cut off: the client could neither see it close nor hear from its own callback.
_ALONE = {"home.html", "activity.html", "connections.html", "password.html"}


def security_headers(
    template: str, *, is_secure: bool, redirect_uri: str | None = None
) -> dict[str, str]:
    """The headers of one page; `redirect_uri` is where its form may lead in the end."""
    headers = {**_ALWAYS, "Content-Security-Policy": _content_security_policy(redirect_uri)}
    if template in _ALONE:
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if is_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


def form_action_source(redirect_uri: str) -> str | None:
    """What `form-action` must allow for a redirect URI: its origin, or its private-use scheme.

    Browsers hold the whole redirect chain after a form against `form-action`, so without it a
    press on Allow does nothing. None for what cannot be said safely in a policy.
    """
    if origin := _WEB_ORIGIN.fullmatch(redirect_uri):
        return origin[1]
    if _IPV6_LOOPBACK.fullmatch(redirect_uri):
        return "http:"  # wider than its origin, but a policy has no word for an IPv6 host
    scheme = _PRIVATE_USE_SCHEME.fullmatch(redirect_uri)
    return scheme[1] if scheme else None


def _content_security_policy(redirect_uri: str | None) -> str:
    source = form_action_source(redirect_uri) if redirect_uri else None
    sources = ("'self'", source, *_SECOND_HOPS.get(source, ())) if source else ("'self'",)
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        f"form-action {' '.join(sources)}; frame-ancestors 'none'; base-uri 'none'"
    )
