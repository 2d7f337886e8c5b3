"""Signing in: no enumeration, no fixation, no detour (OAuth 2.1 §7.1.3.7, ASVS 6, 7)."""

import asyncio

import pytest

from auth.accounts import Passwords, new_account
from tests.clock import Clock
from tests.kit import PASSWORD, World, authorization_request, new_settings, serving
from tests.security.kit import add_person, assert_refused

LONG = "🔐 " * 30 + "correct horse"


async def test_a_password_is_taken_as_it_is_to_its_last_character(world: World) -> None:
    """Without it a password is cut or folded, and what is left is easier to guess."""
    await add_person(world, "bob", LONG + "\0battery")
    browser = world.browser()
    for wrong in (
        LONG,
        LONG + "\0batterY",
        LONG + "\0battery ",
        LONG.replace(" ", "", 1) + "\0battery",
    ):
        assert (await browser.sign_in("bob", wrong)).status_code == 400
    assert (await browser.sign_in("bob", LONG + "\0battery")).status_code == 303


@pytest.mark.slow
async def test_nobody_is_checked_at_the_cost_of_somebody(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a change of parameters tells by time who has an account and was not seen since."""
    costs: dict[str, set[str]] = {}
    verify = Passwords._verify  # noqa: SLF001 - what is checked is not told, only how long it takes

    def noting(passwords: Passwords, stored: str, password: str) -> bool:
        costs.setdefault(password, set()).add(stored.split("$")[3])
        return verify(passwords, stored, password)

    monkeypatch.setattr(Passwords, "_verify", noting)
    async with serving(clock) as world:
        hashed = await Passwords(16, 3, 50).hash("a good password")
        await world.store.add_account(new_account("bob", hashed, clock()))
    async with serving(clock, store=world.store) as world:
        for number in range(40):
            for guess in ("first", "second"):
                await world.browser().sign_in(f"nobody {number}", f"{guess} {number}")
    for number in range(40):
        assert len(costs[f"first {number}"]) == 1
        assert costs[f"first {number}"] == costs[f"second {number}"]
    assert set().union(*costs.values()) == {"m=8,t=1,p=1", "m=16,t=3,p=1"}


async def test_who_signs_in_as_somebody_else_leaves_no_session_behind(world: World) -> None:
    """Without it the cookie of who was there before is good for hours, and nobody can end it."""
    await add_person(world, "bob", "a password of bob")
    browser = world.browser()
    await browser.get("/oauth/sign-in")
    other_tab = browser.form
    await browser.sign_in()
    admins = browser.http.cookies["latchgate-session-8000"]
    form = {"form": other_tab, "username": "bob", "password": "a password of bob"}
    assert (await browser.post("/oauth/sign-in", form)).status_code == 303
    assert browser.http.cookies["latchgate-session-8000"] != admins
    thief = world.browser()
    thief.http.cookies["latchgate-session-8000"] = admins
    assert (await thief.get("/oauth/connections")).status_code == 303
    assert (await browser.get("/oauth/connections")).status_code == 200


@pytest.mark.parametrize("password", ["x" * 1025, "ü" * 600, "x" * 60_000])
async def test_what_nobody_could_have_chosen_is_not_hashed(
    world: World, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it one request makes argon2 read as much as it can carry."""

    def never(passwords: Passwords, stored: str, presented: str) -> bool:
        raise AssertionError("hashed")

    monkeypatch.setattr(Passwords, "_verify", never)
    assert_refused(await world.browser().sign_in("admin", password), 400)


@pytest.mark.parametrize("name", ["next", "return_to", "redirect_uri", "parameters", "continue"])
@pytest.mark.parametrize("target", ["//evil.example", "https:evil.example", "/\\evil.example"])
async def test_where_one_goes_after_signing_in_is_ours_to_say(
    world: World, name: str, target: str
) -> None:
    """Without it a link to our sign-in page ends at a look-alike that asks again."""
    browser = world.browser()
    await browser.get("/oauth/sign-in", params={name: target})
    form = {"form": browser.form, "username": "admin", "password": PASSWORD, name: target}
    page = await browser.post(f"/oauth/sign-in?{name}={target}", form)
    assert page.headers["location"] == "/oauth/connections"


async def test_known_and_unknown_names_get_the_same_bytes(world: World) -> None:
    """CVE-2026-23511: the answer tells who has an account."""
    pages = []
    for username in ("admin", "nobody"):
        browser = world.browser()
        page = await browser.sign_in(username, "wrong")
        text = page.text.replace(browser.form, "FORM").replace(username, "NAME")
        pages.append((page.status_code, text, sorted(page.headers)))
    assert pages[0] == pages[1]


@pytest.mark.slow
async def test_hashing_holds_up_nobody_else(clock: Clock) -> None:
    """Without it sign-ins stop the event loop, and with it every other request."""
    async with serving(clock, new_settings(password_memory_kib=8192)) as world:
        browsers = [world.browser() for _ in range(10)]
        for browser in browsers:
            await browser.get("/oauth/sign-in")
        sign_ins = [asyncio.create_task(browser.sign_in("admin", "wrong")) for browser in browsers]
        answered = 0
        while not all(task.done() for task in sign_ins):
            response = await world.http.get("/.well-known/oauth-authorization-server")
            assert response.status_code == 200
            answered += 1
            await asyncio.sleep(0)
        assert answered > len(browsers)


async def test_a_new_password_ends_what_the_old_one_began(world: World) -> None:
    """Without it whoever knew the old password stays (ASVS 7.4.3)."""
    client = await world.register()
    tokens = await world.tokens(client)
    thief, person = await world.signed_in(), await world.signed_in()
    await person.get("/oauth/password")
    form = {
        "form": person.form,
        "current_password": PASSWORD,
        "new_password": LONG,
        "new_password_again": LONG,
    }
    await person.post("/oauth/password", form)
    assert await world.calls(tokens["access_token"]) == 401
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 400
    assert (await thief.get("/oauth/connections")).status_code == 303
    assert (await person.get("/oauth/connections")).status_code == 200


@pytest.mark.parametrize("password", ["password1", "Admin-2027!", "12345678", "LATCHGATE"])
async def test_a_password_that_everybody_tries_first_cannot_be_chosen(
    world: World, password: str
) -> None:
    """Without it the limits give an attacker enough guesses."""
    browser = await world.signed_in()
    await browser.get("/oauth/password")
    form = {
        "form": browser.form,
        "current_password": PASSWORD,
        "new_password": password,
        "new_password_again": password,
    }
    assert (await browser.post("/oauth/password", form)).status_code == 400
    assert (await world.browser().sign_in()).status_code == 303


async def test_a_session_in_the_url_or_the_body_is_none(world: World) -> None:
    """Without it a link carries a session, in either direction."""
    browser = await world.signed_in()
    [secret] = [c.value for c in browser.http.cookies.jar if "session" in c.name]
    assert secret
    name = "latchgate-session-8000"
    assert (await world.http.get("/oauth/connections", params={name: secret})).status_code == 303
    request = authorization_request(await world.register(), **{name: secret})
    page = await world.browser().get("/oauth/authorize", params=request)
    assert 'type="password"' in page.text
