"""What a client says of itself to people (RFC 7591 §2): kept where it can be, no reason to refuse.

It is shown as the client's own words, so what cannot be shown is left out and nobody turned away.
"""

from auth.uris import host_of

MAX_CLIENT_NAME = 100


def kept_name(name: str) -> str:
    """A name as it is remembered."""
    return one_line(name, MAX_CLIENT_NAME)


def one_line(text: str, most: int) -> str:
    """A text on one line, cut off after so many characters, without those that turn it around.

    Control and format characters can make a name read as another one (Unicode TR 36 §2).
    """
    visible = (" " if c.isspace() else c for c in text if c.isspace() or c.isprintable())
    line = " ".join("".join(visible).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def kept_link(url: object) -> str | None:
    """A link that may stand on a page of ours: https with a plain host (RFC 7591 §5), else None."""
    return url if isinstance(url, str) and host_of(url) else None
