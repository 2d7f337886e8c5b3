"""ChatGPT: what its connectors send.

It cannot run here; each test names the page or thread that tells of the behaviour.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.clock import Clock
from tests.kit import MCP_HEADERS, PING, RESOURCE, World, new_settings, serving, token_request
from tests.resource_server_kit import INITIALIZE, result, rpc, wire
from tests.shapes.kit import (
    PROTECTED_RESOURCE,
    call_tool,
    challenge,
    connected,
    documented,
    metadata,
    registered,
)

CALLBACK = "https://chatgpt.com/connector_platform_oauth_redirect"
CLIENT_ID = "https://chatgpt.com/oauth/6Fz3kVtA9uQ/client.json"
CALLBACK_OF_AN_APP = "https://chatgpt.com/connector/oauth/6Fz3kVtA9uQ"
REGISTRATION: Mapping[str, Any] = {
    "client_name": "ChatGPT",
    "redirect_uris": [CALLBACK],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}


@pytest.mark.parametrize("callback", [CALLBACK, CALLBACK_OF_AN_APP])
async def test_it_registers_without_scope_for_its_old_callback_or_one_of_the_app_s(
    world: World, callback: str
) -> None:
    """https://github.com/makeplane/plane-mcp-server/pull/165"""
    client = await registered(world, {**REGISTRATION, "redirect_uris": [callback]})

    tokens = await connected(world, client)

    assert await world.calls(tokens["access_token"]) == 200


async def test_an_empty_scope_is_none(world: World) -> None:
    """https://github.com/appstrate/appstrate/issues/1267"""
    client = await registered(world, REGISTRATION)

    tokens = await connected(world, client, scope="")

    assert tokens["scope"] == "user"


async def test_scopes_it_did_not_register_may_be_asked_for(world: World) -> None:
    """https://github.com/volcengine/OpenViking/pull/3210"""
    client = await registered(world, REGISTRATION)

    tokens = await connected(world, client, scope="user user:write")

    assert tokens["scope"].split() == ["user", "user:write"]


async def test_it_names_itself_by_a_metadata_document_that_offers_nothing_and_a_key(
    clock: Clock, tmp_path: Path
) -> None:
    """https://developers.openai.com/apps-sdk/build/auth"""
    document = {
        **REGISTRATION,
        "client_id": "https://chatgpt.com/oauth/client-metadata",
        "redirect_uris": [CALLBACK_OF_AN_APP],
        "jwks_uri": "https://chatgpt.com/oauth/jwks.json",
    }
    async with documented(clock, tmp_path, document) as world:
        tokens = await connected(world, document)
        assert await world.calls(tokens["access_token"]) == 200


async def test_it_proves_with_its_key_that_it_is_itself_to_the_token_endpoint(
    clock: Clock, tmp_path: Path
) -> None:
    """https://github.com/PrefectHQ/fastmcp/issues/4789"""
    key = rsa.generate_private_key(65537, 2048)
    document = {
        **REGISTRATION,
        "client_id": CLIENT_ID,
        "redirect_uris": [CALLBACK_OF_AN_APP],
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg": "RS256",
        "jwks": {"keys": [RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)]},
    }

    def proof(world: World, jti: str) -> dict[str, str]:
        audience = f"{world.http.base_url}/oauth/token"
        claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": audience, "jti": jti}
        times = {"iat": clock(), "exp": clock() + 300}
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(claims | times, key, "RS256"),
        }

    async with documented(clock, tmp_path, document) as world:
        code = await world.code(document, redirect_uri=CALLBACK_OF_AN_APP)
        form = token_request(document, code, redirect_uri=CALLBACK_OF_AN_APP)
        tokens = (await world.token(form | proof(world, "1"))).json()
        assert await world.calls(tokens["access_token"]) == 200

        refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        again = (await world.token(refresh | proof(world, "2"))).json()
        assert await world.calls(again["access_token"]) == 200


async def test_an_operator_may_give_it_a_predefined_client(clock: Clock, tmp_path: Path) -> None:
    """https://developers.openai.com/apps-sdk/build/auth"""
    file = tmp_path / "clients.toml"
    file.write_text(
        f"""
        [[clients]]
        client_id = "chatgpt"
        client_name = "ChatGPT"
        redirect_uris = ["{CALLBACK_OF_AN_APP}"]
        """
    )
    async with serving(clock, new_settings(clients_file=file)) as world:
        client = {"client_id": "chatgpt", "redirect_uris": [CALLBACK_OF_AN_APP]}
        tokens = await connected(world, client)
        assert await world.calls(tokens["access_token"]) == 200


async def test_it_strips_the_path_to_look_for_the_resource(world: World) -> None:
    """https://github.com/PrefectHQ/fastmcp/issues/2077"""
    assert (await metadata(world, PROTECTED_RESOURCE))["resource"] == RESOURCE


async def test_it_reads_from_a_tool_which_scopes_it_needs(world: World) -> None:
    """https://developers.openai.com/apps-sdk/build/auth"""
    token = (await connected(world, await registered(world, REGISTRATION)))["access_token"]

    for answer in (await listed(world, token), await listed_in_a_session(world, token)):
        tools = {tool["name"]: tool for tool in answer["tools"]}
        schemes = [{"type": "oauth2", "scopes": ["user", "user:write"]}]
        assert tools["update_profile"]["securitySchemes"] == schemes
        assert tools["update_profile"]["_meta"]["securitySchemes"] == schemes
        assert tools["get_user_data"]["securitySchemes"] == [{"type": "oauth2", "scopes": ["user"]}]


async def test_it_is_told_by_the_status_and_its_header_to_ask_for_more(world: World) -> None:
    """https://developers.openai.com/apps-sdk/build/auth

    `_meta["mcp/www_authenticate"]` in a result is for servers that cannot answer with a status.
    """
    token = (await connected(world, await registered(world, REGISTRATION)))["access_token"]

    answer = await call_tool(world, token, "update_profile", name="Ada")

    assert answer.status_code == 403
    assert challenge(answer)["error"] == "insufficient_scope"
    assert challenge(answer)["scope"] == "user user:write"


async def listed(world: World, token: str) -> Any:
    """The tools, in the stateless protocol."""
    headers = {"Authorization": f"Bearer {token}", "Mcp-Method": "tools/list"}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": PING["params"]}
    return result(await world.http.post("/mcp", json=message, headers=MCP_HEADERS | headers))


async def listed_in_a_session(world: World, token: str) -> Any:
    """The tools, in a handshake version."""
    headers = wire(token, {})
    opened = await world.http.post("/mcp", json=INITIALIZE, headers=headers)
    headers |= {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    answer = await world.http.post("/mcp", json=rpc("tools/list"), headers=headers)
    return result(answer)
