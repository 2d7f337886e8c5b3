"""The contract of every store: the sessions of browsers."""

from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.store import SESSIONS_EACH, Store
from tests.store_records import (
    NOW,
    VERIFIED,
    add_people,
    new_session,
)


async def test_a_session_lives_until_the_second_of_its_expiry(store: Store) -> None:
    await add_people(store, "ada")
    session = new_session()
    assert await store.add_session(session, VERIFIED)
    assert await store.find_session(session.digest, session.expires_at - 1) == session
    assert await store.find_session(session.digest, session.expires_at) is None


async def test_an_unknown_session_is_none(store: Store) -> None:
    assert await store.find_session(digest("session"), NOW) is None


async def test_nobody_gets_no_session(store: Store) -> None:
    assert not await store.add_session(new_session(), VERIFIED)
    assert await store.find_session(digest("session"), NOW) is None


async def test_an_extended_session_lives_until_then(store: Store) -> None:
    await add_people(store, "ada")
    session = new_session()
    later = session.expires_at + 60
    await store.add_session(session, VERIFIED)
    await store.extend_session(session.digest, later)
    assert await store.find_session(session.digest, later - 1) == replace(session, expires_at=later)
    assert await store.find_session(session.digest, later) is None


async def test_a_session_that_ended_is_not_extended(store: Store) -> None:
    await add_people(store, "ada")
    session = new_session()
    await store.add_session(session, VERIFIED)
    await store.revoke_session(session.digest)
    await store.extend_session(session.digest, session.expires_at + 60)
    assert await store.find_session(session.digest, NOW) is None


async def test_one_session_ends_and_the_others_live(store: Store) -> None:
    await add_people(store, "ada")
    one, other = new_session("one"), new_session("other")
    await store.add_session(one, VERIFIED)
    await store.add_session(other, VERIFIED)
    await store.revoke_session(one.digest)
    await store.revoke_session(digest("unknown"))
    assert await store.find_session(one.digest, NOW) is None
    assert await store.find_session(other.digest, NOW) == other


async def test_signing_out_everywhere_ends_all_sessions_of_one_person(store: Store) -> None:
    await add_people(store, "ada", "bob")
    mine = [new_session(f"session {n}") for n in range(3)]
    bobs = new_session("bob's", "bob")
    for session in (*mine, bobs):
        await store.add_session(session, VERIFIED)
    await store.revoke_sessions("ada")
    await store.revoke_sessions("nobody")
    assert not any([await store.find_session(session.digest, NOW) for session in mine])
    assert await store.find_session(bobs.digest, NOW) == bobs


@pytest.mark.slow
async def test_who_signs_in_too_often_ends_their_own_oldest_session(store: Store) -> None:
    await add_people(store, "ada", "bob")
    bobs = new_session("bob's", "bob")
    sessions = [new_session(f"session {n}", signed_in_at=NOW + n) for n in range(SESSIONS_EACH + 2)]
    late = new_session("with the clock set back", signed_in_at=NOW - 1)
    for session in (bobs, *sessions, late):
        assert await store.add_session(session, VERIFIED)
    assert await store.find_session(bobs.digest, NOW) == bobs
    found = [await store.find_session(session.digest, NOW) for session in (*sessions, late)]
    assert found == [None, None, None, *sessions[3:], late]
    await store.revoke_sessions("ada")
    assert not any([await store.find_session(session.digest, NOW) for session in sessions])


async def test_a_clock_set_back_revives_no_session(store: Store) -> None:
    await add_people(store, "ada")
    await store.add_session(new_session("revoked"), VERIFIED)
    await store.revoke_session(digest("revoked"))
    await store.add_session(new_session("shut out"), VERIFIED)
    await store.disable_account("ada", NOW)
    assert await store.find_session(digest("revoked"), NOW - 86_400) is None
    assert await store.find_session(digest("shut out"), NOW - 86_400) is None
