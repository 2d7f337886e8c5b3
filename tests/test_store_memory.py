"""The memory store: what happens when it is full, and how long it holds the loop."""

import pytest

from auth.credentials import digest
from auth.models import Rotation
from auth.store import GRANTS_OF_A_CLIENT, StoreUnavailable
from auth.store.memory import MemoryStore
from auth.store.memory.expiring import Pool
from tests.store_records import (
    ACCESS_TTL,
    CODE_TTL,
    GRACE,
    GRANTED_UNTIL,
    NOW,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    is_consumed,
    new_access_token,
    new_code,
    new_grant,
)


async def small_store(*, grants: int = 9, access_tokens: int = 9, spent: int = 9) -> MemoryStore:
    """A store that is soon full, with two people."""
    store = MemoryStore(
        max_grants=grants,
        max_access_tokens=access_tokens,
        max_spent=spent,
    )
    await add_people(store, "ada", "bob")
    return store


async def test_the_oldest_code_that_nobody_used_makes_room() -> None:
    store = await small_store(grants=4)
    live = await add_exchanged(store, "live")
    pending = [await add_pending(store, f"pending {n}") for n in range(5)]
    assert await store.find_grant("live", NOW) == live
    found = [await store.find_grant(grant.grant_id, NOW) for grant in pending]
    assert found == [None, None, *pending[2:]]
    assert await store.find_code(new_code(pending[1]).digest, NOW) is None
    assert await store.find_code(new_code(pending[2]).digest, NOW)


async def test_a_revoked_grant_makes_room_when_every_code_was_used() -> None:
    store = await small_store(grants=3)
    grants = [await add_exchanged(store, f"grant {n}") for n in range(3)]
    await store.revoke_grant("grant 1", NOW)
    await add_exchanged(store, "new")
    assert [await is_alive(store, grant) for grant in grants] == [True, False, True]
    code, again = new_code(grants[1]), new_access_token(grants[1], 2)
    assert await store.find_code(code.digest, NOW) is None
    assert not await is_consumed(store, code.digest, again, GRANTED_UNTIL, NOW)
    rotation = await store.rotate_refresh_token("grant 1", 1, again, GRANTED_UNTIL, NOW, GRACE)
    assert rotation is Rotation.REFUSED


async def test_a_revoked_code_that_nobody_used_makes_room_once() -> None:
    store = await small_store(grants=2)
    await add_pending(store, "revoked")
    await store.revoke_grant("revoked", NOW)
    await add_exchanged(store, "live")
    await add_exchanged(store, "new")
    with pytest.raises(StoreUnavailable):
        await add_pending(store, "one too many")


async def test_an_expired_grant_makes_room_before_a_code_that_nobody_used() -> None:
    store = await small_store(grants=2)
    await add_pending(store, "expired")
    now = NOW + 2 * CODE_TTL
    waiting = new_grant("waiting", created_at=NOW, expires_at=now + CODE_TTL)
    await store.add_grant(waiting, new_code(waiting))
    new = new_grant("new", created_at=now, expires_at=now + CODE_TTL)
    await store.add_grant(new, new_code(new))
    assert await store.find_grant("waiting", now) == waiting
    assert await store.find_grant("new", now) == new


async def test_a_live_grant_never_makes_room() -> None:
    store = await small_store(grants=2)
    grants = [await add_exchanged(store, "one"), await add_exchanged(store, "two", "bob")]
    new = new_grant("new")
    with pytest.raises(StoreUnavailable):
        await store.add_grant(new, new_code(new))
    for_itself = new_grant("for itself", "client:reporter")
    with pytest.raises(StoreUnavailable):
        await store.add_grant(for_itself, new_access_token(for_itself))
    assert await store.find_code(new_code(new).digest, NOW) is None
    assert await store.find_access_token(new_access_token(for_itself).digest, NOW) is None
    assert all([await is_alive(store, grant) for grant in grants])


async def test_a_client_that_asks_for_tokens_all_the_time_leaves_room_for_others() -> None:
    most = GRANTS_OF_A_CLIENT + 1
    store = await small_store(grants=most, access_tokens=most)
    for n in range(most + 9):
        grant = new_grant(f"grant {n}", "client:reporter")
        assert await store.add_grant(grant, new_access_token(grant))
    assert await is_alive(store, await add_exchanged(store, "ada's"))
    await store.purge(NOW + ACCESS_TTL + 60, 3 * most)
    again = new_grant("again", "client:reporter")
    assert await store.add_grant(again, new_access_token(again))
    assert await is_alive(store, again)


async def test_a_store_full_of_access_tokens_gives_none_and_changes_nothing() -> None:
    store = await small_store(access_tokens=1)
    grant, pending = await add_exchanged(store), await add_pending(store, "pending")
    code, second = new_code(pending), new_access_token(grant, 2)
    for_itself = new_grant("for itself", "client:reporter")
    with pytest.raises(StoreUnavailable):
        await store.consume_code(code.digest, new_access_token(pending), GRANTED_UNTIL, NOW)
    with pytest.raises(StoreUnavailable):
        await store.rotate_refresh_token("grant", 1, second, GRANTED_UNTIL, NOW, GRACE)
    with pytest.raises(StoreUnavailable):
        await store.add_grant(for_itself, new_access_token(for_itself))
    assert await store.find_code(code.digest, NOW) == (code, pending)
    assert await store.find_grant("grant", NOW) == grant
    assert await store.find_grant("for itself", NOW) is None
    assert await is_alive(store, grant)


async def test_a_replay_is_seen_even_when_the_store_is_full() -> None:
    store = await small_store(access_tokens=2)
    grant = await add_exchanged(store)
    second = new_access_token(grant, 2)
    await store.rotate_refresh_token("grant", 1, second, GRANTED_UNTIL, NOW, GRACE)
    replay = await store.rotate_refresh_token("grant", 1, second, GRANTED_UNTIL, NOW + GRACE, GRACE)
    assert replay is Rotation.REPLAYED


async def test_an_expired_access_token_makes_room() -> None:
    store = await small_store(access_tokens=1)
    grant = await add_exchanged(store)
    now = NOW + ACCESS_TTL + 60
    second = new_access_token(grant, 2, expires_at=now + ACCESS_TTL)
    rotation = await store.rotate_refresh_token("grant", 1, second, GRANTED_UNTIL, now, GRACE)
    assert rotation is Rotation.ROTATED
    assert await store.find_access_token(second.digest, now)


async def test_what_was_used_once_is_not_forgotten_to_make_room() -> None:
    store = await small_store(spent=2)
    assert await store.spend(digest("one"), NOW + 60, NOW)
    assert await store.spend(digest("two"), NOW + 60, NOW)
    with pytest.raises(StoreUnavailable):
        await store.spend(digest("three"), NOW + 60, NOW)
    assert not await store.spend(digest("one"), NOW + 60, NOW)
    assert await store.spend(digest("three"), NOW + 300, NOW + 120)


async def test_what_purge_forgot_is_no_room_to_make() -> None:
    store = await small_store(grants=2)
    await add_pending(store, "unused")
    await add_exchanged(store, "revoked")
    await store.revoke_grant("revoked", NOW)
    await store.purge(GRANTED_UNTIL + 60, 1000)
    await add_exchanged(store, "one")
    await add_exchanged(store, "two")
    with pytest.raises(StoreUnavailable):
        await add_pending(store, "one too many")


async def test_purge_passes_over_what_is_gone_already() -> None:
    store = await small_store(grants=1)
    await add_pending(store, "evicted")
    revoked = await add_exchanged(store, "revoked")
    await store.revoke_grant(revoked.grant_id, NOW)
    live = await add_exchanged(store, "live")
    await store.revoke_access_token(new_access_token(live).digest)
    codes, access_tokens = ["evicted", "revoked", "live"], ["revoked", "live"]
    assert await store.purge(NOW + CODE_TTL + 60, 1000) == len(codes)
    assert await store.purge(GRANTED_UNTIL - 1, 1000) == len(access_tokens)
    assert await store.find_grant("live", GRANTED_UNTIL - 1) == live
    assert await store.purge(GRANTED_UNTIL + 60, 1000) == len(["live"])


def test_equal_values_are_kept_once() -> None:
    pool = Pool(capacity=10)
    first = ("user", "user:write")
    second = (*first,)
    assert first is not second
    assert pool.share(first) is first
    assert pool.share(second) is first


def test_a_full_pool_starts_over() -> None:
    pool = Pool(capacity=2)
    values, equal = ([f"client {n}" for n in range(5)] for _ in range(2))
    assert [pool.share(value) for value in values] == values
    assert pool.share(equal[4]) is values[4]
    assert pool.share(equal[0]) is equal[0]
