"""Clients in a web page, such as the MCP Inspector's: what the browser asks for them."""

import pytest

from tests.kit import World
from tests.shapes.kit import (
    AUTHORIZATION_SERVER,
    PROTECTED_RESOURCE,
    challenge,
    connected,
    registered,
)

PAGE = {"Origin": "http://localhost:6274"}
REGISTRATION = {
    "client_name": "MCP Inspector",
    "redirect_uris": ["http://localhost:6274/oauth/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    "scope": "",
}


async def test_it_connects_with_an_empty_scope_in_its_registration(world: World) -> None:
    """https://github.com/modelcontextprotocol/inspector/issues/686"""
    client = await registered(world, REGISTRATION)

    tokens = await connected(world, client)

    assert await world.calls(tokens["access_token"]) == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/mcp"),
        ("GET", PROTECTED_RESOURCE),
        ("GET", AUTHORIZATION_SERVER),
        ("POST", "/oauth/register"),
        ("POST", "/oauth/token"),
        ("POST", "/oauth/revoke"),
    ],
)
async def test_the_browser_may_call_what_the_page_needs(
    world: World, method: str, path: str
) -> None:
    """https://github.com/getsentry/sentry-mcp/issues/999"""
    asked = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type, mcp-protocol-version",
    }
    answer = await world.http.options(path, headers=PAGE | asked)

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] in {"*", PAGE["Origin"]}
    assert method in answer.headers["access-control-allow-methods"]
    assert "mcp-protocol-version" in answer.headers["access-control-allow-headers"]


async def test_the_page_may_read_the_challenge(world: World) -> None:
    """https://github.com/adcontextprotocol/adcp/pull/1136"""
    refused = await world.http.post("/mcp", json={}, headers=PAGE)

    assert challenge(refused)["resource_metadata"]
    exposed = refused.headers["access-control-expose-headers"].lower().split(", ")
    assert {"www-authenticate", "mcp-session-id"} <= set(exposed)


async def test_no_page_may_call_what_is_for_people_or_for_servers(world: World) -> None:
    """https://github.com/modelcontextprotocol/inspector/issues/686"""
    for path in ("/oauth/authorize", "/oauth/sign-in", "/oauth/introspect"):
        answer = await world.http.get(path, headers=PAGE)
        assert "access-control-allow-origin" not in answer.headers
