"""Consent is this person's, for this client, in this browser, once (OAuth 2.1 §7.13, MCP)."""

import pytest

from tests.clock import Clock
from tests.kit import World, authorization_request, new_settings, redirected, serving
from tests.security.kit import PAGES, add_person, assert_refused

BOB = "a password of bob"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8001"},
        {"Origin": "https://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null", "Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize(
    "path", ["/oauth/consent", "/oauth/connections", "/oauth/password", "/oauth/sign-out"]
)
async def test_no_other_site_answers_for_the_person(
    world: World, path: str, headers: dict[str, str]
) -> None:
    """Without it a page that the person visits presses the button."""
    browser = await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(await world.register()))
    form = {"form": browser.form, "decision": "allow", "revoke_all": "yes"}
    assert_refused(await browser.post(path, form, **headers), 403)
    assert (await browser.get("/oauth/connections")).status_code == 200


@pytest.mark.parametrize("form", ["", "x", "x.y.z", "{}", "eyJiIjoiIn0.AAAA"])
async def test_a_form_that_we_did_not_seal_does_nothing(world: World, form: str) -> None:
    """Without it a form is anything that somebody writes."""
    browser = await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(await world.register()))
    page = await browser.post("/oauth/consent", {"form": form, "decision": "allow"})
    assert_refused(page, 403)


async def test_a_form_of_one_page_is_none_of_another(world: World) -> None:
    """Without it the form of the sign-in page, which anybody gets, allows."""
    browser = await world.signed_in()
    for path in ("/oauth/connections", "/oauth/password"):
        await browser.get(path)
        page = await browser.post("/oauth/consent", {"form": browser.form, "decision": "allow"})
        assert_refused(page, 403)


@pytest.mark.parametrize(
    "more",
    [
        {"client_id": "client_other"},
        {"redirect_uri": "https://evil.example/"},
        {"scope": "user admin"},
        {"scope:admin": "yes"},
        {"scope:user:write": "yes"},
        {"resource": "https://evil.example/mcp"},
        {"code_challenge": "x" * 43},
    ],
)
async def test_nothing_can_be_added_on_the_way_back(world: World, more: dict[str, str]) -> None:
    """CVE-2022-39222: what is allowed is what was shown."""
    client, browser = await world.register(), await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(client))
    answer = await browser.post(
        "/oauth/consent", {"form": browser.form, "decision": "allow", **more}
    )
    assert answer.headers["location"].startswith("https://client.example/callback?")
    tokens = (await world.exchange(client, redirected(answer)["code"])).json()
    assert tokens["scope"] == "user"


async def test_what_was_unticked_is_not_allowed_because_another_tab_allowed_it(
    clock: Clock,
) -> None:
    """Without it a page that stood open says no to a scope and gives it."""
    async with serving(clock, new_settings(scopes=("user", "a", "b"))) as world:
        client, browser = await world.register(), await world.signed_in()
        await browser.get(
            "/oauth/authorize", params=authorization_request(client, scope="user a b")
        )
        form = browser.form
        answer = await browser.allow(authorization_request(client, scope="user a"))
        assert (await world.exchange(client, redirected(answer)["code"])).status_code == 200
        sent = {"form": form, "decision": "allow", "scope:b": "yes"}
        code = redirected(await browser.post("/oauth/consent", sent))["code"]
        assert (await world.exchange(client, code)).json()["scope"] == "user b"


async def test_what_was_taken_back_meanwhile_is_not_held_any_more(clock: Clock) -> None:
    """Without it a page that stood open gives back what was revoked in another tab."""
    async with serving(clock, new_settings(scopes=("user", "a", "b"))) as world:
        client, browser = await world.register(), await world.signed_in()
        await world.tokens(client, scope="user a")
        await browser.get(
            "/oauth/authorize", params=authorization_request(client, scope="user a b")
        )
        form = browser.form
        await browser.get("/oauth/connections")
        await browser.press("narrow")
        sent = {"form": form, "decision": "allow", "scope:b": "yes"}
        code = redirected(await browser.post("/oauth/consent", sent))["code"]
        assert (await world.exchange(client, code)).json()["scope"] == "user b"


async def test_what_was_not_shown_is_not_allowed_whatever_the_settings_say_now(
    clock: Clock,
) -> None:
    """Without it a scope that became required while the page stood open was never agreed to."""
    async with serving(clock) as world:
        client, browser = await world.register(), await world.signed_in()
        request = authorization_request(client, scope=None)
        await browser.get("/oauth/authorize", params=request)
        form, cookies = browser.form, browser.http.cookies
    settings = new_settings(required_scopes=("user", "user:write"))
    async with serving(clock, settings, world.store) as world:
        browser = world.browser()
        browser.http.cookies = cookies
        sent = {"form": form, "decision": "allow", "scope:user:write": "yes"}
        code = redirected(await browser.post("/oauth/consent", sent))["code"]
        assert (await world.exchange(client, code)).json()["scope"] == "user"


@pytest.mark.parametrize("decision", ["", "yes", "ALLOW", "true"])
async def test_only_one_word_allows(world: World, decision: str) -> None:
    """Without it pressing Enter, or a browser that leaves out the button, is a yes."""
    browser = await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(await world.register()))
    answer = await browser.decide(decision)
    assert "code=" not in answer.headers["location"]


async def test_a_get_never_allows(world: World) -> None:
    """Without it an image on another page says yes."""
    browser = await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(await world.register()))
    for path in ("/oauth/consent", "/oauth/connections", "/oauth/sign-out"):
        page = await browser.http.get(
            path, params={"form": browser.form, "decision": "allow", "revoke_all": "yes"}
        )
        assert page.status_code in {200, 405}
    assert (await browser.get("/oauth/connections")).status_code == 200


async def test_the_yes_of_one_person_is_not_the_others(world: World) -> None:
    """Without it two people at one browser answer for each other."""
    await add_person(world, "bob", BOB)
    client, browser = await world.register(), await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(client))
    form = browser.form
    other = world.browser()
    other.http.cookies = browser.http.cookies
    await other.get("/oauth/connections")
    await other.post("/oauth/sign-out", {"form": other.form})
    await other.get("/oauth/sign-in")
    await other.sign_in("bob", BOB)
    page = await other.post("/oauth/consent", {"form": form, "decision": "allow"})
    assert_refused(page, 403)


@pytest.mark.parametrize(("action", "left"), [("revoke", None), ("narrow", "user")])
async def test_a_code_on_its_way_is_worth_no_more_than_what_is_left(
    world: World, action: str, left: str | None
) -> None:
    """Without it an app that keeps a code back has everything again that was taken from it."""
    client, other = await world.register(), await world.register(client_name="Another")
    await world.tokens(client, scope="user user:write")
    code, others = [await world.code(c, scope="user user:write") for c in (client, other)]
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    await browser.press(action)
    answer = (await world.exchange(client, code)).json()
    assert answer.get("scope") == left
    assert answer.get("error") == (None if left else "invalid_grant")
    assert (await world.exchange(other, others)).json()["scope"] == "user user:write"


async def test_nobody_revokes_or_narrows_what_another_allowed(world: World) -> None:
    """Without it a grant's id, which is in a log or a page, ends somebody's connection."""
    await add_person(world, "bob", BOB)
    tokens = await world.tokens(await world.register())
    admin = (await world.store.list_accounts())[0]
    [grant] = await world.store.find_grants(admin.subject, world.clock())
    bob = world.browser()
    await bob.sign_in("bob", BOB)
    for action in ("revoke", "narrow"):
        await bob.get("/oauth/connections")
        page = await bob.post("/oauth/connections", {"form": bob.form, action: grant.grant_id})
        assert_refused(page, 404)
    await bob.get("/oauth/connections")
    await bob.post("/oauth/connections", {"form": bob.form, "revoke_all": "yes"})
    assert await world.calls(tokens["access_token"]) == 200


@pytest.mark.parametrize("path", [*PAGES, "/nowhere", "/oauth/authorize?client_id=x"])
async def test_no_page_can_be_framed_or_scripted(world: World, path: str) -> None:
    """Without it the button lies under somebody else's picture (RFC 9700 §4.16)."""
    for browser in (world.browser(), await world.signed_in()):
        page = await browser.get(path)
        if page.status_code == 303:
            continue
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
