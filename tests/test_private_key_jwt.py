"""`private_key_jwt` through the token endpoint (RFC 7523 §2.2, rfc7523bis, MCP extension).

What an assertion may say is tested in test_client_assertion.py; here, that the endpoint asks.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.clock import Clock
from tests.kit import (
    ISSUER,
    REDIRECT_URI,
    World,
    changed,
    error_of,
    new_http_client,
    new_settings,
    serving,
    token_request,
)

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEY = ec.generate_private_key(ec.SECP256R1())
STRANGERS_KEY = ec.generate_private_key(ec.SECP256R1())
WEB = {"client_id": "web", "redirect_uris": [REDIRECT_URI]}


def clients(public: dict[str, Any]) -> str:
    """Two clients with this key: one on its own, one on behalf of people."""
    key = f'kty = "EC", crv = "P-256", x = "{public["x"]}", y = "{public["y"]}"'
    keys = f"jwks = {{keys = [{{{key}}}]}}"
    return f"""
[[clients]]
client_id = "workload"
client_name = "Workload"
grant_types = ["client_credentials"]
scope = "user"
{keys}

[[clients]]
client_id = "web"
client_name = "Web"
redirect_uris = ["{REDIRECT_URI}"]
{keys}
"""


@pytest.fixture
async def world(clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    file = tmp_path / "clients.toml"
    file.write_text(clients(json.loads(ECAlgorithm.to_jwk(KEY.public_key()))))
    async with serving(clock, new_settings(clients_file=file)) as world:
        yield world


def assertion(
    clock: Clock, client_id: str = "workload", key: ec.EllipticCurvePrivateKey = KEY, **changes: Any
) -> str:
    """A good assertion of this client but for the changes; None takes a claim out."""
    good = {
        "iss": client_id,
        "sub": client_id,
        "aud": ISSUER,
        "iat": clock(),
        "exp": clock() + 60,
        "jti": "once",
    }
    return jwt.encode(changed(good, changes), key, "ES256")


def proof(signed: str) -> dict[str, str]:
    """The parameters that carry an assertion."""
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}


def request(signed: str, **changes: str | None) -> dict[str, str]:
    """A client credentials request with this assertion."""
    return changed({"grant_type": "client_credentials"} | proof(signed), changes)


@pytest.mark.parametrize("client_id", [None, "workload"])
async def test_a_client_proves_itself_with_its_key(world: World, client_id: str | None) -> None:
    response = await world.token(request(assertion(world.clock), client_id=client_id))
    assert response.status_code == 200, response.text
    assert await world.calls(response.json()["access_token"]) == 200


async def test_a_code_is_exchanged_and_refreshed_with_assertions(world: World) -> None:
    code = await world.code(WEB)
    form = token_request(WEB, code) | proof(assertion(world.clock, "web", jti="1"))
    tokens = (await world.token(form)).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    without = await world.token(refresh | {"client_id": "web"})
    assert error_of(without) == (401, "invalid_client")
    response = await world.token(refresh | proof(assertion(world.clock, "web", jti="2")))
    assert await world.calls(response.json()["access_token"]) == 200


async def test_an_assertion_counts_once(world: World) -> None:
    form = request(assertion(world.clock))
    assert (await world.token(form)).status_code == 200
    assert error_of(await world.token(form)) == (401, "invalid_client")
    another = request(assertion(world.clock, jti="twice"))
    assert (await world.token(another)).status_code == 200


async def test_an_assertion_counts_once_at_all_endpoints_together(world: World) -> None:
    signed = assertion(world.clock)
    token = (await world.token(request(signed))).json()["access_token"]
    for path in ("/oauth/introspect", "/oauth/revoke"):
        response = await world.http.post(path, data=proof(signed) | {"token": token})
        assert error_of(response) == (401, "invalid_client")
    assert await world.calls(token) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": f"{ISSUER}/oauth/token"},
        {"aud": [ISSUER, f"{ISSUER}/oauth/token"]},
        {"aud": "https://elsewhere.example"},
        {"aud": None},
        {"exp": 1_800_000_000 - 60},
        {"exp": 1_800_000_000 + 3600},
        {"exp": None},
        {"iss": "web"},
        {"sub": "web"},
        {"jti": None},
        {"key": STRANGERS_KEY},
    ],
)
async def test_an_assertion_that_breaks_a_rule_is_refused(
    world: World, changes: dict[str, Any]
) -> None:
    response = await world.token(request(assertion(world.clock, **changes)))
    assert error_of(response) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "web"}, 401, "invalid_client"),
        ({"client_assertion_type": None}, 401, "invalid_client"),
        ({"client_assertion_type": "urn:example"}, 401, "invalid_client"),
        ({"client_secret": "x"}, 400, "invalid_request"),
        ({"client_assertion": "x.y.z"}, 401, "invalid_client"),
        ({"client_assertion": None, "client_assertion_type": None}, 401, "invalid_client"),
    ],
)
async def test_a_request_that_proves_nothing_is_refused(
    world: World, changes: dict[str, str | None], status: int, error: str
) -> None:
    form = request(assertion(world.clock), **changes)
    if "client_assertion" in changes:
        form.setdefault("client_id", "workload")
    assert error_of(await world.token(form)) == (status, error)


async def test_the_audience_is_the_issuer_that_was_asked(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(clients(json.loads(ECAlgorithm.to_jwk(KEY.public_key()))))
    main, other = "https://mcp.example", "https://other.example"
    settings = new_settings(clients_file=file, public_url=main, extra_origins=(other,))
    async with serving(clock, settings) as world, new_http_client(world.app, other) as http:
        form = request(assertion(clock, aud=main))
        response = await http.post("/oauth/token", data=form)
        assert error_of(response) == (401, "invalid_client")
        assert (await world.token(form)).status_code == 200
