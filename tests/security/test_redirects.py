"""Redirect URIs are one string, and the answer goes to that string (OAuth 2.1 §7.5.3).

The matching itself is tried in test_redirect_uris.py and test_redirect_properties.py; here that
the endpoint uses it, and says nothing to the address that did not match.
"""

import pytest

from tests.kit import World, authorization_request
from tests.security.kit import assert_refused

WEB, LOOPBACK, APP = "https://c.example/cb", "http://127.0.0.1/cb", "cursor://a/cb"


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        (WEB, "https://c.example/cb/"),
        (WEB, "https://c.example/cb?x=1"),
        (WEB, "https://C.example/cb"),
        (WEB, "https://c.example:443/cb"),
        (WEB, "https://c.example/x/../cb"),
        (WEB, "https://c.example@evil.example/cb"),
        (WEB, "https://c.example.evil.example/cb"),
        (WEB, "https://evil.example/#@c.example/cb"),
        (WEB, "https://c.example/cb\n"),
        (WEB, " https://c.example/cb"),
        (WEB, "https://c.example\\@evil.example/cb"),
        (LOOPBACK, "http://127.0.0.2:1/cb"),
        (LOOPBACK, "http://localhost:1/cb"),
        (LOOPBACK, "https://127.0.0.1:1/cb"),
        (LOOPBACK, "http://127.0.0.1:1@evil.example/cb"),
        (LOOPBACK, "http://127.0.0.1:1/cb?x"),
        (LOOPBACK, "http://127.0.0.1:99999/cb"),
        (APP, "cursor://b/cb"),
        (APP, "CURSOR://a/cb"),
    ],
)
async def test_what_does_not_match_hears_nothing(
    world: World, registered: str, presented: str
) -> None:
    """CVE-2023-6291, CVE-2020-15234: a redirect that nearly matches gets the code."""
    client = await world.register(redirect_uris=[registered])
    for browser in (world.browser(), await world.signed_in()):
        request = authorization_request(client, redirect_uri=presented)
        page = await browser.get("/oauth/authorize", params=request)
        assert_refused(page, 400)
        assert "location" not in page.headers
        assert f'href="{presented.strip()}' not in page.text


@pytest.mark.parametrize(
    ("registered", "presented"),
    [(WEB, WEB), (LOOPBACK, "http://127.0.0.1:49152/cb"), (APP, APP), ("https://c.example",) * 2],
)
@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_the_answer_goes_to_the_very_string_that_was_presented(
    world: World, registered: str, presented: str, decision: str
) -> None:
    """Without it a rewritten URI leads elsewhere than the one that was compared."""
    client, browser = await world.register(redirect_uris=[registered]), await world.signed_in()
    request = authorization_request(client, redirect_uri=presented)
    await browser.get("/oauth/authorize", params=request)
    answer = await browser.decide(decision)
    assert answer.headers["location"].startswith(f"{presented}?")


async def test_a_redirect_that_was_replaced_at_the_token_endpoint_is_refused(world: World) -> None:
    """CVE-2025-4144: the second comparison is not optional once it is asked for."""
    client = await world.register(redirect_uris=[WEB, "https://c.example/other"])
    code = await world.code(client)
    response = await world.exchange(client, code, redirect_uri="https://c.example/other")
    assert_refused(response, 400)
    assert (await world.exchange(client, code)).status_code == 200
