"""Codex: what it sends.

It cannot run here; each test names the thread that tells of the behaviour.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from tests.kit import RESOURCE, World
from tests.shapes.kit import connected, metadata, registered

CALLBACK_ID = urlsafe_b64encode(sha256(RESOURCE.encode()).digest()[:9]).decode()
CALLBACK = f"http://127.0.0.1:41893/callback/{CALLBACK_ID}"
REGISTRATION: Mapping[str, Any] = {
    "client_name": "Codex",
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "none",
    "response_types": ["code"],
}


async def test_its_callback_ends_with_a_name_made_from_our_url(world: World) -> None:
    """https://github.com/openai/codex/issues/30460"""
    client = await registered(world, REGISTRATION)

    tokens = await connected(world, client, redirect_uri=CALLBACK.replace("41893", "41894"))

    assert await world.calls(tokens["access_token"]) == 200


async def test_it_asks_for_what_the_authorization_server_names_whatever_the_challenge_said(
    world: World,
) -> None:
    """https://github.com/openai/codex/issues/15643"""
    client = await registered(world, REGISTRATION)
    scopes = (await metadata(world))["scopes_supported"]
    assert "offline_access" in scopes

    tokens = await connected(world, client, scope=" ".join(scopes))

    assert await world.calls(tokens["access_token"]) == 200
    assert tokens["refresh_token"]
