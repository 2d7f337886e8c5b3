"""A token is for one resource and for what was allowed (RFC 8707 §3, OAuth 2.1 §1.4.1, MCP)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clock import Clock
from tests.kit import (
    MCP_HEADERS,
    World,
    authorization_request,
    error_of,
    new_http_client,
    new_settings,
    redirected,
    serving,
)

HERE, THERE = "https://a.example", "https://b.example"


@pytest.fixture
async def named(clock: Clock) -> AsyncIterator[World]:
    """A server with two names."""
    settings = new_settings(public_url=HERE, extra_origins=(THERE,))
    async with serving(clock, settings) as world:
        yield world


async def code_for(world: World, client: dict[str, Any]) -> str:
    browser = world.browser(HERE)
    await browser.sign_in()
    request = authorization_request(client, resource=f"{HERE}/mcp")
    return redirected(await browser.allow(request))["code"]


async def test_a_token_for_one_of_our_names_is_none_for_another(named: World) -> None:
    """CVE-2025-69196: a token for one server opens the next."""
    client = await named.register()
    code = await code_for(named, client)
    tokens = (await named.exchange(client, code, resource=f"{HERE}/mcp")).json()
    assert await named.calls(tokens["access_token"]) == 200
    async with new_http_client(named.app, THERE) as http:
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        response = await http.post("/mcp", headers=MCP_HEADERS | bearer)
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["www-authenticate"]


@pytest.mark.parametrize("resource", ["https://b.example/mcp", "https://a.example/mcp/x"])
async def test_a_token_cannot_be_moved_to_another_resource_later(
    named: World, resource: str
) -> None:
    """Without it the token endpoint is where a token for elsewhere is made."""
    client = await named.register()
    code = await code_for(named, client)
    response = await named.exchange(client, code, resource=resource)
    assert error_of(response) == (400, "invalid_target")
    tokens = (await named.exchange(client, code, resource=f"{HERE}/mcp")).json()
    response = await named.refresh(client, tokens["refresh_token"], resource=resource)
    assert error_of(response) == (400, "invalid_target")


async def test_a_grant_without_a_named_resource_is_for_ours_and_not_for_all(world: World) -> None:
    """Without it a token that names no audience is good everywhere."""
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    code = await world.code(client, resource=None)
    tokens = (await world.exchange(client, code, resource=None)).json()
    form = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    answer = await world.http.post(
        "/oauth/introspect", data=form | {"token": tokens["access_token"]}
    )
    assert answer.json()["aud"] == "http://127.0.0.1:8000/mcp"


@pytest.mark.parametrize("scope", ["USER", "user\u200b", "\u0443ser", "user,user:write", "users"])
async def test_a_scope_that_looks_like_another_is_none(world: World, scope: str) -> None:
    """Without it a look-alike is shown and the other one granted."""
    request = authorization_request(await world.register(), scope=scope)
    answer = await (await world.signed_in()).get("/oauth/authorize", params=request)
    assert redirected(answer)["error"] == "invalid_scope"


async def test_stepping_up_widens_no_token_that_is_out(world: World) -> None:
    """Without it a token that leaked yesterday may do tomorrow what is allowed today."""
    client, browser = await world.register(), await world.signed_in()
    code = redirected(await browser.allow(authorization_request(client)))["code"]
    narrow = (await world.exchange(client, code)).json()
    wide = authorization_request(client, scope="user user:write")
    code = redirected(await browser.allow(wide))["code"]
    assert (await world.exchange(client, code)).json()["scope"] == "user user:write"
    refused = await world.refresh(client, narrow["refresh_token"], scope="user:write")
    assert error_of(refused) == (400, "invalid_scope")
    again = await world.refresh(client, narrow["refresh_token"], scope="user user:write")
    assert again.json()["scope"] == "user"
