"""What browsers, caches and proxies are told about every answer (OAuth 2.1 §5.2.3, ASVS 3.4)."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.clock import Clock
from tests.kit import World, new_settings, serving
from tests.security.kit import FORM_PATHS, PAGES, PROGRAM_PATHS

YEAR = 365 * 24 * 60 * 60
PUBLIC = "https://mcp.example.com"


@pytest.mark.parametrize("path", [*PAGES, *PROGRAM_PATHS, "/mcp", "/nowhere", "/oauth/sign-out"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
async def test_every_answer_says_what_it_is_and_that_nobody_keeps_it(
    world: World, path: str, method: str, accept: str
) -> None:
    """Without it a browser guesses HTML in JSON, and a cache gives my page to the next person."""
    response = await world.http.request(method, path, headers={"Accept": accept})
    assert response.headers.get("cache-control") == "no-store"
    if response.content:
        media_type = response.headers["content-type"]
        assert media_type in {"application/json", "text/html; charset=utf-8"}
        assert (response.text.lstrip().startswith("<")) is media_type.startswith("text/html")
    if path != "/mcp" and response.status_code != 303:
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", [*FORM_PATHS, "/oauth/authorize", "/oauth/introspect", "/"])
async def test_no_page_of_another_origin_reads_what_is_ours(world: World, path: str) -> None:
    """Without it a page that the person visits reads the form and sends it (OAuth 2.1 §3.1)."""
    browser = await world.signed_in()
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET", "POST"):
        response = await browser.http.request(method, path, headers=headers)
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/register", "/oauth/revoke", "/mcp"])
async def test_what_is_open_to_pages_is_open_without_their_cookies(world: World, path: str) -> None:
    """Without it `*` is a wish, and credentials make every origin the person's own."""
    response = await world.http.post(path, headers={"Origin": "http://localhost:1"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers


async def test_every_cookie_is_bound_to_host_tls_and_our_own_pages(clock: Clock) -> None:
    """Without it a sibling domain plants a cookie, or a script takes one."""
    async with serving(clock, new_settings(public_url=PUBLIC)) as world:
        browser = world.browser(PUBLIC)
        answers = [await browser.get("/oauth/sign-in"), await browser.sign_in()]
        cookies = [c for answer in answers for c in answer.headers.get_list("set-cookie")]
        assert {cookie.partition("=")[0] for cookie in cookies} == {
            "__Host-latchgate-browser",
            "__Host-latchgate-session",
            "__Host-latchgate-device",
        }
        for cookie in cookies:
            attributes = cookie.lower().split("; ")
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(attributes)
            assert "domain" not in cookie.lower()
        policy = answers[0].headers["strict-transport-security"].split("; ")
        assert int(policy[0].removeprefix("max-age=")) >= YEAR
        assert "includeSubDomains" in policy


async def test_endpoints_of_programs_set_no_cookie(world: World) -> None:
    """Without it a program's answer changes what a browser is."""
    for path in (*PROGRAM_PATHS, "/mcp", "/.well-known/oauth-authorization-server"):
        for ask in (world.http.get, world.http.post):
            response = await _call(ask, path)
            assert "set-cookie" not in response.headers


async def _call(ask: Callable[..., Any], path: str) -> Any:
    return await ask(path, headers={"Accept": "text/html"})


@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/mcp",
        "/oauth/openapi.json",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Origin": "https://page.example"}])
async def test_what_a_cache_keeps_is_good_for_every_page(
    world: World, path: str, headers: dict[str, str]
) -> None:
    """Without it a cache that was asked by a program first shuts out every client in a browser."""
    response = await world.http.get(path, headers=headers)
    assert response.headers["cache-control"].startswith("public")
    assert response.headers.get_list("access-control-allow-origin") == ["*"]
