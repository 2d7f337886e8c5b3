"""The Valkey store: what would keep the server from others is done in slices."""

from asyncio import gather
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from valkey import Valkey

from auth.models import Ban, Grant, Rotation
from auth.store import Store, StoreUnavailable
from auth.store.valkey import SLICE, ValkeyStore
from tests.store_backends import opened, opened_on_valkey
from tests.store_records import (
    CLIENT,
    GRACE,
    GRANTED_UNTIL,
    NOW,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    is_consumed,
    new_access_token,
    new_ban,
    new_code,
)

pytestmark = pytest.mark.slow


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[Store]:
    async with opened_on_valkey(valkey_url) as store:
        await add_people(store, "ada")
        yield store


@pytest.fixture
def server(valkey_url: str) -> Iterator[Any]:
    """The server as its operator sees it."""
    with Valkey.from_url(valkey_url, decode_responses=True) as client:
        yield client


class CutShort(ValkeyStore):
    """A replica that loses the server in the middle of a ban."""

    async def _end_grants_of_client(self, ban: Ban) -> None:
        raise StoreUnavailable(ban.reason)


async def test_a_ban_counts_before_the_last_grant_has_ended(store: Store, valkey_url: str) -> None:
    grant, pending = await add_exchanged(store), await add_pending(store, "pending")
    other = await add_exchanged(store, "other", client_id="other")
    async with opened(CutShort(valkey_url)) as replica:
        with pytest.raises(StoreUnavailable):
            await replica.ban_client(CLIENT, new_ban())

    assert not await is_alive(store, grant)
    assert await store.find_grant("grant", NOW) is None
    assert await store.find_grants("ada", NOW) == [other]
    assert await store.list_clients(NOW) == [("other", "Claude", 1)]
    assert not await is_consumed(store, new_code(pending).digest, new_access_token(pending))
    rotation = await store.rotate_refresh_token(
        "grant", 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
    )
    assert rotation is Rotation.REFUSED

    assert await store.unban_client(new_ban().digest)
    assert not await is_alive(store, grant)
    assert not await is_consumed(store, new_code(pending).digest, new_access_token(pending))
    assert await is_alive(store, other)


async def add_very_many(store: Store) -> list[Grant]:
    """A slice of grants and one more."""
    return await gather(*(add_exchanged(store, f"grant {n}") for n in range(SLICE + 1)))


def steps(server: Any) -> int:
    """How many steps there were since the last question."""
    calls: int = server.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    server.config_resetstat()
    return calls


async def test_a_ban_ends_very_many_grants_a_slice_at_a_time(store: Store, server: Any) -> None:
    grants = await add_very_many(store)
    steps(server)
    await store.ban_client(CLIENT, new_ban())
    assert steps(server) == len(["the ban", "a slice", "the rest"])
    assert await store.unban_client(new_ban().digest)
    assert not any(await gather(*(is_alive(store, grant) for grant in grants)))


async def test_very_many_grants_are_forgotten_a_slice_at_a_time(store: Store, server: Any) -> None:
    await add_very_many(store)
    steps(server)
    assert await store.purge(GRANTED_UNTIL, 10 * SLICE) == SLICE + 1
    assert steps(server) == len(["a slice", "the rest", "no more"])
    await add_very_many(store)
    assert await store.purge(GRANTED_UNTIL, SLICE) == SLICE
    assert await store.purge(GRANTED_UNTIL, SLICE) == 1
