"""What a client says of itself to people (RFC 7591 §2): kept where it can be, no reason to refuse.

It is shown as the client's own words, so what cannot be shown is left out and nobody turned away.
"""

from auth.uris import InvalidUri, check_host, split_uri

MAX_CLIENT_NAME = 100


def kept_name(name: str) -> str:
    """A name on one line, without what cannot be seen, and cut off after 100 characters."""
    visible = (" " if c.isspace() else c for c in name if c.isspace() or c.isprintable())
    kept = " ".join("".join(visible).split())
    return kept if len(kept) <= MAX_CLIENT_NAME else kept[: MAX_CLIENT_NAME - 1] + "…"


def kept_link(url: object) -> str | None:
    """A link that may stand on a page of ours: https with a plain host (RFC 7591 §5), else None."""
    if not isinstance(url, str):
        return None
    try:
        uri = split_uri(url)
        check_host(uri.host)
    except InvalidUri:
        return None
    return url if uri.scheme == "https" else None
