"""What opens /mcp: an access token for it, in the header, and nothing else (OAuth 2.1 §5)."""

from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from origins import Origins
from resource_server import discovery
from resource_server.app import create_app as create_resource_server
from resource_server.verifiers import IntrospectionVerifier
from tests.authorization_server import AuthorizationServer
from tests.clock import Clock
from tests.kit import (
    ISSUER,
    MCP_HEADERS,
    PING,
    World,
    identification,
    new_settings,
    serving,
)
from tests.test_client_authentication import basic
from tests.test_resource_server_app import lifespan

JWT_LIKE = (
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.eyJzdWIiOiJhZG1pbiJ9.AAAA",
    "eyJhbGciOiJSUzI1NiIsImprdSI6Imh0dHA6Ly8xNjkuMjU0LjE2OS4yNTQvIn0.eyJzdWIiOiJhZG1pbiJ9.AAAA",
)


async def call(http: httpx2.AsyncClient, credentials: bytes) -> httpx2.Response:
    headers = [(name.encode(), value.encode()) for name, value in MCP_HEADERS.items()]
    return await http.post("/mcp", json=PING, headers=[*headers, (b"Authorization", credentials)])


async def test_nothing_that_we_gave_for_another_purpose_opens_it(world: World) -> None:
    """Without it a code, a refresh token, a secret or a cookie that leaks is an access token."""
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    cookies = [cookie.value or "" for cookie in browser.http.cookies.jar]
    others = [code, tokens["refresh_token"], client["client_secret"], client["client_id"]]
    for secret in (*others, *cookies, browser.form):
        response = await call(world.http, f"Bearer {secret}".encode())
        assert response.status_code == 401
    assert await world.calls(tokens["access_token"]) == 200


CALLER: dict[str, Any] = {
    "introspection_client_id": "resource-server",
    "introspection_client_secret": SecretStr("a secret of the resource server"),
}


async def test_nothing_else_opens_a_resource_server_in_a_process_of_its_own(clock: Clock) -> None:
    """Without it whoever saw a refresh token calls the tools for thirty days instead of an hour."""
    async with serving(clock, new_settings(**CALLER)) as world:
        client = await world.register(token_endpoint_auth_method="client_secret_post")
        code = await world.code(client)
        tokens = await world.tokens(client)
        app = create_resource_server(
            new_settings(authorization_server=ISSUER, **CALLER),
            clock,
            httpx2.ASGITransport(app=world.app),
        )
        transport = httpx2.ASGITransport(app=app)
        async with (
            lifespan(app),
            httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http,
        ):
            for other in (tokens["refresh_token"], code, *identification(client).values()):
                assert (await call(http, f"Bearer {other}".encode())).status_code == 401
            good = await call(http, f"Bearer {tokens['access_token']}".encode())
            assert good.status_code == 200


async def test_the_resource_server_is_not_told_that_a_refresh_token_is_good(clock: Clock) -> None:
    """RFC 7662 §4: a resource server of another maker takes for a token whatever is active."""
    async with serving(clock, new_settings(**CALLER)) as world:
        tokens = await world.tokens(await world.register())
        for token, is_active in ((tokens["refresh_token"], False), (tokens["access_token"], True)):
            response = await world.http.post(
                "/oauth/introspect",
                data={"token": token},
                headers=basic("resource-server", "a secret of the resource server"),
            )
            assert response.json()["active"] is is_active


@pytest.mark.parametrize("prefix", ["mcp_ac_", "mcp_rt_", "mcp_cs_"])
async def test_what_is_no_access_token_is_sent_to_nobody(clock: Clock, prefix: str) -> None:
    """Without it an issuer that calls everything active decides what opens our tools."""
    server = AuthorizationServer()
    http = discovery.new_http_client(httpx2.ASGITransport(app=server.app))
    verify = IntrospectionVerifier(http, server.issuer, server.credentials, Origins(()), clock)
    assert await verify(prefix + "A" * 43) is None
    assert server.asked == []


@pytest.mark.parametrize(
    "credentials",
    [
        b"Bearer " + b"x" * 20_000,
        b"Bearer \xff\xfe",
        b"Bearer a\tb",
        b"Bearer mcp_at_" + b"A" * 43,
        b"Bearer",
        b"Bearer ,",
        b"Basic YWRtaW46YWRtaW4=",
        b"MAC id=1",
        *(b"Bearer " + token.encode() for token in JWT_LIKE),
    ],
)
async def test_garbage_is_refused_and_never_parsed(world: World, credentials: bytes) -> None:
    """CVE-2025-59420, CVE-2026-32597: a token that is read before it is believed."""
    response = await call(world.http, credentials)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert response.headers["cache-control"] == "no-store"


async def test_a_signed_in_browser_is_no_client(world: World) -> None:
    """Without it any page calls the person's tools with the person's cookie."""
    browser = await world.signed_in()
    response = await browser.http.post("/mcp", json=PING, headers=MCP_HEADERS)
    assert response.status_code == 401


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://localhost.evil", "http://127.0.0.1.evil.example"],
)
async def test_a_page_of_another_origin_is_refused_with_a_good_token_too(
    world: World, origin: str
) -> None:
    """GHSA-9h52-p55h-vw2f: a page that rebinds its name calls the tools of this machine."""
    tokens = await world.tokens(await world.register())
    headers = {"Authorization": f"Bearer {tokens['access_token']}", "Origin": origin}
    response = await world.http.post("/mcp", json=PING, headers=MCP_HEADERS | headers)
    assert response.status_code == 403


async def test_a_token_does_not_outlive_its_grant_by_one_call(world: World) -> None:
    """Without it what is cached is what is stolen."""
    tokens = await world.tokens(await world.register())
    assert await world.calls(tokens["access_token"]) == 200
    admin = (await world.store.list_accounts())[0]
    await world.store.revoke_grants(admin.subject, world.clock())
    assert await world.calls(tokens["access_token"]) == 401
