"""Refresh tokens: rotated, and a stolen one ends the family (OAuth 2.1 §4.3.1, RFC 9700 §4.14)."""

import asyncio

import pytest

from tests.clock import Clock
from tests.kit import World, error_of, new_settings, serving


@pytest.mark.slow
@pytest.mark.parametrize("grace", [0, 120])
async def test_of_a_hundred_who_refresh_at_once_one_family_lives_at_most(
    clock: Clock, grace: int
) -> None:
    """CVE-2026-50631, CVE-2026-53517, CVE-2026-126280: two who race hold a token each."""
    async with serving(clock, new_settings(refresh_grace=grace)) as world:
        client = await world.register()
        first = await world.tokens(client)
        answers = await asyncio.gather(
            *(world.refresh(client, first["refresh_token"]) for _ in range(100))
        )
        given = {tuple(a.json().items()) for a in answers if a.status_code == 200}
        assert len(given) == 1
        refused = {error_of(a) for a in answers if a.status_code != 200}
        assert refused == (set() if grace else {(400, "invalid_grant")})
        status = await world.calls(dict(next(iter(given)))["access_token"])
        assert status == (200 if grace else 401)


@pytest.mark.slow
async def test_refreshing_while_revoking_leaves_nothing(world: World) -> None:
    """Without it a refresh that races with the end of a grant outlives it."""
    client = await world.register()
    for _ in range(20):
        tokens = await world.tokens(client)
        form = {"client_id": client["client_id"], "token": tokens["refresh_token"]}
        answers = await asyncio.gather(
            world.refresh(client, tokens["refresh_token"]),
            world.http.post("/oauth/revoke", data=form),
            world.refresh(client, tokens["refresh_token"]),
        )
        for answer in (answers[0], answers[2]):
            if answer.status_code == 200:
                later = answer.json()
                assert await world.calls(later["access_token"]) == 401
                assert (await world.refresh(client, later["refresh_token"])).status_code == 400
        assert await world.calls(tokens["access_token"]) == 401


async def test_a_confidential_client_has_to_prove_itself_and_loses_nothing(world: World) -> None:
    """Without it a stolen refresh token needs no secret."""
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    tokens = await world.tokens(client)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    for wrong in ({"client_id": client["client_id"]}, {}):
        assert error_of(await world.token(form | wrong)) == (401, "invalid_client")
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_grandparents_are_thieves_even_inside_the_window(world: World) -> None:
    """Without it a grace for every ancestor is a grace for whoever has an old backup."""
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()
    third = (await world.refresh(client, second["refresh_token"])).json()
    response = await world.refresh(client, first["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")
    assert error_of(await world.refresh(client, third["refresh_token"])) == (400, "invalid_grant")
    assert await world.calls(third["access_token"]) == 401


async def test_a_cleaned_up_store_still_knows_a_spent_token(world: World) -> None:
    """Without it a purge turns a thief's token into an unknown one, and the family lives."""
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()
    world.clock.advance(7200)
    await world.store.purge(world.clock(), 1000)
    await world.refresh(client, first["refresh_token"])
    assert error_of(await world.refresh(client, second["refresh_token"])) == (400, "invalid_grant")


async def test_one_bit_more_or_less_is_another_token(world: World) -> None:
    """Without it two spellings of one token are two chances, and one that is not noticed."""
    client = await world.register()
    token = (await world.tokens(client))["refresh_token"]
    for position in range(7, len(token), 3):
        letter = "A" if token[position] != "A" else "B"
        forged = token[:position] + letter + token[position + 1 :]
        assert error_of(await world.refresh(client, forged)) == (400, "invalid_grant")
    for forged in (token + "=", token + "A", token[:-1], token + " ", token.upper()):
        assert error_of(await world.refresh(client, forged)) == (400, "invalid_grant")
    assert (await world.refresh(client, token)).status_code == 200


async def test_whoever_is_disabled_or_banned_refreshes_nothing(world: World) -> None:
    """Without it shutting somebody out takes as long as the refresh token lives."""
    client = await world.register()
    tokens = await world.tokens(client)
    admin = (await world.store.list_accounts())[0]
    await world.store.disable_account(admin.subject, world.clock())
    response = await world.refresh(client, tokens["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")
    assert await world.calls(tokens["access_token"]) == 401
