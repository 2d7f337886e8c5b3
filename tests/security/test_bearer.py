"""What opens /mcp: an access token for it, in the header, and nothing else (OAuth 2.1 §5)."""

import httpx2
import pytest

from tests.kit import MCP_HEADERS, PING, World

JWT_LIKE = (
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "eyJhbGciOiJIUzI1NiIsImNyaXQiOlsieCJdfQ.eyJzdWIiOiJhZG1pbiJ9.AAAA",
    "eyJhbGciOiJSUzI1NiIsImprdSI6Imh0dHA6Ly8xNjkuMjU0LjE2OS4yNTQvIn0.eyJzdWIiOiJhZG1pbiJ9.AAAA",
)


async def call(world: World, credentials: bytes) -> httpx2.Response:
    headers = [(name.encode(), value.encode()) for name, value in MCP_HEADERS.items()]
    return await world.http.post(
        "/mcp", json=PING, headers=[*headers, (b"Authorization", credentials)]
    )


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
        response = await call(world, f"Bearer {secret}".encode())
        assert response.status_code == 401
    assert await world.calls(tokens["access_token"]) == 200


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
    response = await call(world, credentials)
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
