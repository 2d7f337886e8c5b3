"""Clients whose metadata documents are really fetched, from this machine (CIMD §5, §9.6)."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.clock import Clock
from tests.kit import (
    ISSUER,
    World,
    authorization_request,
    error_of,
    new_settings,
    serving,
    token_request,
)
from tests.web_host import WebHost, answer, web_host

KEY = ec.generate_private_key(ec.SECP256R1())
REDIRECT_URI = "http://127.0.0.1/callback"


@pytest.fixture
async def web() -> AsyncIterator[WebHost]:
    async with web_host(None) as web:
        yield web


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    async with serving(clock, new_settings(client_metadata_loopback=True)) as world:
        yield world


def documented(web: WebHost, **changes: Any) -> dict[str, Any]:
    """A client that describes itself on this host; what it says is what the host answers."""
    document = {
        "client_id": f"http://127.0.0.1:{web.port}/client.json",
        "client_name": "Documented client",
        "redirect_uris": [REDIRECT_URI],
        **changes,
    }
    web.answers = [answer(json.dumps(document).encode())]
    return document


async def test_a_client_connects_with_nothing_but_the_url_of_its_document(
    world: World, web: WebHost
) -> None:
    client = documented(web)
    tokens = await world.tokens(client)
    assert await world.calls(tokens["access_token"]) == 200
    again = (await world.refresh(client, tokens["refresh_token"])).json()
    assert await world.calls(again["access_token"]) == 200
    [request] = web.requests
    assert request.startswith("GET /client.json HTTP/1.1")


@pytest.mark.parametrize(
    ("document", "authorize", "token"),
    [
        (
            {"token_endpoint_auth_method": "tls_client_auth"},
            (400, "unauthorized_client"),
            (400, "unauthorized_client"),
        ),
        (
            {"token_endpoint_auth_methods_supported": ["tls_client_auth"]},
            (400, "unauthorized_client"),
            (400, "unauthorized_client"),
        ),
        (
            {"token_endpoint_auth_method": "client_secret_post"},
            (400, "invalid_client"),
            (401, "invalid_client"),
        ),
        (
            {"client_id": "https://c.example/other"},
            (400, "invalid_client"),
            (401, "invalid_client"),
        ),
    ],
)
async def test_a_document_that_is_refused_says_by_its_code_what_to_change(
    world: World,
    web: WebHost,
    document: dict[str, Any],
    authorize: tuple[int, str],
    token: tuple[int, str],
) -> None:
    client = documented(web)
    documented(web, **document)
    request = authorization_request(client)
    assert error_of(await world.http.get("/oauth/authorize", params=request)) == authorize
    assert error_of(await world.token(token_request(client, "mcp_ac_x"))) == token
    page = await world.browser().get("/oauth/authorize", params=request)
    assert page.status_code == 400


@pytest.mark.parametrize(
    ("host", "said"),
    [("localhost:1", "ConnectError"), ("10.0.0.1", "10.0.0.1, which is not public")],
)
async def test_only_the_log_says_why_a_document_cannot_be_fetched(
    world: World, caplog: pytest.LogCaptureFixture, host: str, said: str
) -> None:
    caplog.set_level(logging.INFO)
    scheme = "http" if host.startswith("localhost") else "https"
    url = f"{scheme}://{host}/client.json"
    request = authorization_request({"client_id": url, "redirect_uris": [REDIRECT_URI]})
    refused = await world.http.get("/oauth/authorize", params=request)
    assert error_of(refused) == (503, "temporarily_unavailable")
    [line] = [record.message for record in caplog.records if "metadata document" in record.message]
    assert repr(url) in line
    assert said in line
    page = await world.browser().get("/oauth/authorize", params=request)
    assert said not in refused.text
    assert said not in page.text


async def test_keys_are_not_fetched_from_inside_a_network(
    world: World, web: WebHost, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    keys = "https://169.254.169.254/jwks.json"
    client = documented(web, token_endpoint_auth_method="private_key_jwt", jwks_uri=keys)
    who = client["client_id"]
    claims = {"iss": who, "sub": who, "aud": ISSUER, "exp": world.clock() + 60, "jti": "1"}
    form = token_request(client, await world.code(client)) | {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jwt.encode(claims, KEY, "ES256"),
    }
    assert error_of(await world.token(form)) == (503, "temporarily_unavailable")
    assert f"key set {keys!r} cannot be used" in caplog.text
    assert "169.254.169.254, which is not public" in caplog.text
