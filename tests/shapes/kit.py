"""What tests of client shapes share: a registration word for word, a journey, a tool call."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.clock import Clock
from tests.kit import (
    World,
    authorization_request,
    new_settings,
    redirected,
    serving,
    token_request,
)

PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
PUBLIC_URL = "https://mcp.example.com"


async def registered(world: World, body: Mapping[str, Any]) -> dict[str, Any]:
    """The client that this registration request makes, sent as it stands."""
    response = await world.http.post("/oauth/register", json=dict(body))
    assert response.status_code == 201, response.text
    client: dict[str, Any] = response.json()
    return client


async def connected(
    world: World, client: Mapping[str, Any], **changes: str | None
) -> dict[str, Any]:
    """The tokens this client gets: a person signs in, allows, and the code is exchanged."""
    resource = f"{world.http.base_url}/mcp"
    request = authorization_request(client, **({"resource": resource} | changes))
    browser = world.browser(str(world.http.base_url))
    await browser.sign_in()
    code = redirected(await browser.allow(request))["code"]
    uri = request["redirect_uri"]
    form = token_request(client, code, redirect_uri=uri, resource=resource)
    response = await world.token(form)
    assert response.status_code == 200, response.text
    tokens: dict[str, Any] = response.json()
    return tokens


async def call_tool(world: World, token: str, tool: str, **arguments: str) -> httpx2.Response:
    """The answer to a tool call in the stateless protocol."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return await world.http.post(
        "/mcp",
        json={
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": tool, "arguments": arguments, "_meta": meta},
        },
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        },
    )


async def metadata(world: World, path: str = AUTHORIZATION_SERVER) -> dict[str, Any]:
    """A metadata document."""
    response = await world.http.get(path)
    assert response.status_code == 200, path
    document: dict[str, Any] = response.json()
    return document


def challenge(response: httpx2.Response) -> dict[str, str]:
    """The parameters of a Bearer challenge (RFC 6750 §3)."""
    scheme, _, parameters = response.headers["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', parameters))


@asynccontextmanager
async def documented(
    clock: Clock, folder: Path, document: Mapping[str, Any]
) -> AsyncIterator[World]:
    """A server that holds this client metadata document without having fetched it."""
    path = folder / "document.json"
    path.write_text(json.dumps(document))
    async with serving(clock, new_settings(client_metadata_pins=path)) as world:
        yield world
