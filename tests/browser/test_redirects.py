"""The answer leaves the page for the client, wherever it waits (CSP 3 §6.4.1, form-action)."""

import pytest
from playwright.async_api import Browser

from tests.browser.kit import Person, Site, Strangers

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://client.example/callback",
        "http://127.0.0.1:{0.loopback_port}/callback",
        "http://localhost:{0.loopback_port}/callback",
        "http://[::1]:{0.ipv6_port}/callback",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "com.example.app:/callback",
    ],
)
@pytest.mark.parametrize("button", ["Allow", "Deny"])
async def test_an_answer_reaches_the_client(
    site: Site, person: Person, web: Strangers, redirect_uri: str, button: str
) -> None:
    redirect_uri = redirect_uri.format(web)
    client = await site.world.register(redirect_uris=[redirect_uri])
    await person.page.goto(site.asking(client))
    await person.sign_in()
    answer = await person.answer(button, redirect_uri)
    assert answer["state"] == "a state"
    assert answer["iss"] == site.origin
    assert ("code" in answer) == (button == "Allow")
    if redirect_uri.startswith("http"):
        await person.page.get_by_text("You may close this page.").wait_for()


@pytest.mark.parametrize(
    ("redirect_uri", "on"),
    [
        ("https://claude.ai/on/claude", "claude:"),
        ("https://vscode.dev/on/vscode", "vscode:"),
        ("https://vscode.dev/on/vscode-insiders", "vscode-insiders:"),
    ],
)
async def test_a_client_known_to_do_so_may_hand_the_answer_on(
    site: Site, person: Person, redirect_uri: str, on: str
) -> None:
    client = await site.world.register(redirect_uris=[redirect_uri])
    await person.page.goto(site.asking(client))
    await person.sign_in()
    async with person.page.expect_request(lambda request: request.url.startswith(on)) as leaving:
        await person.page.get_by_role("button", name="Allow").click()
    assert "code=" in (await leaving.value).url


async def test_a_browser_does_hold_a_form_to_its_policy(site: Site, browser: Browser) -> None:
    """Were it otherwise, the tests above would prove nothing."""
    client = await site.world.register(redirect_uris=["https://client.example/on/elsewhere"])
    async with await browser.new_context(ignore_https_errors=True) as context:
        person = await Person.at(context)
        await person.page.goto(site.asking(client))
        await person.sign_in()
        async with context.expect_event("console") as heard:
            await person.page.get_by_role("button", name="Allow").click()
        assert "form-action" in (await heard.value).text
        assert len(person.refused) == 1


async def test_a_client_that_opens_us_in_a_popup_keeps_hold_of_it(
    site: Site, person: Person
) -> None:
    """Cross-Origin-Opener-Policy would tell it at once that the popup is closed."""
    client = await site.world.register()
    opener = person.page
    await opener.goto("https://client.example/app")
    async with person.context.expect_page() as opened:
        await opener.evaluate("url => void (window.popup = window.open(url))", site.asking(client))
    person.page = await opened.value
    await person.page.get_by_label("Username").wait_for()
    for step in ("sign in", "allow"):
        assert await person.page.evaluate("window.opener !== null"), step
        assert not await opener.evaluate("window.popup.closed"), step
        if step == "sign in":
            await person.sign_in()
    await person.answer("Allow", "https://client.example/callback")
    await person.page.get_by_text("You may close this page.").wait_for()
    assert await person.page.evaluate("window.opener.location.pathname") == "/app"
    await person.page.close()
    await opener.wait_for_function("window.popup.closed")


async def test_our_own_forms_come_with_a_null_origin(site: Site, person: Person) -> None:
    """What Referrer-Policy: no-referrer makes of Origin, and why Sec-Fetch-Site is believed."""
    await person.page.goto(f"{site.origin}/oauth/sign-in")
    async with person.page.expect_request("**/oauth/sign-in") as sending:
        await person.sign_in()
    headers = await (await sending.value).all_headers()
    assert headers["origin"] == "null"
    assert headers["sec-fetch-site"] == "same-origin"
    assert "referer" not in headers
    assert person.page.url == f"{site.origin}/oauth/connections"
