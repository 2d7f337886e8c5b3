"""The contract of every store: what purge forgets, and what it keeps."""

from asyncio import gather
from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.models import Use
from auth.store import UNUSED_GRANTS_EACH, Store
from tests.purging import purge_all
from tests.store_backends import BACKENDS
from tests.store_records import (
    CLIENT,
    CODE_TTL,
    GRACE,
    GRANTED_UNTIL,
    NOW,
    VERIFIED,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    is_consumed,
    new_access_token,
    new_ban,
    new_code,
    new_event,
    new_grant,
    new_session,
)

pytestmark = pytest.mark.slow

MINUTE = 60
USE = Use("grant", calls=1, day=NOW // 86_400, calls_on_day=1, last_used_at=NOW)

FORGETFUL = [name for name in BACKENDS if name != "valkey"]
"""The stores that forget when they are told to: a Valkey server does by itself."""


@pytest.fixture(autouse=True)
async def _people(store: Store) -> None:
    await add_people(store, "ada", "bob")


async def purge(store: Store, now: int) -> int:
    """Purge in slices until there is nothing left to forget; how many were forgotten."""
    forgotten = in_slice = await store.purge(now, 10)
    while in_slice == 10:
        in_slice = await store.purge(now, 10)
        forgotten += in_slice
    assert in_slice < 10
    assert await store.purge(now, 10) == 0
    return forgotten


async def test_purge_keeps_everything_that_is_alive(store: Store) -> None:
    session, grant = new_session(), await add_exchanged(store)
    pending = await add_pending(store, "pending")
    await store.add_session(session, VERIFIED)
    await store.spend(digest("form"), NOW + 60, NOW)
    await store.record_uses([USE])
    await store.ban_client("banned", new_ban("banned"))
    await store.add_event(new_event(), {"sign_in"}, 50)

    assert await purge(store, NOW + 59) == 0

    assert await store.find_session(session.digest, NOW + 59) == session
    assert await store.find_grant("grant", NOW + 59) == grant
    assert await is_alive(store, grant, NOW + 59)
    assert await store.find_code(new_code(pending).digest, NOW + 59)
    assert not await store.spend(digest("form"), NOW + 60, NOW + 59)
    assert len(await store.find_uses("ada")) == 1
    assert len(await store.list_accounts()) == 2
    assert await store.find_ban(digest("banned"))
    assert len(await store.list_events("ada")) == 1


async def test_purge_keeps_a_spent_code_until_it_expires(store: Store) -> None:
    grant = await add_exchanged(store)
    code = new_code(grant)
    last = code.expires_at - 1
    await purge(store, last)
    assert await store.find_code(code.digest, last) == (replace(code, is_spent=True), grant)
    assert not await is_consumed(store, code.digest, new_access_token(grant, 2), NOW + 999, last)


async def test_purge_keeps_a_revoked_grant_until_it_expires(store: Store) -> None:
    grant = new_grant(expires_at=NOW + 9 * CODE_TTL)
    code = new_code(grant, expires_at=NOW + 9 * CODE_TTL)
    await store.add_grant(grant, code)
    await store.revoke_grant("grant", NOW)
    await store.record_uses([USE])
    last = grant.expires_at - 1
    await purge(store, last)
    assert await store.find_code(code.digest, last) == (code, replace(grant, revoked_at=NOW))
    assert list(await store.find_uses("ada")) == [USE]


async def test_purge_keeps_what_was_extended(store: Store) -> None:
    session, grant = new_session(), await add_exchanged(store)
    await store.add_session(session, VERIFIED)
    await store.extend_session(session.digest, session.expires_at + 3600)
    await purge(store, session.expires_at + MINUTE)
    assert await store.find_session(session.digest, session.expires_at + 3599)
    assert await store.find_grant("grant", session.expires_at + MINUTE) == grant
    await store.rotate_refresh_token(
        "grant", 1, new_access_token(grant, 2), GRANTED_UNTIL + 3600, NOW, GRACE
    )
    await purge(store, GRANTED_UNTIL + MINUTE)
    assert await store.find_grant("grant", GRANTED_UNTIL + MINUTE)


async def test_purge_revives_nothing_not_even_with_the_clock_set_back(store: Store) -> None:
    grant = await add_exchanged(store)
    revoked = await add_exchanged(store, "revoked")
    await store.add_session(new_session(), VERIFIED)
    await store.revoke_session(digest("session"))
    await store.revoke_grant("revoked", NOW)
    await purge(store, NOW + CODE_TTL + MINUTE)
    assert await is_alive(store, grant)
    for grant_of_code in (grant, revoked):
        again = new_access_token(grant_of_code, 2)
        code = new_code(grant_of_code)
        assert not await is_consumed(store, code.digest, again, GRANTED_UNTIL, NOW)
        assert await store.find_access_token(again.digest, NOW) is None
    assert not await is_alive(store, revoked)
    assert await store.find_session(digest("session"), NOW) is None


async def test_purge_forgets_nobody(store: Store) -> None:
    await store.disable_account("ada", NOW)
    await store.ban_client(CLIENT, new_ban())
    await purge(store, GRANTED_UNTIL + MINUTE)
    assert len(await store.list_accounts()) == 2
    assert len(await store.list_bans()) == 1


@pytest.mark.parametrize("store", FORGETFUL, indirect=True)
async def test_purge_forgets_what_has_expired_slice_by_slice(store: Store) -> None:
    for n in range(12):
        await add_exchanged(store, f"grant {n}")
        await store.add_session(new_session(f"session {n}"), VERIFIED)
        await store.spend(digest(f"form {n}"), NOW + 60, NOW)
    assert await purge(store, NOW + CODE_TTL + MINUTE) == 12 + 12
    assert await purge(store, NOW + 8 * 3600 + MINUTE) == 12 + 12
    assert await purge(store, GRANTED_UNTIL + MINUTE) == 12


@pytest.mark.parametrize("store", FORGETFUL, indirect=True)
async def test_uses_are_forgotten_with_their_grant(store: Store) -> None:
    await add_exchanged(store)
    await store.record_uses([USE])
    await purge(store, GRANTED_UNTIL - 1)
    assert len(await store.find_uses("ada")) == 1
    await purge(store, GRANTED_UNTIL + MINUTE)
    assert list(await store.find_uses("ada")) == []


@pytest.mark.parametrize("store", FORGETFUL, indirect=True)
async def test_what_was_extended_is_forgotten_in_its_time(store: Store) -> None:
    session = new_session()
    later = session.expires_at + 3600
    await store.add_session(session, VERIFIED)
    await store.extend_session(session.digest, later)
    await purge(store, session.expires_at + MINUTE)
    assert await store.find_session(session.digest, later - 1)
    assert await purge(store, later + MINUTE) == 1


async def test_very_many_are_forgotten_and_nobody_waits_for_it(store: Store) -> None:
    people = [f"person {n}" for n in range(5)]
    await add_people(store, *people)
    grants = [
        new_grant(f"{n} of {each}", each) for each in people for n in range(UNUSED_GRANTS_EACH)
    ]
    await gather(*(store.add_grant(grant, new_code(grant)) for grant in grants))
    await gather(*(store.spend(digest(f"form {n}"), NOW + 60, NOW) for n in range(500)))
    # A fifth of the slices that the server takes, whose measure is `tests/process/test_purge.py`.
    forgotten, longest_wait = await purge_all(store, NOW + CODE_TTL + MINUTE, 200)
    assert forgotten >= len(grants)
    assert longest_wait < 0.010
    assert await store.purge(GRANTED_UNTIL, 10) == 0
    assert not any(await gather(*(store.find_grant(grant.grant_id, NOW) for grant in grants)))


async def test_purge_in_the_minute_of_an_expiry_waits_for_it(store: Store) -> None:
    session = new_session(expires_at=NOW + 90)
    await store.add_session(session, VERIFIED)
    assert await purge(store, NOW + 89) == 0
    assert await store.find_session(session.digest, NOW + 89) == session
