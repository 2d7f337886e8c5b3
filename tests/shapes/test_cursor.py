"""Cursor: what it sends.

It cannot run here; each test names the thread that tells of the behaviour.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.kit import RESOURCE, World, authorization_request, redirected
from tests.shapes.kit import PROTECTED_RESOURCE, connected, metadata, registered

APP = "cursor://anysphere.cursor-mcp/oauth/callback"
REGISTRATION: Mapping[str, Any] = {
    "client_name": "Cursor",
    "redirect_uris": [
        APP,
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
    ],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


@pytest.mark.parametrize("callback", REGISTRATION["redirect_uris"])
async def test_it_registers_three_callbacks_and_comes_back_to_any(
    world: World, callback: str
) -> None:
    """https://github.com/erp-mafia/accounted/pull/2225"""
    client = await registered(world, REGISTRATION)
    assert client["redirect_uris"] == REGISTRATION["redirect_uris"]

    tokens = await connected(world, client, redirect_uri=callback)

    assert await world.calls(tokens["access_token"]) == 200


async def test_the_browser_is_sent_to_the_app_by_a_plain_redirect(world: World) -> None:
    """https://github.com/makeplane/plane-mcp-server/issues/159"""
    client = await registered(world, REGISTRATION)
    browser = await world.signed_in()

    answer = await browser.allow(authorization_request(client, redirect_uri=APP))

    assert redirected(answer)["code"]
    assert answer.headers["location"].startswith(f"{APP}?")


async def test_older_builds_send_no_state_and_are_sent_none(world: World) -> None:
    """https://github.com/cursor/cursor/issues/3576"""
    client = await registered(world, REGISTRATION)
    browser = await world.signed_in()

    answer = await browser.allow(authorization_request(client, state=None))

    assert redirected(answer).keys() == {"code", "iss"}


async def test_it_looks_for_the_resource_below_its_path_first(world: World) -> None:
    """https://github.com/PrefectHQ/fastmcp/issues/2077"""
    assert (await metadata(world, f"{PROTECTED_RESOURCE}/mcp"))["resource"] == RESOURCE
