"""The contract of every store: what may be used once, uses, bans and events."""

from asyncio import gather

import pytest

from auth.credentials import digest
from auth.models import Rotation, Use
from auth.store import Store
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
    new_event,
)

TODAY = NOW // 86_400


@pytest.fixture(autouse=True)
async def _people(store: Store) -> None:
    await add_people(store, "ada", "bob")


async def test_a_store_that_is_open_answers(store: Store) -> None:
    await store.check()
    assert store.is_shared in {True, False}


# Things that may be used once


async def test_a_one_time_thing_can_be_used_once(store: Store) -> None:
    assert await store.spend(digest("form"), NOW + 60, NOW)
    assert not await store.spend(digest("form"), NOW + 60, NOW)
    assert not await store.spend(digest("form"), NOW + 60, NOW + 59)
    assert await store.spend(digest("other form"), NOW + 60, NOW)


async def test_a_one_time_thing_can_be_used_until_the_second_of_its_expiry(store: Store) -> None:
    assert not await store.spend(digest("late"), NOW + 60, NOW + 60)
    assert await store.spend(digest("in time"), NOW + 60, NOW + 59)


async def test_of_a_hundred_who_use_a_one_time_thing_at_once_one_does(store: Store) -> None:
    spent = await gather(*(store.spend(digest("form"), NOW + 60, NOW) for _ in range(100)))
    assert sum(spent) == 1


async def test_a_clock_set_back_gives_no_second_use(store: Store) -> None:
    await store.spend(digest("form"), NOW + 60, NOW)
    assert not await store.spend(digest("form"), NOW + 60, NOW - 3600)


# How grants are used


def calls(number: int, *, day: int = TODAY, grant_id: str = "grant", at: int = NOW) -> Use:
    """So many calls in one day, all of them counted for the first time."""
    return Use(grant_id, calls=number, day=day, calls_on_day=number, last_used_at=at)


async def test_calls_add_up(store: Store) -> None:
    await add_exchanged(store)
    await store.record_uses([calls(2), calls(3, at=NOW + 1)])
    await store.record_uses([calls(1, at=NOW + 2)])
    await store.record_uses([])
    assert list(await store.find_uses("ada")) == [Use("grant", 6, TODAY, 6, NOW + 2)]


async def test_of_calls_counted_at_once_none_is_lost(store: Store) -> None:
    await add_exchanged(store)
    await gather(*(store.record_uses([calls(1, at=NOW + n)]) for n in range(50)))
    assert list(await store.find_uses("ada")) == [Use("grant", 50, TODAY, 50, NOW + 49)]


async def test_a_new_day_is_counted_from_nothing(store: Store) -> None:
    await add_exchanged(store)
    await store.record_uses([calls(5)])
    await store.record_uses([calls(2, day=TODAY + 1, at=NOW + 86_400)])
    expected = Use("grant", 7, TODAY + 1, 2, NOW + 86_400)
    assert list(await store.find_uses("ada")) == [expected]


async def test_calls_of_a_day_that_is_over_only_add_to_all(store: Store) -> None:
    await add_exchanged(store)
    await store.record_uses([calls(5)])
    await store.record_uses([calls(2, day=TODAY - 1, at=NOW - 86_400)])
    assert list(await store.find_uses("ada")) == [Use("grant", 7, TODAY, 5, NOW)]


async def test_each_grant_is_counted_by_itself(store: Store) -> None:
    await add_exchanged(store, "one")
    await add_exchanged(store, "two")
    await add_exchanged(store, "bob's", "bob")
    uses = [calls(1, grant_id="one"), calls(2, grant_id="two"), calls(3, grant_id="bob's")]
    await store.record_uses(uses)
    found = sorted(await store.find_uses("ada"), key=lambda use: use.grant_id)
    assert found == uses[:2]
    assert list(await store.find_uses("bob")) == uses[2:]
    assert list(await store.find_uses("nobody")) == []


async def test_calls_under_an_unknown_grant_are_let_go(store: Store) -> None:
    await add_exchanged(store)
    await store.record_uses([calls(1, grant_id="unknown"), calls(2)])
    assert list(await store.find_uses("ada")) == [calls(2)]


async def test_calls_before_there_was_a_grant_are_let_go(store: Store) -> None:
    await store.record_uses([calls(1)])
    await add_exchanged(store)
    assert list(await store.find_uses("ada")) == []


async def test_the_uses_of_a_revoked_grant_are_remembered(store: Store) -> None:
    await add_exchanged(store)
    await store.record_uses([calls(1)])
    await store.revoke_grant("grant", NOW)
    await store.record_uses([calls(1)])
    assert list(await store.find_uses("ada")) == [calls(2)]


async def test_a_rotation_forgets_no_use(store: Store) -> None:
    grant = await add_exchanged(store)
    await store.record_uses([calls(1)])
    await store.rotate_refresh_token(
        grant.grant_id, 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
    )
    assert list(await store.find_uses("ada")) == [calls(1)]


# Clients that are shut out


async def test_a_ban_ends_the_grants_of_one_client(store: Store) -> None:
    grant, pending = await add_exchanged(store), await add_pending(store, "pending")
    bobs = await add_exchanged(store, "bob's", "bob")
    other = await add_exchanged(store, "other", client_id="another client")
    ban = new_ban(client_name="Čau 🍫", reason="it „phished“")

    await store.ban_client(CLIENT, ban)

    assert await store.find_ban(digest(CLIENT)) == ban
    assert not await is_alive(store, grant)
    assert not await is_alive(store, bobs)
    assert not await is_consumed(
        store, new_code(pending).digest, new_access_token(pending), GRANTED_UNTIL, NOW
    )
    refused = await store.rotate_refresh_token(
        "grant", 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
    )
    assert refused is Rotation.REFUSED
    assert await is_alive(store, other)


async def test_a_ban_lifted_lets_a_client_in_but_what_ended_stays_ended(store: Store) -> None:
    grant = await add_exchanged(store)
    await store.ban_client(CLIENT, new_ban())
    assert await store.unban_client(digest(CLIENT))
    assert not await store.unban_client(digest(CLIENT))
    assert await store.find_ban(digest(CLIENT)) is None
    assert list(await store.list_bans()) == []
    assert not await is_alive(store, grant)
    assert await is_alive(store, await add_exchanged(store, "again"))


async def test_a_second_ban_replaces_the_first(store: Store) -> None:
    second = new_ban(banned_at=NOW + 1, reason="again")
    await store.ban_client(CLIENT, new_ban())
    await store.ban_client(CLIENT, second)
    assert list(await store.list_bans()) == [second]
    assert await store.find_ban(digest(CLIENT)) == second


async def test_bans_are_listed_newest_first(store: Store) -> None:
    bans = [new_ban(f"client {at}", banned_at=at) for at in (NOW, NOW - 2, NOW - 1)]
    for ban in bans:
        await store.ban_client(f"client {ban.banned_at}", ban)
    assert list(await store.list_bans()) == [bans[0], bans[2], bans[1]]
    assert await store.find_ban(digest("unknown")) is None


async def test_clients_are_listed_with_the_number_of_their_live_grants(store: Store) -> None:
    assert list(await store.list_clients(NOW)) == []
    await add_exchanged(store, "one")
    await add_exchanged(store, "two", "bob")
    await add_exchanged(store, "revoked")
    await store.revoke_grant("revoked", NOW)
    for grant_id, client_id in (("three", "other"), ("gone", "former")):
        await add_exchanged(store, grant_id, client_id=client_id, client_name=client_id.title())
    await store.revoke_grant("gone", NOW)
    listed = sorted(await store.list_clients(NOW))
    assert listed == [(CLIENT, "Claude", 2), ("other", "Other", 1)]
    assert list(await store.list_clients(GRANTED_UNTIL)) == []


# What happened


async def test_events_come_back_newest_first(store: Store) -> None:
    first = new_event(NOW, kind="consent", client_id=CLIENT, grant_id="grant")
    second = new_event(NOW + 1, address=None, correlation_id=None, reason="žádný důvod")
    for event in (first, new_event(subject="bob"), second):
        await store.add_event(event, {"sign_in"}, 50)
    assert list(await store.list_events("ada")) == [second, first]
    assert list(await store.list_events("bob")) == [new_event(subject="bob")]
    assert list(await store.list_events("nobody")) == []


async def test_events_of_one_second_keep_their_order(store: Store) -> None:
    events = [new_event(kind=kind) for kind in ("consent", "exchange", "refresh")]
    for event in events:
        await store.add_event(event, {"sign_in"}, 50)
    assert list(await store.list_events("ada")) == events[::-1]


async def test_of_a_persons_events_of_like_kinds_the_newest_are_remembered(store: Store) -> None:
    other = new_event(NOW, kind="other")
    await store.add_event(other, {"other"}, 2)
    events = [new_event(NOW + n, kind=kind) for n in range(10) for kind in ("sign_in", "failed")]
    await store.add_event(new_event(subject="bob"), {"sign_in"}, 5)
    for event in events:
        await store.add_event(event, {"sign_in", "failed"}, 5)
    assert list(await store.list_events("ada")) == [*events[:14:-1], other]
    assert len(await store.list_events("bob")) == 1


async def test_of_equal_events_the_oldest_goes(store: Store) -> None:
    for kind in ("sign_in", "other", "sign_in", "sign_in"):
        await store.add_event(new_event(kind=kind), {"sign_in"}, 2)
    kinds = [event.kind for event in await store.list_events("ada")]
    assert kinds == ["sign_in", "sign_in", "other"]


async def test_an_event_that_is_nobodys_is_forgotten(store: Store) -> None:
    await store.remove_account("bob", NOW)
    for subject in (None, "", "bob", "client:reporter"):
        await store.add_event(new_event(subject=subject), {"sign_in"}, 50)
        assert list(await store.list_events(subject or "")) == []
    assert list(await store.list_events("ada")) == []
