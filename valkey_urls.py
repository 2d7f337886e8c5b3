"""The URLs of a Valkey or Redis server, where replicas share what they know."""

_TLS = ("valkeys", "rediss")
_SCHEMES = frozenset({"valkey", "redis", *_TLS})


def is_valkey(url: str) -> bool:
    """Whether a store's URL is of one that replicas share."""
    return _scheme(url) in _SCHEMES


def tls_options(url: str) -> dict[str, bool]:
    """What a connection needs besides its URL."""
    # The client verifies certificates by default, but not that they name the host.
    return {"ssl_check_hostname": True} if _scheme(url) in _TLS else {}


def _scheme(url: str) -> str:
    return url.partition("://")[0]
