"""Which store `LATCHGATE_STORE_URL` names."""

from pathlib import Path

from auth.store import Store
from auth.store.memory import MemoryStore
from valkey_urls import is_valkey


def place_of(url: str) -> Path | str:
    """Where the store behind a URL is: its file, or its server without a password."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite":
        return Path(rest[1:]).absolute()
    address = rest.rpartition("@")[2].partition("?")[0]
    return f"{scheme}://{address}"


def open_store(url: str) -> Store:
    """The store behind a URL, not opened yet; ValueError says what a URL may be.

    `sqlite:///name.db` is beside where the server was started, `sqlite:////name.db` at the root.
    """
    scheme, _, rest = url.partition("://")
    if url == "memory://":
        return MemoryStore()
    if scheme == "sqlite" and len(rest) > 1 and rest.startswith("/"):
        from auth.store.sqlite import SqliteStore  # noqa: PLC0415 - only when named

        return SqliteStore(rest[1:])
    if is_valkey(url):
        from auth.store.valkey import ValkeyStore  # noqa: PLC0415 - an extra, when named

        return ValkeyStore(url)
    # The URL may hold a password, so it is not repeated.
    raise ValueError(
        "LATCHGATE_STORE_URL must be memory://, sqlite:///path, valkey://host:port/db or "
        "redis://host:port/db (valkeys:// and rediss:// with TLS)"
    )
