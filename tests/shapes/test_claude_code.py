"""Claude Code: what it sends.

It cannot run here; each test names the thread that tells of the behaviour.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock
from tests.kit import World, serving
from tests.shapes.kit import (
    PROTECTED_RESOURCE,
    call_tool,
    challenge,
    connected,
    documented,
    metadata,
    registered,
)

EPHEMERAL = "http://localhost:53817/callback"
DOCUMENT = {
    "client_id": "https://claude.ai/oauth/claude-code-client-metadata",
    "client_name": "Claude Code",
    "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}
REGISTRATION: Mapping[str, Any] = {
    "client_name": "Claude Code (latchgate)",
    "redirect_uris": [EPHEMERAL],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_its_document_names_no_port_and_it_comes_back_to_any(
    clock: Clock, tmp_path: Path, host: str
) -> None:
    """https://github.com/anthropics/claude-code/issues/37767"""
    async with documented(clock, tmp_path, DOCUMENT) as world:
        tokens = await connected(world, DOCUMENT, redirect_uri=f"http://{host}:53817/callback")
        assert await world.calls(tokens["access_token"]) == 200


async def test_it_registers_for_each_authentication_and_comes_back_to_another_port(
    world: World,
) -> None:
    """https://github.com/anthropics/claude-code/issues/59460"""
    for port in (53817, 53818):
        client = await registered(world, REGISTRATION)
        tokens = await connected(world, client, redirect_uri=f"http://localhost:{port}/callback")
        assert await world.calls(tokens["access_token"]) == 200


async def test_it_registers_without_scope_and_asks_for_the_resource_s_and_offline_access(
    world: World,
) -> None:
    """https://github.com/anthropics/claude-code/issues/59460"""
    client = await registered(world, REGISTRATION)
    scopes = (await metadata(world, PROTECTED_RESOURCE))["scopes_supported"]
    assert "offline_access" not in scopes

    tokens = await connected(world, client, scope=" ".join([*scopes, "offline_access"]))

    assert set(scopes) <= set(tokens["scope"].split())
    assert tokens["refresh_token"]


async def test_a_client_id_from_before_a_restart_still_signs_in(clock: Clock) -> None:
    """https://github.com/anthropics/claude-code/issues/84614"""
    async with serving(clock) as world:
        client = await registered(world, REGISTRATION)
        assert await connected(world, client)

    async with serving(clock) as forgetful:
        tokens = await connected(forgetful, client)
        assert await forgetful.calls(tokens["access_token"]) == 200


async def test_parallel_sessions_share_their_tokens_and_none_loses_them(world: World) -> None:
    """https://github.com/anthropics/claude-code/issues/77130"""
    client = await registered(world, REGISTRATION)
    shared = (await connected(world, client))["refresh_token"]

    one, other = [(await world.refresh(client, shared)).json() for _ in range(2)]

    assert one["refresh_token"] == other["refresh_token"]
    assert {await world.calls(pair["access_token"]) for pair in (one, other)} == {200}


async def test_a_step_up_that_it_does_not_make_costs_it_nothing(world: World) -> None:
    """https://github.com/anthropics/claude-code/issues/44652"""
    client = await registered(world, REGISTRATION)
    token = (await connected(world, client))["access_token"]

    refused = await call_tool(world, token, "update_profile", name="Ada")

    assert refused.status_code == 403
    assert challenge(refused)["error"] == "insufficient_scope"
    assert challenge(refused)["scope"].split() == ["user", "user:write"]
    assert (await call_tool(world, token, "get_user_data")).status_code == 200
