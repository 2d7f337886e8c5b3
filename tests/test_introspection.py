"""The introspection endpoint (RFC 7662)."""

from typing import Any

import pytest
from pydantic import SecretStr

from tests.clock import Clock
from tests.kit import (
    ISSUER,
    RESOURCE,
    World,
    error_of,
    identification,
    new_settings,
    serving,
)
from tests.test_client_authentication import basic

POST = "client_secret_post"


async def introspect(world: World, client: dict[str, Any], token: str) -> dict[str, Any]:
    response = await world.http.post(
        "/oauth/introspect", data=identification(client) | {"token": token}
    )
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_client_is_told_about_its_own_tokens(world: World) -> None:
    client = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(client, scope="user user:write")
    admin = (await world.store.list_accounts())[0]
    common = {
        "active": True,
        "client_id": client["client_id"],
        "sub": admin.subject,
        "username": "admin",
        "scope": "user user:write",
        "iat": world.clock(),
        "iss": ISSUER,
        "aud": RESOURCE,
    }
    assert await introspect(world, client, tokens["access_token"]) == common | {
        "token_type": "Bearer",
        "exp": world.clock() + 3600,
    }
    assert await introspect(world, client, tokens["refresh_token"]) == common | {
        "exp": world.clock() + 30 * 86_400
    }


async def test_everything_else_is_inactive_and_no_more(world: World) -> None:
    client = await world.register(token_endpoint_auth_method=POST)
    other = await world.register(token_endpoint_auth_method=POST, client_name="Other")
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    spent = tokens["refresh_token"]
    tokens = (await world.refresh(client, spent)).json()
    inactive = {"active": False}
    for token in (spent, code, "garbage", "x" * 60_000, "mcp_rt_" + "A" * 70):
        assert await introspect(world, client, token) == inactive
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert await introspect(world, other, token) == inactive
    world.clock.advance(3600)
    assert await introspect(world, client, tokens["access_token"]) == inactive
    assert (await introspect(world, client, tokens["refresh_token"]))["active"]
    admin = (await world.store.list_accounts())[0]
    await world.store.revoke_grants(admin.subject, world.clock())
    assert await introspect(world, client, tokens["refresh_token"]) == inactive


async def test_callers_authenticate(world: World) -> None:
    public = await world.register()
    confidential = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(confidential)
    for form in (
        {},
        identification(public),
        identification(confidential) | {"client_secret": "wrong"},
    ):
        response = await world.http.post(
            "/oauth/introspect", data=form | {"token": tokens["access_token"]}
        )
        assert error_of(response) == (401, "invalid_client")
        assert response.json()["error_description"].startswith("authenticate with client_secret_b")
        assert response.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("body", ["", "token=a&token=b"])
async def test_one_token_has_to_be_named(world: World, body: str) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    response = await world.http.post(
        "/oauth/introspect",
        content=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"}
        | basic(client["client_id"], client["client_secret"]),
    )
    assert error_of(response) == (400, "invalid_request")


async def test_a_narrowed_grant_narrows_its_tokens(world: World) -> None:
    client = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(client, scope="user user:write")
    admin = (await world.store.list_accounts())[0]
    [grant] = await world.store.find_grants(admin.subject, world.clock())
    await world.store.narrow_grant(grant.grant_id, ("user",), world.clock())
    assert (await introspect(world, client, tokens["access_token"]))["scope"] == "user"


@pytest.mark.parametrize("resource", [RESOURCE, "http://127.0.0.1:9999/mcp"])
async def test_the_resource_server_is_told_about_tokens_for_its_resource(
    clock: Clock, resource: str
) -> None:
    settings = new_settings(
        introspection_client_id="resource-server",
        introspection_client_secret=SecretStr("a secret of the resource server"),
    )
    async with serving(clock, settings) as world:
        tokens = await world.tokens(await world.register())
    settings = settings.model_copy(update={"resource_server_url": resource})
    async with serving(clock, settings, world.store) as world:
        response = await world.http.post(
            "/oauth/introspect",
            data={"token": tokens["access_token"]},
            headers=basic("resource-server", "a secret of the resource server"),
        )
        answer = response.json()
        assert answer["active"] is (resource == RESOURCE)
        if answer["active"]:
            assert answer["roles"] == ["admin", "user"]
            assert answer["name"] == "Administrator"
            assert answer["auth_time"] == world.clock()


async def test_a_removed_person_has_no_active_tokens(world: World) -> None:
    client = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(client)
    admin = (await world.store.list_accounts())[0]
    await world.store.remove_account(admin.subject, world.clock())
    assert await introspect(world, client, tokens["access_token"]) == {"active": False}
