"""The contract of every store: the rotation of refresh tokens."""

from asyncio import gather
from collections import Counter
from dataclasses import replace

import pytest

from auth.credentials import digest
from auth.models import Grant, Rotation
from auth.store import Store
from tests.store_records import (
    GRACE,
    GRANTED_UNTIL,
    NOW,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    new_access_token,
)

ROTATED_AT = NOW + 1000
"""When the family of these tests went from generation 2 to 3."""


async def present(
    store: Store, grant: Grant, generation: int, now: int = ROTATED_AT, grace: int = GRACE
) -> Rotation:
    """Present the refresh token of a generation, as its client or a thief would."""
    access_token = new_access_token(grant, generation + 1, issued_at=now, expires_at=now + 3600)
    return await store.rotate_refresh_token(
        grant.grant_id, generation, access_token, now + 9999, now, grace
    )


@pytest.fixture
async def grant(store: Store) -> Grant:
    """A grant in generation 3."""
    await add_people(store, "ada")
    grant = await add_exchanged(store)
    assert await present(store, grant, 1, NOW + 500) is Rotation.ROTATED
    assert await present(store, grant, 2) is Rotation.ROTATED
    return replace(grant, generation=3, rotated_at=ROTATED_AT, expires_at=ROTATED_AT + 9999)


async def test_the_refresh_token_that_is_valid_is_rotated(store: Store, grant: Grant) -> None:
    assert await store.find_grant(grant.grant_id, ROTATED_AT) == grant
    assert await present(store, grant, 3, ROTATED_AT + 50) is Rotation.ROTATED
    rotated = replace(
        grant, generation=4, rotated_at=ROTATED_AT + 50, expires_at=ROTATED_AT + 50 + 9999
    )
    assert await store.find_grant(grant.grant_id, ROTATED_AT + 50) == rotated
    access_token = new_access_token(
        grant, 4, issued_at=ROTATED_AT + 50, expires_at=ROTATED_AT + 50 + 3600
    )
    found = await store.find_access_token(access_token.digest, ROTATED_AT + 50)
    assert found == (access_token, rotated)


async def test_an_access_token_outlives_the_refresh_token_it_came_with(
    store: Store, grant: Grant
) -> None:
    assert await is_alive(store, grant, ROTATED_AT)


@pytest.mark.parametrize(
    ("generation", "after", "grace", "rotation"),
    [
        pytest.param(3, 0, GRACE, Rotation.ROTATED, id="the-valid-one"),
        pytest.param(3, 0, 0, Rotation.ROTATED, id="the-valid-one-needs-no-grace"),
        pytest.param(2, 0, GRACE, Rotation.REPEATED, id="the-one-before"),
        pytest.param(2, GRACE - 1, GRACE, Rotation.REPEATED, id="in-the-last-second-of-grace"),
        pytest.param(2, GRACE, GRACE, Rotation.REPLAYED, id="at-the-end-of-grace"),
        pytest.param(2, 0, 0, Rotation.REPLAYED, id="without-grace"),
        pytest.param(2, -GRACE, GRACE, Rotation.REPEATED, id="with-the-clock-set-back"),
        pytest.param(1, 0, GRACE, Rotation.REPLAYED, id="an-older-one"),
        pytest.param(0, 0, GRACE, Rotation.REFUSED, id="zero-is-never-given"),
        pytest.param(-1, 0, GRACE, Rotation.REFUSED, id="nor-is-less"),
        pytest.param(4, 0, GRACE, Rotation.REFUSED, id="not-given-yet"),
        pytest.param(3, 9999, GRACE, Rotation.REFUSED, id="of-an-expired-grant"),
        pytest.param(2, 9999, GRACE, Rotation.REFUSED, id="the-one-before-of-an-expired-grant"),
        pytest.param(1, 9999, GRACE, Rotation.REFUSED, id="an-older-one-of-an-expired-grant"),
    ],
)
async def test_what_comes_of_a_refresh_token(
    store: Store, grant: Grant, generation: int, after: int, grace: int, rotation: Rotation
) -> None:
    now = ROTATED_AT + after
    assert await present(store, grant, generation, now, grace) is rotation
    found = await store.find_grant(grant.grant_id, ROTATED_AT)
    if rotation is Rotation.REPLAYED:
        assert found is None
        assert not await is_alive(store, grant, ROTATED_AT)
        assert await present(store, grant, 3) is Rotation.REFUSED
    elif rotation is Rotation.ROTATED:
        assert found == replace(grant, generation=4, rotated_at=now, expires_at=now + 9999)
    else:
        assert found == grant
        assert await is_alive(store, grant, ROTATED_AT)


async def test_only_a_rotation_stores_an_access_token(store: Store, grant: Grant) -> None:
    other = new_access_token(grant, 99, expires_at=ROTATED_AT + 3600)
    for generation in (0, 4, 2, 1):
        await store.rotate_refresh_token(
            grant.grant_id, generation, other, ROTATED_AT + 9999, ROTATED_AT, GRACE
        )
        assert await store.find_access_token(other.digest, ROTATED_AT) is None


@pytest.mark.parametrize(
    ("generation", "is_ended"),
    [
        pytest.param(3, True, id="rotated"),
        pytest.param(2, False, id="repeated"),
        pytest.param(4, False, id="refused"),
    ],
)
async def test_only_a_rotation_ends_the_access_tokens_that_it_supersedes(
    store: Store, grant: Grant, generation: int, *, is_ended: bool
) -> None:
    superseded = [new_access_token(grant, 1).digest, digest("one that is gone already")]
    await store.rotate_refresh_token(
        grant.grant_id,
        generation,
        new_access_token(grant, generation + 1),
        ROTATED_AT + 9999,
        ROTATED_AT,
        GRACE,
        superseded=superseded,
    )
    assert await is_alive(store, grant, ROTATED_AT) is not is_ended
    assert await store.find_access_token(new_access_token(grant, 2).digest, ROTATED_AT)


@pytest.mark.parametrize("generation", [0, 1])
async def test_a_code_not_yet_exchanged_has_no_refresh_token(store: Store, generation: int) -> None:
    await add_people(store, "ada")
    pending = await add_pending(store)
    assert await present(store, pending, generation, NOW) is Rotation.REFUSED
    assert await store.find_grant(pending.grant_id, NOW) == pending


async def test_the_first_refresh_token_has_none_before_it(store: Store) -> None:
    await add_people(store, "ada")
    first = await add_exchanged(store)
    assert await present(store, first, 0, NOW) is Rotation.REFUSED
    assert await store.find_grant(first.grant_id, NOW) == first


async def test_the_refresh_token_of_an_unknown_or_revoked_grant_is_refused(
    store: Store, grant: Grant
) -> None:
    await store.revoke_grant(grant.grant_id, ROTATED_AT)
    for generation in (1, 2, 3):
        assert await present(store, grant, generation) is Rotation.REFUSED
    assert await present(store, replace(grant, grant_id="unknown"), 3) is Rotation.REFUSED


async def test_of_fifty_who_use_the_valid_refresh_token_at_once_one_rotates_it(
    store: Store, grant: Grant
) -> None:
    rotations = await gather(*(present(store, grant, 3) for _ in range(50)))
    assert Counter(rotations) == {Rotation.ROTATED: 1, Rotation.REPEATED: 49}
    found = await store.find_grant(grant.grant_id, ROTATED_AT)
    assert found
    assert found.generation == 4


@pytest.mark.parametrize(
    ("generation", "after"),
    [pytest.param(2, GRACE, id="out-of-grace"), pytest.param(1, 0, id="older")],
)
async def test_of_fifty_who_use_a_spent_refresh_token_at_once_none_gains_and_the_family_dies(
    store: Store, grant: Grant, generation: int, after: int
) -> None:
    now = ROTATED_AT + after
    rotations = await gather(*(present(store, grant, generation, now) for _ in range(50)))
    assert Counter(rotations) == {Rotation.REPLAYED: 1, Rotation.REFUSED: 49}
    assert await store.find_grant(grant.grant_id, now) is None
    assert not await is_alive(store, grant, now)
    assert await present(store, grant, 3, now) is Rotation.REFUSED


async def test_of_a_client_and_a_thief_at_once_neither_keeps_a_token(
    store: Store, grant: Grant
) -> None:
    now = ROTATED_AT + GRACE
    await gather(
        *(present(store, grant, generation, now) for _ in range(25) for generation in (3, 2))
    )
    assert await store.find_grant(grant.grant_id, now) is None


async def test_a_clock_set_back_revives_no_family(store: Store, grant: Grant) -> None:
    assert await present(store, grant, 1) is Rotation.REPLAYED
    for generation in (1, 2, 3):
        assert await present(store, grant, generation, NOW - 86_400) is Rotation.REFUSED
    assert not await is_alive(store, grant, NOW - 86_400)


async def test_a_family_dies_alone(store: Store, grant: Grant) -> None:
    other = await add_exchanged(store, "other")
    assert await present(store, grant, 1) is Rotation.REPLAYED
    assert await store.find_grant(other.grant_id, ROTATED_AT) == other
    assert other.expires_at == GRANTED_UNTIL
