"""The contract of every store: authorization codes, which can be used once."""

from asyncio import gather
from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.store import Store
from tests.store_records import (
    CODE_TTL,
    GRANTED_UNTIL,
    NOW,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    new_access_token,
    new_code,
    new_grant,
)


@pytest.fixture(autouse=True)
async def _people(store: Store) -> None:
    await add_people(store, "ada")


async def test_a_code_lives_until_the_second_of_its_expiry(store: Store) -> None:
    grant = new_grant(expires_at=NOW + CODE_TTL + 1)
    code = new_code(grant)
    await store.add_grant(grant, code)
    assert await store.find_code(code.digest, code.expires_at - 1) == (code, grant)
    assert await store.find_code(code.digest, code.expires_at) is None
    access_token = new_access_token(grant)
    assert not await store.consume_code(code.digest, access_token, GRANTED_UNTIL, code.expires_at)


async def test_a_code_can_be_used_in_its_last_second(store: Store) -> None:
    grant = await add_pending(store)
    code, last = new_code(grant), NOW + CODE_TTL - 1
    assert await store.consume_code(code.digest, new_access_token(grant), GRANTED_UNTIL, last)


async def test_a_code_gives_an_access_token_and_starts_the_family(store: Store) -> None:
    grant = await add_pending(store)
    code, access_token = new_code(grant), new_access_token(grant)
    assert await store.consume_code(code.digest, access_token, GRANTED_UNTIL, NOW + 5)
    started = replace(grant, generation=1, rotated_at=NOW + 5, expires_at=GRANTED_UNTIL)
    assert await store.find_grant(grant.grant_id, NOW + 5) == started
    assert await store.find_access_token(access_token.digest, NOW + 5) == (access_token, started)
    assert await store.find_code(code.digest, NOW + 5) == (replace(code, is_spent=True), started)


async def test_a_code_used_again_gives_nothing_and_changes_nothing(store: Store) -> None:
    grant = await add_exchanged(store)
    second = new_access_token(grant, 2)
    assert not await store.consume_code(new_code(grant).digest, second, GRANTED_UNTIL + 9, NOW + 1)
    assert await store.find_access_token(second.digest, NOW + 1) is None
    assert await store.find_grant(grant.grant_id, NOW + 1) == grant
    assert await is_alive(store, grant)


async def test_of_a_hundred_who_use_one_code_at_once_one_wins(store: Store) -> None:
    grant = await add_pending(store)
    code = new_code(grant)
    access_tokens = [new_access_token(grant, n) for n in range(100)]
    won = await gather(
        *(store.consume_code(code.digest, token, GRANTED_UNTIL, NOW) for token in access_tokens)
    )
    assert sum(won) == 1
    stored = [bool(await store.find_access_token(token.digest, NOW)) for token in access_tokens]
    assert stored == won
    assert await store.find_grant(grant.grant_id, NOW) == replace(
        grant, generation=1, rotated_at=NOW, expires_at=GRANTED_UNTIL
    )


async def test_an_unknown_code_gives_nothing(store: Store) -> None:
    grant = await add_pending(store)
    access_token = new_access_token(grant)
    assert not await store.consume_code(digest("unknown"), access_token, GRANTED_UNTIL, NOW)
    assert await store.find_access_token(access_token.digest, NOW) is None


async def test_the_code_of_a_revoked_grant_is_seen_but_gives_nothing(store: Store) -> None:
    grant = await add_pending(store)
    code, access_token = new_code(grant), new_access_token(grant)
    assert await store.revoke_grant(grant.grant_id, NOW + 1)
    assert not await store.consume_code(code.digest, access_token, GRANTED_UNTIL, NOW + 1)
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
