"""Metadata documents are fetched from where anybody could, and believed for one host (CIMD §9).

What is fetched and from where is tried in test_safe_fetch.py and test_addresses.py over real
sockets; here is what a stranger can make the whole server do by naming a URL.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from auth.safe_fetch import SafeFetcher
from tests.clock import Clock
from tests.kit import (
    REDIRECT_URI,
    World,
    authorization_request,
    error_of,
    new_settings,
    redirected,
    serving,
)
from tests.security.kit import assert_refused, limited
from tests.web_host import answer, web_host

HOSTED = "https://client.example/client.json"
ELSEWHERE = "https://elsewhere.example/cb"


def documented(**changes: Any) -> dict[str, Any]:
    return {
        "client_id": HOSTED,
        "client_name": "Documented",
        "redirect_uris": [
            "https://client.example/callback",
            "http://127.0.0.1/callback",
            ELSEWHERE,
        ],
        **changes,
    }


@pytest.mark.parametrize(
    "client_id",
    [
        "http://c.example/m.json",
        "https://c.example",
        "https://c.example/",
        "https://c.example/m#f",
        "https://c.example/m#",
        "https://u@c.example/m",
        "https://c.example/./m",
        "https://c.example/../m",
        "https://c.example/%2e%2e/m",
        "https://c.example/m?",
        "https://c.example\\m",
        "https:c.example/m",
        "https://c.example/\tm",
        "https://127.0.0.1/m.json",
        "https://[::1]/m.json",
        "https://10.0.0.1/m.json",
        "https://169.254.169.254/latest",
        "https://localhost/m.json",
        "https://2130706433/m.json",
    ],
)
async def test_some_urls_are_fetched_by_nobody(
    world: World, client_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a link makes our server knock on doors inside its own network."""

    async def never(fetcher: SafeFetcher, *arguments: Any) -> Any:
        raise AssertionError("connected")

    monkeypatch.setattr(SafeFetcher, "_get", never)
    request = authorization_request(
        {"client_id": client_id, "redirect_uris": ["https://a.example/"]}
    )
    for browser in (world.browser(), await world.signed_in()):
        page = await browser.get("/oauth/authorize", params=request)
        assert_refused(page, 400, 503)
        assert "location" not in page.headers


async def test_our_own_name_is_not_fetched(clock: Clock) -> None:
    """Without it the server waits for itself, once for every request."""
    async with serving(clock, new_settings(public_url="https://as.example")) as world:
        for client_id in ("https://as.example/oauth/authorize", "https://as.example:8443/m.json"):
            request = authorization_request(
                {"client_id": client_id, "redirect_uris": ["https://a/"]}
            )
            response = await world.http.get("/oauth/authorize", params=request)
            assert error_of(response) == (400, "invalid_client")


async def test_made_up_urls_keep_no_known_document_from_being_fetched(clock: Clock) -> None:
    """Without it a stranger keeps a client out whose host wants its document read each time."""
    settings = {"client_metadata_fetch_limit": "2/minute", "client_metadata_loopback": True}
    async with web_host(None) as web, limited(clock, **settings) as world:
        known = f"http://127.0.0.1:{web.port}/client.json"
        client = documented(client_id=known, redirect_uris=[REDIRECT_URI])
        document = answer(json.dumps(client).encode(), Cache_Control="no-cache")

        async def ask(client_id: str) -> tuple[int, str]:
            form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": client_id}
            return error_of(await world.token(form))

        web.answers = [document, answer(b"", "404 Not Found")]
        assert await ask(known) == (400, "invalid_grant")
        clock.advance(30)
        for number in range(3):
            assert await ask(f"{known}?{number}") == (503, "temporarily_unavailable")
        assert len(web.requests) == 2
        web.answers = [document]
        assert await ask(known) == (400, "invalid_grant")
        assert len(web.requests) == 3


@pytest.fixture
def pinned(tmp_path: Path) -> Path:
    path = tmp_path / "client.json"
    path.write_text(json.dumps(documented()))
    return path


async def test_a_yes_to_a_document_holds_for_its_own_host_only(clock: Clock, pinned: Path) -> None:
    """Without it a yes for a known name is used by any program, or by another host."""
    async with serving(clock, new_settings(client_metadata_pins=pinned)) as world:
        browser = await world.signed_in()
        for uri in documented()["redirect_uris"]:
            request = authorization_request(documented(), redirect_uri=uri)
            code = redirected(await browser.allow(request))["code"]
            await world.exchange(documented(), code, redirect_uri=uri)
            again = await browser.get("/oauth/authorize", params=request)
            assert (again.status_code == 303) is uri.startswith("https://client.example/")


@pytest.mark.parametrize(
    "change",
    [
        {"client_name": "Your bank"},
        {"redirect_uris": [ELSEWHERE]},
        {"redirect_uris": ["https://client.example/elsewhere"]},
    ],
)
async def test_a_document_that_changed_is_asked_about_again(
    clock: Clock, pinned: Path, change: dict[str, Any]
) -> None:
    """Without it a client looks harmless until it has its yes (CIMD §9.3)."""
    async with serving(clock, new_settings(client_metadata_pins=pinned)) as world:
        browser = await world.signed_in()
        code = redirected(await browser.allow(authorization_request(documented())))["code"]
        await world.exchange(documented(), code)
        store = world.store
    pinned.write_text(json.dumps(documented(**change)))
    async with serving(clock, new_settings(client_metadata_pins=pinned), store) as world:
        browser = await world.signed_in()
        request = authorization_request(documented(**change))
        assert (await browser.get("/oauth/authorize", params=request)).status_code == 200


async def test_a_redirect_that_the_document_does_not_list_is_no_redirect(
    clock: Clock, pinned: Path
) -> None:
    """CVE-2025-4143: the redirect was compared when it was too late."""
    async with serving(clock, new_settings(client_metadata_pins=pinned)) as world:
        request = authorization_request(documented(), redirect_uri="https://evil.example/cb")
        page = await (await world.signed_in()).get("/oauth/authorize", params=request)
        assert_refused(page, 400)
        assert "location" not in page.headers
