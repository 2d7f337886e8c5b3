"""VS Code and its Copilot: what they send.

They cannot run here; each test names the thread that tells of the behaviour.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clock import Clock
from tests.kit import World, new_http_client, new_settings, serving
from tests.shapes.kit import PROTECTED_RESOURCE, challenge, connected, metadata, registered

LOOPBACK, HOSTED = "http://127.0.0.1:33418/", "https://vscode.dev/redirect"
REGISTRATION: Mapping[str, Any] = {
    "client_name": "Visual Studio Code",
    "client_uri": "https://code.visualstudio.com",
    "redirect_uris": ["http://127.0.0.1/", LOOPBACK, HOSTED],
    "grant_types": [
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
    ],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    "application_type": "native",
}


@pytest.mark.parametrize("callback", [LOOPBACK, "http://127.0.0.1:51234/", HOSTED])
async def test_it_registers_a_local_and_a_hosted_callback(world: World, callback: str) -> None:
    """https://github.com/microsoft/vscode/issues/316235"""
    client = await registered(world, REGISTRATION)
    assert client["grant_types"] == ["authorization_code", "refresh_token"]

    tokens = await connected(world, client, redirect_uri=callback)

    assert await world.calls(tokens["access_token"]) == 200


async def test_without_registration_it_asks_the_person_for_a_client_id(
    clock: Clock, tmp_path: Path
) -> None:
    """https://code.visualstudio.com/api/extension-guides/ai/mcp"""
    file = tmp_path / "clients.toml"
    file.write_text(
        f"""
        [[clients]]
        client_id = "vscode"
        client_name = "Visual Studio Code"
        redirect_uris = ["{LOOPBACK}", "{HOSTED}"]
        """
    )
    async with serving(clock, new_settings(clients_file=file)) as world:
        client = {"client_id": "vscode", "redirect_uris": [LOOPBACK]}
        tokens = await connected(world, client)
        assert await world.calls(tokens["access_token"]) == 200


async def test_it_asks_for_all_scopes_there_are(world: World) -> None:
    """https://github.com/microsoft/vscode/issues/316235"""
    client = await registered(world, REGISTRATION)
    scopes = (await metadata(world, PROTECTED_RESOURCE))["scopes_supported"]

    tokens = await connected(world, client, scope=" ".join(scopes))

    assert tokens["scope"].split() == scopes


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000"])
async def test_the_resource_equals_the_url_that_was_typed(world: World, host: str) -> None:
    """https://github.com/microsoft/vscode/pull/270675"""
    async with new_http_client(world.app, f"http://{host}") as http:
        refused = await http.post("/mcp", json={})
        document = await http.get(challenge(refused)["resource_metadata"])

    assert document.json()["resource"] == f"http://{host}/mcp"
    assert document.json()["authorization_servers"] == [f"http://{host}"]
