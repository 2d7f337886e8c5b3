"""The contract of every store: authorization codes, which can be used once."""

from asyncio import gather
from collections import Counter
from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.models import Consumption, Grant
from auth.store import Store
from tests.store_records import (
    CODE_TTL,
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


@pytest.fixture(autouse=True)
async def _people(store: Store) -> None:
    await add_people(store, "ada")


async def present(store: Store, grant: Grant, now: int = NOW) -> Consumption:
    """Present the code of a grant, as its client or a thief would."""
    access_token = new_access_token(grant, 1)
    return await store.consume_code(new_code(grant).digest, access_token, GRANTED_UNTIL, now)


async def test_a_code_lives_until_the_second_of_its_expiry(store: Store) -> None:
    grant = new_grant(expires_at=NOW + CODE_TTL + 1)
    code = new_code(grant)
    await store.add_grant(grant, code)
    assert await store.find_code(code.digest, code.expires_at - 1) == (code, grant)
    assert await store.find_code(code.digest, code.expires_at) is None
    access_token = new_access_token(grant)
    assert not await is_consumed(store, code.digest, access_token, GRANTED_UNTIL, code.expires_at)


async def test_a_code_can_be_used_in_its_last_second(store: Store) -> None:
    grant = await add_pending(store)
    code, last = new_code(grant), NOW + CODE_TTL - 1
    assert await is_consumed(store, code.digest, new_access_token(grant), GRANTED_UNTIL, last)


async def test_a_code_gives_an_access_token_and_starts_the_family(store: Store) -> None:
    grant = await add_pending(store)
    code, access_token = new_code(grant), new_access_token(grant)
    assert await is_consumed(store, code.digest, access_token, GRANTED_UNTIL, NOW + 5)
    started = replace(grant, generation=1, rotated_at=NOW + 5, expires_at=GRANTED_UNTIL)
    assert await store.find_grant(grant.grant_id, NOW + 5) == started
    assert await store.find_access_token(access_token.digest, NOW + 5) == (access_token, started)
    assert await store.find_code(code.digest, NOW + 5) == (replace(code, is_spent=True), started)


async def test_a_code_used_again_gives_nothing_and_takes_back_what_it_gave(store: Store) -> None:
    grant = await add_exchanged(store)
    code, second = new_code(grant), new_access_token(grant, 2)
    again = [await present(store, grant, NOW + 1) for _ in range(2)]
    assert again == [Consumption.REPLAYED, Consumption.REFUSED]
    assert await store.find_access_token(second.digest, NOW + 1) is None
    assert not await is_alive(store, grant)
    revoked = replace(grant, revoked_at=NOW + 1)
    assert await store.find_code(code.digest, NOW + 1) == (replace(code, is_spent=True), revoked)


async def test_what_ended_for_another_reason_was_not_replayed(store: Store) -> None:
    expired, revoked = await add_exchanged(store, "expired"), await add_exchanged(store, "revoked")
    assert await present(store, expired, NOW + CODE_TTL) is Consumption.REFUSED
    assert await is_alive(store, expired)
    assert await store.revoke_grant("revoked", NOW)
    assert await present(store, revoked) is Consumption.REFUSED
    late = new_grant("late", expires_at=NOW + 1)
    assert await store.add_grant(late, new_code(late))
    assert await present(store, late, NOW + 1) is Consumption.REFUSED


async def test_of_a_hundred_who_use_one_code_at_once_one_wins(store: Store) -> None:
    grant = await add_pending(store)
    code = new_code(grant)
    came = Counter(await gather(*(present(store, grant) for _ in range(100))))
    assert came == {Consumption.CONSUMED: 1, Consumption.REPLAYED: 1, Consumption.REFUSED: 98}
    assert not await is_alive(store, grant)
    ended = replace(grant, generation=1, rotated_at=NOW, expires_at=GRANTED_UNTIL, revoked_at=NOW)
    assert await store.find_code(code.digest, NOW) == (replace(code, is_spent=True), ended)


async def test_an_unknown_code_gives_nothing(store: Store) -> None:
    grant = await add_pending(store)
    access_token = new_access_token(grant)
    assert not await is_consumed(store, digest("unknown"), access_token, GRANTED_UNTIL, NOW)
    assert await store.find_access_token(access_token.digest, NOW) is None


async def test_the_code_of_a_revoked_grant_is_seen_but_gives_nothing(store: Store) -> None:
    grant = await add_pending(store)
    code, access_token = new_code(grant), new_access_token(grant)
    assert await store.revoke_grant(grant.grant_id, NOW + 1)
    assert not await is_consumed(store, code.digest, access_token, GRANTED_UNTIL, NOW + 1)
    assert await store.find_access_token(access_token.digest, NOW + 1) is None
    assert await store.find_code(code.digest, NOW + 1) == (
        code,
        replace(grant, revoked_at=NOW + 1),
    )


async def test_revoking_while_exchanging_leaves_nothing_alive(store: Store) -> None:
    pending = [await add_pending(store, f"grant {n}") for n in range(20)]
    await gather(
        *(
            store.consume_code(new_code(grant).digest, new_access_token(grant), GRANTED_UNTIL, NOW)
            for grant in pending[:10]
        ),
        store.revoke_grants("ada", NOW),
        *(
            store.consume_code(new_code(grant).digest, new_access_token(grant), GRANTED_UNTIL, NOW)
            for grant in pending[10:]
        ),
    )
    assert not any([await is_alive(store, grant) for grant in pending])
