"""Refresh families: rotation, a short grace, and no second theft (OAuth 2.1 §4.3.1)."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from auth.store.memory import MemoryStore
from auth.tokens import LIVE_GENERATIONS
from tests.clock import Clock
from tests.kit import (
    KEY,
    World,
    authorization_request,
    error_of,
    new_settings,
    redirected,
    serving,
)


async def test_a_refresh_gives_new_tokens_and_the_old_access_token_lives_on(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client, scope="user user:write")
    response = await world.refresh(client, first["refresh_token"])
    second = response.json()
    assert response.status_code == 200
    assert second["scope"] == "user user:write"
    assert second["refresh_token"] != first["refresh_token"]
    assert await world.calls(first["access_token"]) == 200
    assert await world.calls(second["access_token"]) == 200


async def test_of_a_client_that_refreshes_all_the_time_the_newest_access_tokens_live(
    clock: Clock,
) -> None:
    async with serving(clock, store=MemoryStore(max_access_tokens=LIVE_GENERATIONS)) as world:
        client = await world.register()
        given = [await world.tokens(client)]
        for _ in range(LIVE_GENERATIONS + 1):
            response = await world.refresh(client, given[-1]["refresh_token"])
            assert response.status_code == 200
            given.append(response.json())
        statuses = [await world.calls(tokens["access_token"]) for tokens in given]
        assert statuses == [401] * 2 + [200] * LIVE_GENERATIONS


async def test_a_repeated_refresh_gets_the_same_pair_until_the_successor_is_used(
    world: World,
) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()
    world.clock.advance(119)
    again = (await world.refresh(client, first["refresh_token"])).json()
    assert again == second | {"expires_in": second["expires_in"] - 119}
    third = (await world.refresh(client, second["refresh_token"])).json()
    response = await world.refresh(client, first["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")
    for tokens in (first, second, third):
        assert await world.calls(tokens["access_token"]) == 401


async def test_outside_the_window_a_spent_token_kills_the_family(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()
    world.clock.advance(120)
    response = await world.refresh(client, first["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")
    assert await world.calls(second["access_token"]) == 401
    response = await world.refresh(client, second["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")


async def test_the_window_is_no_longer_than_an_access_token_lives(clock: Clock) -> None:
    async with serving(clock, new_settings(access_token_ttl=60)) as world:
        client = await world.register()
        first = await world.tokens(client)
        second = (await world.refresh(client, first["refresh_token"])).json()
        world.clock.advance(59)
        again = (await world.refresh(client, first["refresh_token"])).json()
        assert again["refresh_token"] == second["refresh_token"]
        world.clock.advance(1)
        response = await world.refresh(client, first["refresh_token"])
        assert error_of(response) == (400, "invalid_grant")


async def test_without_a_grace_every_repetition_is_a_theft(clock: Clock) -> None:
    async with serving(clock, new_settings(refresh_grace=0)) as world:
        client = await world.register()
        first = await world.tokens(client)
        second = (await world.refresh(client, first["refresh_token"])).json()
        response = await world.refresh(client, first["refresh_token"])
        assert error_of(response) == (400, "invalid_grant")
        assert await world.calls(second["access_token"]) == 401


async def test_a_repetition_that_asks_for_something_else_gets_nothing(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client, scope="user user:write")
    second = (await world.refresh(client, first["refresh_token"])).json()
    response = await world.refresh(client, first["refresh_token"], scope="user")
    assert error_of(response) == (400, "invalid_grant")
    assert await world.calls(second["access_token"]) == 200


async def test_a_repetition_after_scopes_were_taken_away_gets_the_same_pair_for_the_rest(
    world: World,
) -> None:
    client = await world.register()
    first = await world.tokens(client, scope="user user:write")
    second = (await world.refresh(client, first["refresh_token"])).json()
    (account,) = await world.store.list_accounts()
    (grant,) = await world.store.find_grants(account.subject, world.clock())
    await world.store.narrow_grant(grant.grant_id, ("user",), world.clock())
    again = (await world.refresh(client, first["refresh_token"])).json()
    assert again == second | {"scope": "user"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"refresh_token": None}, "invalid_request"),
        ({"refresh_token": "mcp_rt_" + "A" * 70}, "invalid_grant"),
        ({"refresh_token": "mcp_rt_" + "é" * 70}, "invalid_grant"),
        ({"refresh_token": "mcp_rt_" + "!" * 70}, "invalid_grant"),
        ({"refresh_token": "mcp_rt_short"}, "invalid_grant"),
        ({"refresh_token": "x" * 60_000}, "invalid_grant"),
        ({"scope": "user:write"}, "invalid_scope"),
        ({"scope": "admin"}, "invalid_scope"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ],
)
async def test_a_wrong_refresh_is_refused_and_the_token_stays_good(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    response = await world.refresh(client, tokens["refresh_token"], **changes)
    assert error_of(response) == (400, error)
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_an_access_token_or_a_code_refreshes_nothing(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    for wrong in (code, tokens["access_token"]):
        assert error_of(await world.refresh(client, wrong)) == (400, "invalid_grant")
    assert await world.calls(tokens["access_token"]) == 200


async def test_another_client_refreshes_nothing_and_harms_nothing(world: World) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    tokens = await world.tokens(client)
    response = await world.refresh(other, tokens["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_a_narrower_scope_may_be_asked_for_and_widened_again(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client, scope="user user:write")
    second = (await world.refresh(client, first["refresh_token"], scope="user")).json()
    assert second["scope"] == "user"
    third = (await world.refresh(client, second["refresh_token"])).json()
    assert third["scope"] == "user user:write"


async def test_a_client_that_repeats_what_it_asked_for_gets_what_was_allowed(world: World) -> None:
    """Authlib: it goes on asking for the scope that it first asked for."""
    client = await world.register()
    browser = await world.signed_in()
    asked = authorization_request(client, scope="user user:write")
    await browser.get("/oauth/authorize", params=asked)
    code = redirected(await browser.decide("allow", "user"))["code"]
    first = (await world.exchange(client, code)).json()
    assert first["scope"] == "user"
    response = await world.refresh(client, first["refresh_token"], scope="user user:write")
    assert response.status_code == 200
    assert response.json()["scope"] == "user"


async def test_a_client_that_repeats_what_it_was_given_goes_on_when_some_was_taken_back(
    world: World,
) -> None:
    """mcp-remote: it sends the scope of the answer before."""
    client = await world.register()
    first = await world.tokens(client, scope="user user:write")
    admin = (await world.store.list_accounts())[0]
    [grant] = await world.store.find_grants(admin.subject, world.clock())
    await world.store.narrow_grant(grant.grant_id, ("user",), world.clock())
    second = (await world.refresh(client, first["refresh_token"], scope=first["scope"])).json()
    assert second["scope"] == "user"
    assert await world.calls(second["access_token"]) == 200


async def test_a_family_that_lies_unused_ends(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    world.clock.advance(30 * 86_400 - 1)
    second = (await world.refresh(client, first["refresh_token"])).json()
    world.clock.advance(30 * 86_400)
    response = await world.refresh(client, second["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")


async def test_a_family_ends_at_last_however_often_it_is_used(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    for _ in range(3):
        world.clock.advance(30 * 86_400 - 1)
        response = await world.refresh(client, tokens["refresh_token"])
        assert response.status_code == 200
        tokens = response.json()
    assert tokens["expires_in"] == 3
    world.clock.advance(3)
    assert await world.calls(tokens["access_token"]) == 401
    response = await world.refresh(client, tokens["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")


@pytest.fixture
async def later(clock: Clock) -> AsyncIterator[tuple[World, World]]:
    """The same store before and after a new key was put in front of the old one."""
    store = MemoryStore()
    keys = (SecretStr("a newer key of the tests, which is long enough"), SecretStr(KEY))
    async with (
        serving(clock, store=store) as before,
        serving(clock, new_settings(secret_keys=keys), store) as after,
    ):
        yield before, after


async def test_a_new_key_signs_nobody_out(later: tuple[World, World]) -> None:
    before, after = later
    client = await before.register()
    code = await before.code(client)
    first = (await after.exchange(client, code)).json()
    older = await before.tokens(client)
    for tokens in (first, older):
        again = await after.refresh(client, tokens["refresh_token"])
        assert again.status_code == 200
        assert await after.calls(again.json()["access_token"]) == 200


async def test_a_repetition_across_a_new_key_still_gets_the_same_access_token(
    later: tuple[World, World],
) -> None:
    before, after = later
    client = await before.register()
    first = await before.tokens(client)
    second = (await before.refresh(client, first["refresh_token"])).json()
    again = await after.refresh(client, first["refresh_token"])
    assert again.json()["access_token"] == second["access_token"]
