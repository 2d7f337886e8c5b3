"""Dynamic registration takes what a stranger says about itself, and no more (RFC 7591 §5)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clock import Clock
from tests.kit import (
    REDIRECT_URI,
    World,
    authorization_request,
    error_of,
    new_settings,
    redirected,
    registration,
    serving,
)
from tests.security.kit import assert_refused

SCHEMES = (
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "\x01javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "%6Aavascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://c.example/1",
    "about:blank",
    "mailto:a@b.example",
    "ftp://c.example/",
    "ms-appx://x",
)
HOSTS = (
    "http://c.example/cb",
    "https://c.example/cb#f",
    "https://c.example/cb#",
    "https://u:p@c.example/cb",
    "https://c.example\\@evil.example/",
    "https://*.example/",
    "https://c.example/*",
    "*",
    "https://c.example/a/../cb",
    "https://c.example/%2e%2e/cb",
    "https://c.example/cb\t",
    "https://C.EXAMPLE/cb",
    "https://аpple.example/cb",
    "https://c.example/" + "x" * 2049,
)


@pytest.mark.parametrize("uri", [*SCHEMES, *HOSTS])
async def test_a_redirect_uri_that_runs_hides_or_roams_is_refused(world: World, uri: str) -> None:
    """Without it the code goes to a script, to a look-alike or to wherever a parser reads."""
    for method in ("none", "client_secret_basic"):
        metadata = registration(
            redirect_uris=[REDIRECT_URI, uri], token_endpoint_auth_method=method
        )
        response = await world.http.post("/oauth/register", json=metadata)
        assert_refused(response, 400)
        assert error_of(response) == (400, "invalid_redirect_uri")


@pytest.mark.parametrize(
    "uri", ["https://c.example:443/cb", "https://c.example/caf%C3%A9?x=%20", "http://localhost/cb"]
)
async def test_what_is_registered_is_not_rewritten(world: World, uri: str) -> None:
    """CVE-2024-1132, CVE-2022-3782: what is normalised is not what is compared."""
    client = await world.register(redirect_uris=[uri])
    assert client["redirect_uris"] == [uri]
    browser = await world.signed_in()
    location = (await browser.allow(authorization_request(client))).headers["location"]
    assert location.startswith(uri)


@pytest.mark.parametrize("name", ["logo_uri", "client_uri", "tos_uri", "policy_uri", "jwks_uri"])
@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://169.254.169.254/", "data:,x"])
async def test_a_link_leads_to_the_web_and_we_never_follow_it(
    world: World, name: str, url: str
) -> None:
    """Without it a page of ours shows a script, or our server asks inside its own network."""
    client = await world.register(**{name: url})
    assert name not in client
    browser = await world.signed_in()
    page = await browser.get("/oauth/authorize", params=authorization_request(client))
    assert page.status_code == 200
    assert url not in page.text


async def test_a_body_without_length_is_cut_off(world: World) -> None:
    """Without it `Transfer-Encoding: chunked` is a way around the limit."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 8192

    response = await world.http.post(
        "/oauth/register", content=chunks(), headers={"Content-Type": "application/json"}
    )
    assert_refused(response, 413)


async def test_a_secret_is_in_nobodys_cache(world: World) -> None:
    """Without it the next client behind a cache is given the last one's secret."""
    metadata = registration(token_endpoint_auth_method="client_secret_basic")
    response = await world.http.post("/oauth/register", json=metadata)
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "members",
    [
        {"client_id": "chosen"},
        {"client_secret": "chosen"},
        {"skip_consent": True},
        {"registration_access_token": "chosen"},
        {"token_ttl": 10**9},
        {"is_admin": True},
        {"issuer": "https://evil.example"},
        {"identity": "PREREGISTERED"},
        {"secret_digest": "x"},
        {"registered_at": 0},
    ],
)
async def test_a_stranger_sets_nothing_that_is_ours(world: World, members: dict[str, Any]) -> None:
    """CVE-2026-65635: a member that a client must not choose is neither kept nor repeated."""
    client = await world.register(**members)
    for name, value in members.items():
        assert client.get(name) != value
    browser = await world.signed_in()
    page = await browser.get("/oauth/authorize", params=authorization_request(client))
    assert page.status_code == 200  # consent is asked


async def test_a_changed_client_id_is_nobodys(world: World) -> None:
    """Without the seal a client could give itself another redirect URI."""
    client = await world.register()
    sealed = client["client_id"]
    for position in range(7, len(sealed), 5):
        letter = "A" if sealed[position] != "A" else "B"
        forged = client | {"client_id": sealed[:position] + letter + sealed[position + 1 :]}
        response = await world.http.get("/oauth/authorize", params=authorization_request(forged))
        assert error_of(response) == (400, "invalid_client")


async def test_registering_for_more_scopes_gives_none(world: World) -> None:
    """CVE-2026-61466, CVE-2026-59354: a scope that a client grants itself."""
    client = await world.register(scope="user admin")
    assert client["scope"] == "user"
    browser = await world.signed_in()
    answer = await browser.get(
        "/oauth/authorize", params=authorization_request(client, scope="admin")
    )
    assert redirected(answer)["error"] == "invalid_scope"


async def test_who_wants_no_registrations_has_none(clock: Clock) -> None:
    """Without it an operator who knows every client has to take strangers all the same."""
    async with serving(clock) as world:
        before = await world.register()
    async with serving(clock, new_settings(registration="off"), world.store) as world:
        response = await world.http.post("/oauth/register", json=registration())
        assert error_of(response) == (404, "not_found")
        document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
        assert "registration_endpoint" not in document
        description = (await world.http.get("/oauth/openapi.json")).json()
        assert "/oauth/register" not in description["paths"]
        assert await world.calls((await world.tokens(before))["access_token"]) == 200
