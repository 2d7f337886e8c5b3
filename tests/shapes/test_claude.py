"""Claude – claude.ai, Desktop, Cowork: what its connectors send.

It cannot run here; each test names the thread that tells of the behaviour.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock
from tests.kit import VERIFIER, World, error_of, new_settings, serving
from tests.shapes.kit import (
    PROTECTED_RESOURCE,
    PUBLIC_URL,
    connected,
    documented,
    metadata,
    registered,
)

CALLBACK = "https://claude.ai/api/mcp/auth_callback"
DOCUMENT = {
    "client_id": "https://claude.ai/oauth/mcp-oauth-client-metadata",
    "client_name": "Claude",
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}
REGISTRATION: Mapping[str, Any] = {
    "client_name": "Claude",
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


async def test_it_names_itself_by_a_metadata_document(clock: Clock, tmp_path: Path) -> None:
    """https://github.com/anthropics/claude-ai-mcp/issues/650"""
    async with documented(clock, tmp_path, DOCUMENT) as world:
        assert (await metadata(world))["client_id_metadata_document_supported"] is True
        tokens = await connected(world, DOCUMENT)
        assert await world.calls(tokens["access_token"]) == 200


async def test_it_registers_anew_on_each_connect_and_both_registrations_work(world: World) -> None:
    """https://github.com/samanhappy/mcphub/issues/1174"""
    first, second = await asyncio.gather(*(registered(world, REGISTRATION) for _ in range(2)))

    for client in (second, first):
        tokens = await connected(world, client)
        assert await world.calls(tokens["access_token"]) == 200


async def test_a_request_without_scope_gets_the_default(world: World) -> None:
    """https://github.com/PrefectHQ/fastmcp/issues/1794"""
    client = await registered(world, REGISTRATION)

    tokens = await connected(world, client, scope=None)

    assert tokens["scope"] == "user"
    assert tokens["refresh_token"]


async def test_it_may_ask_for_every_scope_of_the_authorization_server(world: World) -> None:
    """https://github.com/anthropics/claude-ai-mcp/issues/228"""
    client = await registered(world, REGISTRATION)
    scopes = (await metadata(world))["scopes_supported"]

    tokens = await connected(world, client, scope=" ".join(scopes))

    assert {"user", "user:write"} <= set(tokens["scope"].split())


async def test_nothing_it_is_told_names_a_port(clock: Clock) -> None:
    """It reaches port 443 only: https://github.com/anthropics/claude-ai-mcp/issues/85"""
    async with serving(clock, new_settings(public_url=PUBLIC_URL)) as world:
        told = await metadata(world) | await metadata(world, PROTECTED_RESOURCE)

    urls = [value for value in told.values() if isinstance(value, str) and "://" in value]
    assert len(urls) >= 6
    assert all(url == PUBLIC_URL or url.startswith(f"{PUBLIC_URL}/") for url in urls)


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_it_follows_no_redirect_and_is_sent_none(
    world: World, method: str, path: str
) -> None:
    """https://github.com/zoho/analytics-mcp-server/pull/22"""
    answer = await world.http.request(method, path)

    assert answer.status_code == 401
    assert "www-authenticate" in answer.headers


async def test_a_client_id_that_nobody_knows_makes_it_register_again(world: World) -> None:
    """https://github.com/anthropics/claude-code/issues/84614"""
    form = {"grant_type": "authorization_code", "client_id": "client_gone", "code": "c"}

    answer = await world.token(form | {"redirect_uri": CALLBACK, "code_verifier": VERIFIER})

    assert error_of(answer) == (401, "invalid_client")


async def test_it_reads_that_s256_is_supported(world: World) -> None:
    """https://claude.com/docs/connectors/building/authentication"""
    assert (await metadata(world))["code_challenge_methods_supported"] == ["S256"]


async def test_several_of_its_backends_refresh_at_once_and_each_gets_a_good_pair(
    world: World,
) -> None:
    """https://github.com/comet-ml/opik/pull/8287"""
    client = await registered(world, REGISTRATION)
    token = (await connected(world, client))["refresh_token"]

    answers = await asyncio.gather(*(world.refresh(client, token) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    pairs = [answer.json() for answer in answers]
    assert {await world.calls(pair["access_token"]) for pair in pairs} == {200}
    assert (await world.refresh(client, pairs[-1]["refresh_token"])).status_code == 200
