"""The stores that the contract runs over: a new one is one line of BACKENDS."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from valkey import Valkey

from auth.store import Store
from auth.store.memory import MemoryStore
from auth.store.sqlite import SqliteStore
from auth.store.valkey import ValkeyStore

Opened = AbstractAsyncContextManager[Store]


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """A store that is open for as long as the test runs."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_on_valkey(url: str) -> AsyncIterator[Store]:
    """A store on the one server of all tests, which is emptied for each."""
    with Valkey.from_url(url) as client:
        client.flushdb()
    async with opened(ValkeyStore(url)) as store:
        yield store


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Opened]] = {
    "memory": lambda _request: opened(MemoryStore()),
    "sqlite": lambda request: opened(
        SqliteStore(str(request.getfixturevalue("tmp_path") / "store.db"))
    ),
    "valkey": lambda request: opened_on_valkey(request.getfixturevalue("valkey_url")),
}

EACH_BACKEND = [
    pytest.param(name, marks=pytest.mark.slow if name == "valkey" else ()) for name in BACKENDS
]
"""Their names; the one that starts a server says so."""
