"""The contract of every store: grants and their access tokens."""

from asyncio import gather
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.models import Consumption, Grant, Rotation
from auth.store import GRANTS_OF_A_CLIENT, UNUSED_GRANTS_EACH, Store
from tests.store_records import (
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
    new_grant,
)


@pytest.fixture(autouse=True)
async def _people(store: Store) -> None:
    await add_people(store, "ada", "bob")


async def test_a_grant_and_its_code_come_back_as_they_were_added(store: Store) -> None:
    grant = new_grant(
        client_name="Čokoláda “客户端” 🍫",
        redirect_uri="com.example.app:/oauth?a=b&c=%20",
        scopes=("user", "files:übersicht"),
    )
    code = new_code(grant)
    assert await store.add_grant(grant, code)
    assert await store.find_grant(grant.grant_id, NOW) == grant
    assert await store.find_code(code.digest, NOW) == (code, grant)


async def test_what_was_never_added_is_none(store: Store) -> None:
    assert await store.find_grant("grant", NOW) is None
    assert await store.find_code(digest("code"), NOW) is None
    assert await store.find_access_token(digest("access token"), NOW) is None
    assert list(await store.find_grants("ada", NOW)) == []


async def test_nobody_can_grant_nothing(store: Store) -> None:
    grant = new_grant(subject="nobody")
    assert not await store.add_grant(grant, new_code(grant))
    assert await store.find_grant(grant.grant_id, NOW) is None
    assert await store.find_code(new_code(grant).digest, NOW) is None


async def test_a_banned_client_is_granted_nothing(store: Store) -> None:
    grant = new_grant()
    await store.ban_client(grant.client_id, new_ban())
    assert not await store.add_grant(grant, new_code(grant))
    assert await store.find_grant(grant.grant_id, NOW) is None
    assert await store.find_code(new_code(grant).digest, NOW) is None


async def test_the_grants_of_one_client_can_be_asked_for(store: Store) -> None:
    own = await add_exchanged(store, "own")
    other = await add_exchanged(store, "other", client_id="another client")
    assert {*await living(store, [own, other])} == {"own", "other"}
    assert [g.grant_id for g in await store.find_grants("ada", NOW, own.client_id)] == ["own"]
    assert list(await store.find_grants("ada", NOW, "nobody")) == []
    assert len(await store.find_grants("ada", NOW)) == 2


async def test_a_client_can_be_granted_access_for_itself(store: Store) -> None:
    grant = new_grant(subject="client:reporter", client_id="reporter", expires_at=NOW + 3600)
    access_token = new_access_token(grant)
    assert await store.add_grant(grant, access_token)
    assert await store.find_access_token(access_token.digest, NOW) == (access_token, grant)
    assert await store.find_grant(grant.grant_id, NOW) == grant


async def test_a_banned_client_is_granted_nothing_for_itself(store: Store) -> None:
    grant = new_grant(subject="client:reporter", client_id="reporter", expires_at=NOW + 3600)
    await store.ban_client("reporter", new_ban("reporter"))
    assert not await store.add_grant(grant, new_access_token(grant))
    assert await store.find_access_token(new_access_token(grant).digest, NOW) is None


async def test_a_grant_lives_until_the_second_of_its_expiry(store: Store) -> None:
    grant = await add_exchanged(store)
    assert await store.find_grant(grant.grant_id, GRANTED_UNTIL - 1) == grant
    assert list(await store.find_grants("ada", GRANTED_UNTIL - 1)) == [grant]
    assert await store.find_grant(grant.grant_id, GRANTED_UNTIL) is None
    assert list(await store.find_grants("ada", GRANTED_UNTIL)) == []


async def test_an_access_token_lives_until_the_second_of_its_expiry(store: Store) -> None:
    grant = await add_exchanged(store)
    access_token = new_access_token(grant)
    last = access_token.expires_at - 1
    assert await store.find_access_token(access_token.digest, last) == (access_token, grant)
    assert await store.find_access_token(access_token.digest, last + 1) is None


async def test_a_grant_is_listed_once_its_code_is_exchanged(store: Store) -> None:
    pending = await add_pending(store, "pending")
    exchanged = await add_exchanged(store, "exchanged")
    await add_exchanged(store, "bob's", "bob")
    assert list(await store.find_grants("ada", NOW)) == [exchanged]
    assert await store.find_grant(pending.grant_id, NOW) == pending


async def test_those_whose_code_waits_are_listed_for_whoever_asks_for_them(store: Store) -> None:
    exchanged = await add_exchanged(store, "exchanged", created_at=NOW - 10)
    pending = await add_pending(store, "pending")
    other = new_grant("other", client_id="another client", created_at=NOW - 5)
    assert await store.add_grant(other, new_code(other))
    await add_pending(store, "bob's", "bob")
    ended = await add_pending(store, "ended")
    await store.revoke_grant(ended.grant_id, NOW)

    async def found(now: int = NOW, client_id: str | None = None) -> list[Grant]:
        return list(await store.find_grants("ada", now, client_id, with_unexchanged=True))

    assert await found() == [pending, other, exchanged]
    assert await found(client_id=pending.client_id) == [pending, exchanged]
    assert await found(pending.expires_at) == [exchanged]


async def test_grants_are_listed_newest_first(store: Store) -> None:
    for created_at in (NOW - 20, NOW, NOW - 10):
        await add_exchanged(store, f"grant of {created_at}", created_at=created_at)
    listed = [grant.created_at for grant in await store.find_grants("ada", NOW)]
    assert listed == [NOW, NOW - 10, NOW - 20]


async def test_a_revoked_access_token_is_dead_and_its_grant_lives(store: Store) -> None:
    grant = await add_exchanged(store)
    second = new_access_token(grant, 2)
    await store.rotate_refresh_token(grant.grant_id, 1, second, GRANTED_UNTIL, NOW, GRACE)
    await store.revoke_access_token(new_access_token(grant).digest)
    await store.revoke_access_token(digest("unknown"))
    assert not await is_alive(store, grant)
    assert await store.find_access_token(second.digest, NOW)
    assert await store.find_grant(grant.grant_id, NOW)


@pytest.mark.parametrize(
    ("asked", "remaining"),
    [
        pytest.param((), (), id="nothing-remains"),
        pytest.param(("user",), ("user",), id="one-goes"),
        pytest.param(("user:write", "user"), ("user", "user:write"), id="nothing-goes"),
        pytest.param(("user", "admin"), ("user",), id="nothing-is-added"),
        pytest.param(("admin",), (), id="only-what-it-never-had"),
    ],
)
async def test_a_grant_can_be_narrowed_and_never_widened(
    store: Store, asked: tuple[str, ...], remaining: tuple[str, ...]
) -> None:
    grant = await add_exchanged(store)
    other = await add_exchanged(store, "other")
    assert await store.narrow_grant(grant.grant_id, asked, NOW)
    narrowed = replace(grant, scopes=remaining)
    access_token = new_access_token(grant)
    assert await store.find_grant(grant.grant_id, NOW) == narrowed
    assert await store.find_access_token(access_token.digest, NOW) == (access_token, narrowed)
    assert await store.find_grant(other.grant_id, NOW) == other


async def test_a_scope_once_taken_does_not_come_back(store: Store) -> None:
    grant = await add_exchanged(store)
    await store.narrow_grant(grant.grant_id, ("user",), NOW)
    await store.narrow_grant(grant.grant_id, ("user", "user:write"), NOW)
    await store.rotate_refresh_token(
        grant.grant_id, 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
    )
    found = await store.find_grant(grant.grant_id, NOW)
    assert found
    assert found.scopes == ("user",)


async def test_of_many_who_narrow_a_grant_at_once_everybody_is_heard(store: Store) -> None:
    scopes = tuple(f"scope-{n}" for n in range(20))
    grant = await add_exchanged(store, scopes=(*scopes, "user"))
    await gather(
        *(
            store.narrow_grant(grant.grant_id, tuple(set(grant.scopes) - {scope}), NOW)
            for scope in scopes
        )
    )
    assert await store.find_grant(grant.grant_id, NOW) == replace(grant, scopes=("user",))


async def test_only_a_live_grant_can_be_narrowed(store: Store) -> None:
    grant = await add_exchanged(store)
    expired = await add_exchanged(store, "expired")
    await store.revoke_grant(grant.grant_id, NOW)
    assert not await store.narrow_grant("unknown", ("user",), NOW)
    assert not await store.narrow_grant(grant.grant_id, ("user",), NOW)
    assert not await store.narrow_grant(expired.grant_id, ("user",), GRANTED_UNTIL)


async def test_a_revoked_grant_takes_everything_it_gave_with_it(store: Store) -> None:
    grant, other = await add_exchanged(store), await add_exchanged(store, "other")
    second = new_access_token(grant, 2)
    await store.rotate_refresh_token(grant.grant_id, 1, second, GRANTED_UNTIL, NOW, GRACE)
    assert await store.revoke_grant(grant.grant_id, NOW)
    assert not await is_alive(store, grant)
    assert await store.find_access_token(second.digest, NOW) is None
    assert await store.find_grant(grant.grant_id, NOW) is None
    assert list(await store.find_grants("ada", NOW)) == [other]
    assert await is_alive(store, other)


async def test_a_grant_ends_once(store: Store) -> None:
    grant, pending = await add_exchanged(store), await add_pending(store, "pending")
    expired = await add_exchanged(store, "expired")
    assert not await store.revoke_grant("unknown", NOW)
    assert await store.revoke_grant(pending.grant_id, NOW)
    assert sum(await gather(*(store.revoke_grant(grant.grant_id, NOW) for _ in range(20)))) == 1
    assert not await store.revoke_grant(expired.grant_id, GRANTED_UNTIL)


async def test_what_ended_keeps_the_second_in_which_it_ended(store: Store) -> None:
    grant = await add_exchanged(store)
    await store.revoke_grant(grant.grant_id, NOW + 1)
    await store.revoke_grant(grant.grant_id, NOW + 2)
    await store.revoke_grants("ada", NOW + 3)
    await store.disable_account("ada", NOW + 4)
    await store.ban_client(grant.client_id, new_ban(banned_at=NOW + 5))
    found = await store.find_code(new_code(grant).digest, NOW + 6)
    assert found
    assert found[1] == replace(grant, revoked_at=NOW + 1)


async def test_all_grants_of_a_person_can_end_at_once(store: Store) -> None:
    grants = [await add_exchanged(store, f"grant {n}") for n in range(3)]
    await store.revoke_grant(grants[0].grant_id, NOW)
    pending = await add_pending(store, "pending")
    bobs = await add_exchanged(store, "bob's", "bob")

    assert await store.revoke_grants("ada", NOW) == 3
    assert await store.revoke_grants("ada", NOW) == 0
    assert await store.revoke_grants("nobody", NOW) == 0

    assert not any([await is_alive(store, grant) for grant in grants])
    assert await store.find_grant(pending.grant_id, NOW) is None
    assert list(await store.find_grants("ada", NOW)) == []
    assert await is_alive(store, bobs)
    assert await store.revoke_grants("bob", GRANTED_UNTIL) == 0


async def test_what_is_added_under_a_revoked_grant_is_dead_too(store: Store) -> None:
    grant, pending = await add_exchanged(store), await add_pending(store, "pending")
    await store.revoke_grants("ada", NOW)
    second, first = new_access_token(grant, 2), new_access_token(pending)
    rotation = await store.rotate_refresh_token(
        grant.grant_id, 1, second, GRANTED_UNTIL, NOW, GRACE
    )
    assert rotation is Rotation.REFUSED
    assert not await is_consumed(store, new_code(pending).digest, first, GRANTED_UNTIL, NOW)
    assert await store.find_access_token(second.digest, NOW) is None
    assert await store.find_access_token(first.digest, NOW) is None


async def test_a_clock_set_back_revives_no_grant_and_no_code(store: Store) -> None:
    spent, revoked = await add_exchanged(store, "spent"), await add_exchanged(store, "revoked")
    await store.revoke_grant(revoked.grant_id, NOW)
    earlier = NOW - 30
    again = new_access_token(spent, 2)
    assert not await is_consumed(store, new_code(spent).digest, again, GRANTED_UNTIL, earlier)
    assert await store.find_access_token(again.digest, earlier) is None
    assert await store.find_grant(revoked.grant_id, earlier) is None
    assert not await is_alive(store, revoked, earlier)


@pytest.mark.parametrize("end", ["grant", "grants", "person", "password", "client"])
async def test_what_is_ended_after_it_expired_is_not_revived_by_a_clock_set_back(
    store: Store, end: str
) -> None:
    grant = await add_exchanged(store)
    endings: dict[str, Callable[[], Awaitable[object]]] = {
        "grant": lambda: store.revoke_grant(grant.grant_id, GRANTED_UNTIL),
        "grants": lambda: store.revoke_grants("ada", GRANTED_UNTIL),
        "person": lambda: store.disable_account("ada", GRANTED_UNTIL),
        "password": lambda: store.change_password("ada", "another hash", GRANTED_UNTIL),
        "client": lambda: store.ban_client(grant.client_id, new_ban(banned_at=GRANTED_UNTIL)),
    }
    await endings[end]()
    assert await store.find_grant(grant.grant_id, NOW) is None
    assert not await is_alive(store, grant)


# Very many grants of one person


async def add_many(store: Store, number: int) -> list[Grant]:
    """Grants of ada's that were exchanged, each a second newer than the one before."""
    grants = [new_grant(f"grant {n}", created_at=NOW - 500 + n) for n in range(number)]
    for grant in grants:
        assert await store.add_grant(grant, new_code(grant))
    exchanges = [
        store.consume_code(
            new_code(grant).digest, new_access_token(grant), GRANTED_UNTIL, grant.created_at
        )
        for grant in grants
    ]
    assert set(await gather(*exchanges)) == {Consumption.CONSUMED}
    return grants


async def living(store: Store, grants: Iterable[Grant]) -> list[str]:
    """The ids of those that are still there."""
    return [grant.grant_id for grant in grants if await store.find_grant(grant.grant_id, NOW)]


@pytest.mark.slow
async def test_of_very_many_unused_grants_of_a_person_the_least_needed_goes_and_none_in_use(
    store: Store,
) -> None:
    bobs = await add_exchanged(store, "bob's", "bob")
    old = await add_exchanged(store, "old", client_id="other", created_at=NOW - 999)
    used = await add_many(store, 10)
    revoked = new_grant("revoked", client_id="other")
    theirs = new_grant("theirs", client_id="other", created_at=NOW - 2)
    own = new_grant("own", created_at=NOW - 1)
    others = [new_grant(f"waiting {n}") for n in range(UNUSED_GRANTS_EACH - 4)]
    older = new_grant("older", created_at=NOW - 9)
    for waiting in (revoked, theirs, own, older, *others):
        assert await store.add_grant(waiting, new_code(waiting))
    await store.revoke_grant("revoked", NOW)
    looked_at = [older, own, theirs, *used, old, bobs]
    ids = [grant.grant_id for grant in looked_at]

    for n, remaining in enumerate((ids, ids[1:], ids[2:])):
        new = new_grant(f"new {n}")
        assert await store.add_grant(new, new_code(new))
        assert await living(store, looked_at) == remaining
    assert await store.find_code(new_code(revoked).digest, NOW) is None
    assert await store.find_code(new_code(own).digest, NOW) is None
    assert all([await is_alive(store, grant) for grant in (*used, old)])


@pytest.mark.slow
async def test_what_a_client_was_given_for_itself_is_nobodys_and_not_counted(store: Store) -> None:
    grants = [
        new_grant(f"grant {n}", "client:reporter", client_id="reporter", expires_at=NOW + 3600)
        for n in range(UNUSED_GRANTS_EACH + 1)
    ]
    for grant in grants:
        assert await store.add_grant(grant, new_access_token(grant))
    assert await is_alive(store, grants[0])


@pytest.mark.slow
async def test_of_very_many_that_a_client_has_for_itself_the_first_ends(store: Store) -> None:
    def of(subject: str, name: str) -> Grant:
        until = NOW + 3600
        return new_grant(name, f"client:{subject}", client_id=subject, expires_at=until)

    other, adas = of("another", "another's"), await add_exchanged(store, client_id="reporter")
    grants = [of("reporter", f"grant {n}") for n in range(GRANTS_OF_A_CLIENT + 2)]
    for grant in (other, *grants[:4]):
        assert await store.add_grant(grant, new_access_token(grant))
    more = (store.add_grant(grant, new_access_token(grant)) for grant in grants[4:-2])
    assert all(await gather(*more))
    await store.revoke_access_token(new_access_token(grants[1]).digest)
    assert await is_alive(store, grants[0])
    for n, grant in enumerate(grants[-2:]):
        assert await store.add_grant(grant, new_access_token(grant))
        assert await living(store, grants[:4]) == [g.grant_id for g in grants[n + 1 : 4]]
        assert not await is_alive(store, grants[n])
    assert all([await is_alive(store, grant) for grant in (other, adas, *grants[2:])])
