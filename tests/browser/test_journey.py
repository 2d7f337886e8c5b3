"""The whole journey in a real browser, as different people make it."""

import pytest
from playwright.async_api import Browser, Page

from tests.browser.kit import Person, Site, told
from tests.kit import PASSWORD

pytestmark = pytest.mark.browser

REDIRECT_URI = "https://client.example/callback"

# What has the focus: its name as a screen reader says it, and whether one can see that it has it.
FOCUSED = """() => {
    const focused = document.activeElement;
    const named = focused.labels?.[0] ?? focused;
    const outline = getComputedStyle(focused);
    return [
        named.innerText.trim(),
        outline.outlineStyle !== "none" && parseFloat(outline.outlineWidth) >= 2,
    ];
}"""


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until this has the focus, as few times as the page lets one."""
    passed = []
    for _ in range(12):
        await page.keyboard.press("Tab")
        focused, is_visible = await page.evaluate(FOCUSED)
        assert is_visible, focused
        if focused.startswith(name):
            return
        passed.append(focused)
    pytest.fail(f"{name!r} cannot be reached: {passed}")


async def test_by_keyboard_alone(site: Site, person: Person) -> None:
    client = await site.world.register()
    page = person.page
    await page.goto(site.asking(client, scope="user user:write"))
    await tab_to(page, "Username")
    await page.keyboard.type("admin")
    await tab_to(page, "Password")
    await page.keyboard.type(PASSWORD)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    await tab_to(page, "Change your profile")
    await page.keyboard.press("Space")
    await tab_to(page, "Deny")
    await tab_to(page, "Allow")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{REDIRECT_URI}?*")
    tokens = await site.tokens(client, told(page.url)["code"])
    assert tokens["scope"] == "user"


async def test_enter_in_the_consent_form_never_allows(site: Site, person: Person) -> None:
    client = await site.world.register()
    await person.page.goto(site.asking(client, scope="user user:write"))
    await person.sign_in()
    await tab_to(person.page, "Change your profile")
    await person.page.keyboard.press("Enter")
    await person.page.wait_for_url(f"{REDIRECT_URI}?*")
    assert told(person.page.url)["error"] == "access_denied"


@pytest.mark.parametrize("has_style", [True, False])
async def test_without_javascript_and_without_the_stylesheet(
    site: Site, browser: Browser, *, has_style: bool
) -> None:
    client = await site.world.register()
    async with await browser.new_context(
        java_script_enabled=False, ignore_https_errors=True
    ) as context:
        if not has_style:
            await context.route("**/*.css", lambda route: route.abort())
        person = await Person.at(context)
        await person.page.goto(site.asking(client))
        await person.sign_in()
        code = (await person.answer("Allow", REDIRECT_URI))["code"]
        tokens = await site.tokens(client, code)
        assert await site.world.calls(tokens["access_token"]) == 200
        await person.page.goto(f"{site.origin}/oauth/connections")
        await person.press("Revoke access")
        assert await person.reads("Done: the access is revoked.")
        assert await site.world.calls(tokens["access_token"]) == 401
        await person.press("Sign out")
        assert await person.reads("You are signed out in this browser.")


async def test_a_wrong_password_is_told_and_can_be_put_right(site: Site, person: Person) -> None:
    client = await site.world.register()
    await person.page.goto(site.asking(client))
    await person.sign_in("wrong")
    alert = person.page.get_by_role("alert")
    assert "Wrong username or password" in await alert.inner_text()
    assert await person.page.get_by_label("Username").input_value() == "admin"
    assert not await person.page.get_by_label("Password").input_value()
    await person.sign_in()
    assert (await person.answer("Allow", REDIRECT_URI))["state"] == "a state"


async def test_two_tabs_at_once(site: Site, person: Person) -> None:
    client = await site.world.register()
    other = await person.context.new_page()
    await person.page.goto(site.asking(client, state="first"))
    await other.goto(site.asking(client, state="second"))
    await person.sign_in()
    first, person.page = person.page, other
    await person.sign_in()
    for page, state in ((first, "first"), (other, "second")):
        person.page = page
        answer = await person.answer("Allow", REDIRECT_URI)
        assert answer["state"] == state
        await site.tokens(client, answer["code"])


async def test_a_sign_in_page_that_stood_open_too_long_is_given_anew(
    site: Site, person: Person
) -> None:
    client = await site.world.register()
    await person.page.goto(site.asking(client))
    site.world.clock.advance(600)
    await person.sign_in()
    assert await person.reads("This page stood open too long. Please sign in again.")
    await person.sign_in()
    assert (await person.answer("Allow", REDIRECT_URI))["state"] == "a state"


async def test_a_consent_page_that_stood_open_too_long_says_how_to_start_again(
    site: Site, person: Person
) -> None:
    client = await site.world.register()
    await person.page.goto(site.asking(client))
    await person.sign_in()
    site.world.clock.advance(600)
    await person.press("Allow")
    assert await person.reads("This page stood open too long")
    assert await person.reads("choose this server, then Authenticate.")
    await person.page.get_by_role("link", name="Open the page again").click()
    assert (await person.answer("Allow", REDIRECT_URI))["state"] == "a state"


async def test_a_click_selects_the_address_and_so_does_the_keyboard_reach_it(
    site: Site, person: Person
) -> None:
    await person.page.goto(f"{site.origin}/")
    address = person.page.get_by_role("group", name="Address to give to your app")
    await address.click()
    assert await person.page.evaluate("getSelection().toString().trim()") == f"{site.origin}/mcp"
    await tab_to(person.page, "Sign in")
    await person.page.keyboard.press("Shift+Tab")
    assert await address.evaluate("element => element === document.activeElement")


async def test_an_answer_counts_once(site: Site, person: Person) -> None:
    """The page of an application's link stays in sight after it was answered."""
    client = await site.world.register(redirect_uris=["cursor://example/callback"])
    await person.page.goto(site.asking(client))
    await person.sign_in()
    await person.answer("Allow", "cursor://example/callback")
    await person.press("Deny")
    assert await person.reads("You have answered this already")


async def test_a_second_consent_asks_only_for_what_is_new(site: Site, person: Person) -> None:
    client = await site.world.register()
    await person.page.goto(site.asking(client))
    await person.sign_in()
    await site.tokens(client, (await person.answer("Allow", REDIRECT_URI))["code"])
    await person.page.goto(site.asking(client, scope="user user:write"))
    assert await person.reads("What it asks for in addition")
    assert await person.reads("What it may do already")
    assert await person.page.get_by_role("checkbox").count() == 1
    tokens = await site.tokens(client, (await person.answer("Allow", REDIRECT_URI))["code"])
    assert set(tokens["scope"].split()) == {"user", "user:write"}


async def test_who_is_revoked_is_out_on_the_next_call(site: Site, person: Person) -> None:
    client = await site.world.register(client_name="First")
    other = await site.world.register(client_name="Second")
    access_tokens = []
    await person.page.goto(f"{site.origin}/oauth/sign-in")
    await person.sign_in()
    for each in (client, other):
        await person.page.goto(site.asking(each))
        tokens = await site.tokens(each, (await person.answer("Allow", REDIRECT_URI))["code"])
        access_tokens.append(tokens["access_token"])
    await person.page.goto(f"{site.origin}/oauth/connections")
    first = person.page.get_by_role("article", name="First")
    async with person.page.expect_navigation():
        await first.get_by_role("button", name="Revoke access").click()
    assert [await site.world.calls(token) for token in access_tokens] == [401, 200]
    assert not await first.is_visible()


async def test_somebody_else_at_the_same_browser(site: Site, person: Person) -> None:
    client = await site.world.register()
    await person.page.goto(site.asking(client))
    await person.sign_in()
    await person.press("Sign in as somebody else")
    await person.sign_in()
    assert (await person.answer("Allow", REDIRECT_URI))["state"] == "a state"


async def test_the_language_can_be_changed_on_the_way(site: Site, person: Person) -> None:
    client = await site.world.register()
    page = person.page
    await page.goto(site.asking(client))
    await page.get_by_role("link", name="中文").click()
    await page.get_by_label("用户名").fill("admin")
    await page.get_by_label("密码").fill(PASSWORD)
    await page.get_by_role("button", name="登录").click()
    assert await page.get_attribute("html", "lang") == "zh-Hans"
    assert (await person.answer("允许", REDIRECT_URI))["state"] == "a state"
