"""What MCP and its RFCs demand of the authorization server, where no other file asks for it.

docs/conformance.md names the row of each test.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from auth.store.sqlite import SqliteStore
from tests.clock import Clock
from tests.kit import (
    ISSUER,
    PASSWORD,
    VERIFIER,
    World,
    authorization_request,
    error_of,
    new_settings,
    redirected,
    serving,
    token_request,
)

METADATA = "/.well-known/oauth-authorization-server"
KEY = ec.generate_private_key(ec.SECP256R1())
DOCUMENT: dict[str, Any] = {
    "client_id": "https://client.example/metadata.json",
    "client_name": "Documented client",
    "redirect_uris": ["https://client.example/callback"],
    "logo_uri": "https://client.example/logo.png",
    "client_uri": "https://client.example/about",
}


def pin(directory: Path, **changes: Any) -> Path:
    """The document, written down where the server finds it."""
    path = directory / "document.json"
    path.write_text(json.dumps(DOCUMENT | changes))
    return path


@pytest.fixture
async def documented(clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    """A server that knows the documented client."""
    async with serving(clock, new_settings(client_metadata_pins=pin(tmp_path))) as world:
        yield world


async def test_the_metadata_leaves_no_default_to_be_guessed(world: World) -> None:
    document = (await world.http.get(METADATA)).json()
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    grant_types = ["authorization_code", "refresh_token", "client_credentials"]
    assert document["grant_types_supported"] == grant_types
    secrets = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    algorithms = ["RS256", "PS256", "ES256", "EdDSA"]
    for endpoint, methods in (
        ("token", ["none", *secrets]),
        ("revocation", ["none", *secrets]),
        ("introspection", secrets),
    ):
        assert document[f"{endpoint}_endpoint_auth_methods_supported"] == methods
        supported = document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert supported == algorithms


async def test_the_metadata_promises_nothing_that_is_not_there(world: World) -> None:
    document = (await world.http.get(METADATA)).json()
    assert document.keys().isdisjoint(
        {
            "jwks_uri",
            "userinfo_endpoint",
            "device_authorization_endpoint",
            "pushed_authorization_request_endpoint",
            "dpop_signing_alg_values_supported",
            "authorization_grant_profiles_supported",
        }
    )
    resource = (await world.http.get("/.well-known/oauth-protected-resource")).json()
    assert resource.keys().isdisjoint(
        {"dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required", "jwks_uri"}
    )


@pytest.mark.parametrize(
    "grant_type",
    [
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "password",
        "implicit",
    ],
)
async def test_no_other_grant_is_offered_or_given(world: World, grant_type: str) -> None:
    document = (await world.http.get(METADATA)).json()
    assert grant_type not in document["grant_types_supported"]
    client = await world.register(grant_types=["authorization_code", grant_type])
    assert grant_type not in client["grant_types"]
    form = {"grant_type": grant_type, "assertion": "a.b.c", "client_id": client["client_id"]}
    assert error_of(await world.token(form)) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    "state",
    ["x", "a b", "a+b", "%2B%20", "ä天\U0001f511", "a=b&c=d#e", '{"q":"\'<>"}', "x" * 4096],
    ids=lambda state: state[:20],
)
async def test_state_comes_back_as_it_was_sent(world: World, state: str) -> None:
    client = await world.register()
    browser = await world.signed_in()
    request = authorization_request(client, state=state)
    refused = await browser.get("/oauth/authorize", params=request | {"response_type": "token"})
    assert redirected(refused)["state"] == state
    await browser.get("/oauth/authorize", params=request)
    assert redirected(await browser.decide("deny"))["state"] == state
    assert redirected(await browser.allow(request))["state"] == state


async def test_without_a_state_none_comes_back(world: World) -> None:
    browser = await world.signed_in()
    request = authorization_request(await world.register(), state=None)
    assert redirected(await browser.allow(request)).keys() == {"code", "iss"}


async def test_a_client_that_is_called_otherwise_is_asked_about_again(
    clock: Clock, tmp_path: Path
) -> None:
    settings = new_settings(client_metadata_pins=pin(tmp_path))
    async with serving(clock, settings) as world:
        await world.tokens(DOCUMENT)
    for name, asks in ((DOCUMENT["client_name"], False), ("Somebody else", True)):
        pin(tmp_path, client_name=name)
        async with serving(clock, settings, world.store) as later:
            browser = await later.signed_in()
            page = await browser.get("/oauth/authorize", params=authorization_request(DOCUMENT))
            assert (page.status_code == 200) is asks


async def test_no_page_shows_what_a_client_keeps_elsewhere(documented: World) -> None:
    browser = await documented.signed_in()
    page = await browser.get("/oauth/authorize", params=authorization_request(DOCUMENT))
    assert "Documented client" in page.text
    assert DOCUMENT["logo_uri"] not in page.text
    assert "img-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("claims", [None, {"sub": "https://other.example/m.json"}, {}])
async def test_a_documented_client_with_keys_has_to_use_them(
    clock: Clock, tmp_path: Path, claims: dict[str, str] | None
) -> None:
    keys = {"keys": [json.loads(ECAlgorithm.to_jwk(KEY.public_key()))]}
    path = pin(tmp_path, token_endpoint_auth_method="private_key_jwt", jwks=keys)
    async with serving(clock, new_settings(client_metadata_pins=path)) as world:
        form = token_request(DOCUMENT, await world.code(DOCUMENT))
        if claims is not None:
            who = DOCUMENT["client_id"]
            good = {"iss": who, "sub": who, "aud": ISSUER, "exp": clock() + 60, "jti": "1"}
            form |= {
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": jwt.encode(good | claims, KEY, "ES256"),
            }
        response = await world.token(form)
        if claims == {}:
            assert response.status_code == 200
        else:
            assert error_of(response) == (401, "invalid_client")


async def test_no_secret_is_kept_where_it_could_be_read(clock: Clock, tmp_path: Path) -> None:
    async with serving(clock, store=SqliteStore(str(tmp_path / "store.db"))) as world:
        client = await world.register(token_endpoint_auth_method="client_secret_post")
        code = await world.code(client)
        first = (await world.exchange(client, code)).json()
        second = (await world.refresh(client, first["refresh_token"])).json()
        secrets = {PASSWORD, VERIFIER, code, client["client_secret"]}
        secrets |= {first[name] for name in ("access_token", "refresh_token")}
        secrets |= {second[name] for name in ("access_token", "refresh_token")}
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    files |= {f"closed {path.name}": path.read_bytes() for path in tmp_path.iterdir()}
    assert any(client["client_id"].encode() in content for content in files.values())
    for name, content in files.items():
        for secret in secrets:
            assert secret.encode() not in content, name
