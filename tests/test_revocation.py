"""The revocation endpoint (RFC 7009)."""

from typing import Any

import httpx2
import pytest

from tests.kit import World, error_of, identification


async def revoke(world: World, client: dict[str, Any], token: str, **more: str) -> httpx2.Response:
    form = identification(client) | {"token": token} | more
    return await world.http.post("/oauth/revoke", data=form)


@pytest.mark.parametrize("method", ["none", "client_secret_post"])
async def test_a_refresh_token_takes_its_family_along(world: World, method: str) -> None:
    client = await world.register(token_endpoint_auth_method=method)
    tokens = await world.tokens(client)
    response = await revoke(world, client, tokens["refresh_token"])
    assert (response.status_code, response.content) == (200, b"")
    assert await world.calls(tokens["access_token"]) == 401
    response = await world.refresh(client, tokens["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")


async def test_an_access_token_ends_alone(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    assert (await revoke(world, client, tokens["access_token"])).status_code == 200
    assert await world.calls(tokens["access_token"]) == 401
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_a_spent_refresh_token_still_ends_the_family(world: World) -> None:
    client = await world.register()
    first = await world.tokens(client)
    second = (await world.refresh(client, first["refresh_token"])).json()
    await revoke(world, client, first["refresh_token"])
    assert await world.calls(second["access_token"]) == 401


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unknown"])
async def test_a_hint_need_not_be_right(world: World, hint: str) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    await revoke(world, client, tokens["access_token"], token_type_hint=hint)
    assert await world.calls(tokens["access_token"]) == 401


async def test_garbage_and_revoked_tokens_are_fine(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    for token in ("garbage", tokens["refresh_token"], tokens["refresh_token"]):
        assert (await revoke(world, client, token)).status_code == 200


async def test_another_clients_tokens_stay(world: World) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    tokens = await world.tokens(client)
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await revoke(world, other, token)).status_code == 200
    assert await world.calls(tokens["access_token"]) == 200
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_the_caller_must_be_who_it_says(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    tokens = await world.tokens(client)
    response = await revoke(world, client, tokens["access_token"], client_secret="wrong")
    assert error_of(response) == (401, "invalid_client")
    assert await world.calls(tokens["access_token"]) == 200


async def test_a_token_has_to_be_named_in_the_body(world: World) -> None:
    client = await world.register()
    response = await world.http.post("/oauth/revoke", data=identification(client))
    assert error_of(response) == (400, "invalid_request")
    response = await world.http.post(
        "/oauth/revoke", params={"token": "x"}, data=identification(client)
    )
    assert error_of(response) == (400, "invalid_request")
    assert (await world.http.get("/oauth/revoke")).status_code == 405
