"""Discovery tells the truth about us, whatever a request claims (RFC 8414 §6, RFC 9728 §7)."""

import re

import pytest

from tests.kit import HTML, ISSUER, World, error_of
from tests.security.kit import PAGES, PROGRAM_PATHS, assert_refused

EVERYWHERE = (
    *PAGES,
    *PROGRAM_PATHS,
    "/mcp",
    "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
)


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "127.0.0.1:8000@evil", ""]
)
async def test_no_path_answers_under_a_name_that_is_not_ours(
    world: World, path: str, host: str
) -> None:
    """Without it DNS rebinding reads us from a browser, and a poisoned issuer reaches a client."""
    for method in ("GET", "POST", "OPTIONS"):
        for headers in ({}, {"Origin": "https://page.example"}):
            response = await world.http.request(method, path, headers={"Host": host} | headers)
            assert_refused(response, 421)
            assert "evil" not in response.text


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("host", ["[::1]", "[::1]:80", "[::1]:8000", "localhost", "127.0.0.1:80"])
async def test_every_path_answers_under_each_name_of_this_machine(
    world: World, path: str, host: str
) -> None:
    """Without it a name that is ours brings a server error."""
    response = await world.http.get(path, headers=HTML | {"Host": host})
    assert response.status_code < 500, response.text
    if "set-cookie" in response.headers:
        name = response.headers["set-cookie"].partition("=")[0]
        assert re.fullmatch(r"latchgate-\w+-\d+", name)


@pytest.mark.parametrize(
    "path", ["/oauth/token/", "/oauth/authorize/", "//oauth/token", "/oauth//token"]
)
async def test_no_spelling_of_a_path_is_redirected(world: World, path: str) -> None:
    """Without it a redirect built from Host carries the body, with its secret, to somebody else."""
    for headers in ({}, {"Host": "evil.example"}):
        response = await world.http.post(path, data={"client_secret": "x"}, headers=headers)
        assert_refused(response, 404, 405, 421)
        assert "location" not in response.headers


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "FOO", "PATCH"])
@pytest.mark.parametrize("path", [*PROGRAM_PATHS, *PAGES])
async def test_no_other_method_is_served(world: World, method: str, path: str) -> None:
    """Without it TRACE repeats credentials, and an unexpected method may skip a check."""
    response = await world.http.request(method, path)
    assert_refused(response, 405)
    assert response.headers["allow"]


async def test_what_is_offered_can_be_had_and_nothing_weak_is(world: World) -> None:
    """Without it a client is led to a weaker flow, or to an endpoint of somebody else."""
    document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert document["response_types_supported"] == ["code"]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert not {"implicit", "password"} & set(document["grant_types_supported"])
    for name, url in document.items():
        if name.endswith("_endpoint"):
            assert url.startswith(f"{ISSUER}/")
            response = await world.http.request("TRACE", url.removeprefix(ISSUER))
            assert response.status_code == 405, name


async def test_an_unknown_well_known_path_is_no_document(world: World) -> None:
    """Without it half an OpenID document, or one with another issuer, breaks strict clients."""
    for path in ("openid-configuration", "oauth-authorization-server/mcp", "jwks.json"):
        assert error_of(await world.http.get(f"/.well-known/{path}")) == (404, "not_found")
