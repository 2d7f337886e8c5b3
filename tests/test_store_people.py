"""The contract of every store: people."""

from asyncio import gather
from collections.abc import Awaitable
from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.store import Store
from tests.store_records import (
    NOW,
    VERIFIED,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    is_consumed,
    new_access_token,
    new_account,
    new_code,
    new_grant,
    new_session,
)


async def test_an_account_comes_back_as_it_was_added(store: Store) -> None:
    account = new_account(
        username="Zoë 🦉",
        name="Žofie \u202eNováková\u202c 王",
        email="zoë@例え.jp",
        roles=("admin", "читатель"),
        last_sign_in_at=NOW - 1,
    )
    assert await store.add_account(account)
    assert await store.find_account("ada") == account
    assert await store.find_account_by_username("Zoë 🦉") == account


async def test_an_account_without_roles_comes_back_without_roles(store: Store) -> None:
    account = new_account(roles=(), name="", email="")
    await store.add_account(account)
    assert await store.find_account("ada") == account


async def test_an_unknown_person_is_nobody(store: Store) -> None:
    assert await store.find_account("ada") is None
    assert await store.find_account_by_username("ada") is None
    assert list(await store.list_accounts()) == []


@pytest.mark.parametrize(
    ("username", "same"),
    [
        pytest.param("ada", "ada", id="equal"),
        pytest.param("Ada", "aDA", id="case"),
        pytest.param("Zoë", "ZOË", id="beyond-ascii"),
        pytest.param("straße", "STRASSE", id="one-letter-for-two"),
        pytest.param("ΣΊΣΥΦΟΣ", "σίσυφος", id="final-sigma"),
    ],
)
async def test_usernames_that_differ_in_case_are_one(
    store: Store, username: str, same: str
) -> None:
    account = new_account(username=username)
    assert await store.add_account(account)
    assert not await store.add_account(new_account("bob", username=same))
    assert await store.find_account_by_username(same) == account
    assert await store.find_account("bob") is None


async def test_of_many_who_want_a_username_at_once_one_gets_it(store: Store) -> None:
    wanting = [new_account(f"person {n}", username="ada") for n in range(20)]
    added = await gather(*map(store.add_account, wanting))
    assert sum(added) == 1
    winner = wanting[added.index(True)]
    assert list(await store.list_accounts()) == [winner]
    assert await store.find_account_by_username("ADA") == winner


async def test_accounts_are_listed_by_username(store: Store) -> None:
    for username in ("mallory", "Bob", "ada"):
        await store.add_account(new_account(f"subject of {username}", username=username))
    listed = [account.username for account in await store.list_accounts()]
    assert listed == ["ada", "Bob", "mallory"]


async def test_a_profile_can_be_changed_and_nothing_else_with_it(store: Store) -> None:
    account = new_account()
    await add_people(store, "ada", "bob")
    changed = replace(account, name="Ada Λ.", email="ada@example.org")
    assert await store.update_profile("ada", "Ada Λ.", "ada@example.org") == changed
    assert await store.find_account("ada") == changed
    assert await store.find_account("bob") == new_account("bob")


async def test_of_two_changes_to_a_profile_at_once_none_is_lost(store: Store) -> None:
    await add_people(store, "ada")
    await gather(
        store.update_profile("ada", "Ada Λ.", None),
        store.update_profile("ada", None, "ada@example.org"),
        store.update_profile("ada", None, None),
    )
    changed = new_account(name="Ada Λ.", email="ada@example.org")
    assert await store.find_account("ada") == changed
    assert await store.update_profile("ada", None, "") == replace(changed, email="")


async def test_nobody_has_no_profile(store: Store) -> None:
    assert await store.update_profile("ada", "Ada", "ada@example.org") is None
    assert await store.find_account("ada") is None


async def test_a_sign_in_is_noted(store: Store) -> None:
    await add_people(store, "ada")
    await store.record_sign_in("ada", NOW + 5)
    await store.record_sign_in("nobody", NOW + 6)
    assert await store.find_account("ada") == new_account(last_sign_in_at=NOW + 5)
    assert await store.find_account("nobody") is None


async def test_a_new_password_ends_sessions_but_the_kept_one_and_all_grants(store: Store) -> None:
    await add_people(store, "ada", "bob")
    kept, ended = new_session("kept"), new_session("ended")
    for session in (kept, ended, new_session("bob's", "bob")):
        await store.add_session(session, VERIFIED)
    grants = [await add_exchanged(store, "one"), await add_exchanged(store, "two")]
    pending = await add_pending(store, "pending")
    bobs = await add_exchanged(store, "bob's", "bob")

    assert await store.change_password("ada", "$argon2id$2", NOW, keep_session=kept.digest)

    assert await store.find_account("ada") == new_account(password_hash="$argon2id$2")
    assert await store.find_session(kept.digest, NOW) == kept
    assert await store.find_session(ended.digest, NOW) is None
    assert not any([await is_alive(store, grant) for grant in grants])
    assert not await is_consumed(
        store, new_code(pending).digest, new_access_token(pending), NOW + 9, NOW
    )
    assert await store.find_session(digest("bob's"), NOW)
    assert await is_alive(store, bobs)


async def test_a_new_password_with_no_session_to_keep_ends_every_session(store: Store) -> None:
    await add_people(store, "ada")
    await store.add_session(new_session(), VERIFIED)
    assert await store.change_password("ada", "$argon2id$2", NOW)
    assert await store.find_session(digest("session"), NOW) is None


async def test_to_keep_somebody_elses_session_keeps_none(store: Store) -> None:
    await add_people(store, "ada", "bob")
    bobs = new_session("bob's", "bob")
    await store.add_session(new_session(), VERIFIED)
    await store.add_session(bobs, VERIFIED)
    assert await store.change_password("ada", "$argon2id$2", NOW, keep_session=bobs.digest)
    assert await store.find_session(digest("session"), NOW) is None
    assert await store.find_session(bobs.digest, NOW) == bobs


async def test_nobody_has_no_password(store: Store) -> None:
    assert not await store.change_password("ada", "$argon2id$2", NOW)
    assert not await store.replace_password_hash("ada", "$argon2id$1", "$argon2id$2")
    assert await store.find_account("ada") is None


async def test_a_password_hashed_anew_ends_nothing(store: Store) -> None:
    await add_people(store, "ada")
    await store.add_session(new_session(), VERIFIED)
    grant = await add_exchanged(store)
    assert await store.replace_password_hash("ada", "$argon2id$1", "$argon2id$2")
    assert await store.find_account("ada") == new_account(password_hash="$argon2id$2")
    assert await store.find_session(digest("session"), NOW)
    assert await is_alive(store, grant)


async def test_a_password_changed_meanwhile_is_not_hashed_anew(store: Store) -> None:
    await add_people(store, "ada")
    await store.change_password("ada", "$argon2id$new", NOW)
    assert not await store.replace_password_hash("ada", "$argon2id$1", "$argon2id$2")
    assert await store.find_account("ada") == new_account(password_hash="$argon2id$new")


async def test_of_many_who_hash_a_password_anew_at_once_one_does(store: Store) -> None:
    await add_people(store, "ada")
    new_hashes = [f"$argon2id$new {n}" for n in range(20)]
    done = await gather(
        *(store.replace_password_hash("ada", "$argon2id$1", new) for new in new_hashes)
    )
    assert sum(done) == 1
    winner = new_account(password_hash=new_hashes[done.index(True)])
    assert await store.find_account("ada") == winner


async def test_a_disabled_person_loses_sessions_and_grants(store: Store) -> None:
    await add_people(store, "ada", "bob")
    await store.add_session(new_session(), VERIFIED)
    await store.add_session(new_session("bob's", "bob"), VERIFIED)
    grant = await add_exchanged(store)
    pending = await add_pending(store, "pending")
    bobs = await add_exchanged(store, "bob's", "bob")

    assert await store.disable_account("ada", NOW + 1)

    assert await store.find_account("ada") == new_account(disabled_at=NOW + 1)
    assert await store.find_session(digest("session"), NOW + 1) is None
    assert not await is_alive(store, grant, NOW + 1)
    assert list(await store.find_grants("ada", NOW + 1)) == []
    assert await store.find_grant("pending", NOW + 1) is None
    assert not await is_consumed(
        store, new_code(pending).digest, new_access_token(pending), NOW + 9, NOW + 1
    )
    assert await store.find_session(digest("bob's"), NOW + 1)
    assert await is_alive(store, bobs, NOW + 1)


async def test_a_disabled_person_gets_no_session_and_no_grant(store: Store) -> None:
    await add_people(store, "ada")
    await store.disable_account("ada", NOW)
    grant = new_grant()
    assert not await store.add_session(new_session(), VERIFIED)
    assert not await store.add_grant(grant, new_code(grant))
    assert await store.find_session(digest("session"), NOW) is None
    assert await store.find_grant("grant", NOW) is None
    assert await store.find_code(new_code(grant).digest, NOW) is None


async def test_what_ended_stays_ended_when_a_person_is_enabled_again(store: Store) -> None:
    await add_people(store, "ada")
    await store.add_session(new_session(), VERIFIED)
    grant = await add_exchanged(store)
    await store.disable_account("ada", NOW)
    assert await store.enable_account("ada")
    assert await store.find_account("ada") == new_account()
    assert await store.find_session(digest("session"), NOW) is None
    assert not await is_alive(store, grant)


async def test_an_enabled_person_can_sign_in_and_consent_again(store: Store) -> None:
    await add_people(store, "ada")
    await store.disable_account("ada", NOW)
    await store.enable_account("ada")
    assert await store.add_session(new_session(), VERIFIED)
    assert await is_alive(store, await add_exchanged(store))


async def test_nobody_can_be_disabled_enabled_or_removed(store: Store) -> None:
    assert not await store.disable_account("ada", NOW)
    assert not await store.enable_account("ada")
    assert not await store.remove_account("ada", NOW)


async def test_a_removed_person_loses_everything(store: Store) -> None:
    await add_people(store, "ada", "bob")
    await store.add_session(new_session(), VERIFIED)
    grant = await add_exchanged(store)
    pending = await add_pending(store, "pending")
    bobs = await add_exchanged(store, "bob's", "bob")

    assert await store.remove_account("ada", NOW)

    assert await store.find_account("ada") is None
    assert await store.find_account_by_username("ada") is None
    assert list(await store.list_accounts()) == [new_account("bob")]
    assert await store.find_session(digest("session"), NOW) is None
    assert not await is_alive(store, grant)
    assert not await is_consumed(
        store, new_code(pending).digest, new_access_token(pending), NOW + 9, NOW
    )
    assert not await store.remove_account("ada", NOW)
    assert await is_alive(store, bobs)


async def test_a_removed_person_gets_no_session_and_no_grant(store: Store) -> None:
    await add_people(store, "ada")
    await store.remove_account("ada", NOW)
    grant = new_grant()
    assert not await store.add_session(new_session(), VERIFIED)
    assert not await store.add_grant(grant, new_code(grant))
    assert await store.find_session(digest("session"), NOW) is None
    assert await store.find_grant("grant", NOW) is None


async def test_the_username_of_a_removed_person_is_free(store: Store) -> None:
    await store.add_account(new_account(username="Ada"))
    await store.remove_account("ada", NOW)
    successor = new_account("another", username="ADA")
    assert await store.add_account(successor)
    assert await store.find_account_by_username("ada") == successor


# What began before a person was shut out, and ends afterwards


async def test_a_session_is_added_only_with_the_password_that_was_verified(store: Store) -> None:
    await add_people(store, "ada")
    assert not await store.add_session(new_session(), "$argon2id$another")
    await store.change_password("ada", "$argon2id$2", NOW)
    assert not await store.add_session(new_session(), VERIFIED)
    assert await store.find_session(new_session().digest, NOW) is None
    assert await store.add_session(new_session(), "$argon2id$2")


async def test_a_grant_is_added_only_while_its_session_lives(store: Store) -> None:
    await add_people(store, "ada", "bob")
    session, bobs = new_session(), new_session("bob's", "bob")
    expired = new_session("expired", expires_at=NOW)
    ended = new_session("ended")
    for each in (session, bobs, expired, ended):
        assert await store.add_session(each, VERIFIED)
    await store.revoke_session(ended.digest)
    grant = new_grant()
    for other in (bobs, expired, ended, new_session("unknown")):
        assert not await store.add_grant(grant, new_code(grant), other.digest)
    assert await store.find_grant(grant.grant_id, NOW) is None
    assert await store.add_grant(grant, new_code(grant), session.digest)


async def test_a_password_is_replaced_only_by_who_knew_it(store: Store) -> None:
    await add_people(store, "ada")
    assert not await store.change_password("ada", "$argon2id$3", NOW, verified="$argon2id$2")
    assert await store.change_password("ada", "$argon2id$2", NOW, verified=VERIFIED)
    account = await store.find_account("ada")
    assert account
    assert account.password_hash == "$argon2id$2"


@pytest.mark.parametrize("is_disabled", [True, False])
async def test_who_signs_in_or_consents_while_being_shut_out_gains_nothing(
    store: Store, *, is_disabled: bool
) -> None:
    await add_people(store, "ada")
    first = new_session()
    assert await store.add_session(first, VERIFIED)
    sessions = [new_session(f"session {n}") for n in range(20)]
    grants = [new_grant(f"grant {n}") for n in range(20)]

    def begin(some: slice) -> list[Awaitable[bool]]:
        return [
            *(store.add_session(session, VERIFIED) for session in sessions[some]),
            *(store.add_grant(grant, new_code(grant), first.digest) for grant in grants[some]),
        ]

    await gather(
        *begin(slice(10)),
        store.disable_account("ada", NOW)
        if is_disabled
        else store.change_password("ada", "$argon2id$2", NOW),
        *begin(slice(10, 20)),
    )
    await store.enable_account("ada")
    late = new_grant("late")
    assert not await store.add_grant(late, new_code(late), first.digest)
    assert not any([await store.find_session(session.digest, NOW) for session in sessions])
    assert not any([await store.find_grant(grant.grant_id, NOW) for grant in grants])
