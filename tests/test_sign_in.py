"""Signing in and out (OAuth 2.1 §3.1)."""

import re
from collections.abc import Collection
from html import unescape
from statistics import median
from time import perf_counter
from urllib.parse import urlencode

import pytest
from starlette.types import Message, Scope

from auth.models import Account, Event
from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from tests.clock import Clock
from tests.kit import PASSWORD, World, authorization_request, error_of, new_settings, serving


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("admin", "wrong"),
        ("nobody", PASSWORD),
        ("", ""),
        ("admin", ""),
        ("admin", "x" * 1025),
        ("x" * 257, PASSWORD),
        ("admin\0", PASSWORD),
        ("admin", PASSWORD + " "),
    ],
)
async def test_every_kind_of_wrong_is_answered_alike(
    world: World, username: str, password: str
) -> None:
    browser = world.browser()
    page = await browser.sign_in(username, password)
    assert page.status_code == 400
    assert (await browser.get("/oauth/connections")).status_code == 303
    assert "Wrong username or password" in page.text
    await browser.get("/oauth/sign-in")
    page = await browser.sign_in()
    assert page.status_code == 303


async def test_a_page_shown_again_still_says_who_asks_and_can_change_its_language(
    world: World,
) -> None:
    client = await world.register(client_name="Weather")
    request = authorization_request(client, redirect_uri=None)
    browser = world.browser()
    await browser.get("/oauth/authorize", params=request)
    page = await browser.sign_in(password="wrong")
    assert "Weather</bdi> wants to use" in page.text
    assert "form-action 'self' https://client.example;" in page.headers["content-security-policy"]
    link = re.search(r'href="([^"]+)" lang="zh-Hans"', page.text)
    assert link
    page = await browser.get(unescape(link[1]))
    assert page.status_code == 200
    assert "登录" in page.text
    assert "Weather" in page.text


@pytest.mark.parametrize("path", ["/oauth/sign-in", "/oauth/password"])
async def test_a_page_shown_again_by_itself_can_change_its_language(
    world: World, path: str
) -> None:
    browser = await world.signed_in() if path == "/oauth/password" else world.browser()
    await browser.get(path)
    page = await browser.post(path, {"form": browser.form})
    assert page.status_code == 400
    assert f'href="{path}?ui_locales=zh-Hans" lang="zh-Hans"' in page.text


async def test_username_and_case(world: World) -> None:
    page = await world.browser().sign_in("ADMIN")
    assert page.status_code == 303


@pytest.mark.slow
async def test_an_unknown_person_takes_as_long_to_refuse_as_a_known_one(clock: Clock) -> None:
    async with serving(clock, new_settings(password_memory_kib=19_456)) as world:
        times: dict[str, list[float]] = {"admin": [], "nobody": []}
        browser = world.browser()
        for _ in range(8):
            for username, seconds in times.items():
                begun = perf_counter()
                await browser.sign_in(username, "wrong")
                seconds.append(perf_counter() - begun)
        ratio = median(times["nobody"]) / median(times["admin"])
        assert 0.5 < ratio < 2


async def test_a_program_is_told_in_json(world: World) -> None:
    browser = world.browser()
    await browser.get("/oauth/sign-in")
    response = await browser.http.post(
        "/oauth/sign-in",
        data={"form": browser.form, "username": "admin", "password": "wrong"},
        headers={"Accept": "application/json"},
    )
    assert error_of(response) == (400, "access_denied")


async def test_signing_in_leads_on_to_the_request_that_waited(world: World) -> None:
    request = authorization_request(await world.register(), state="a&b=ü")
    browser = world.browser()
    await browser.get("/oauth/authorize", params=request)
    await browser.sign_in(password="wrong")
    page = await browser.sign_in()
    page = await browser.get(page.headers["location"])
    answer = await browser.decide("allow")
    assert "state=a%26b%3D%C3%BC" in answer.headers["location"]


async def test_with_nothing_waiting_it_leads_to_the_connections(world: World) -> None:
    browser = world.browser()
    page = await browser.sign_in()
    assert page.headers["location"] == "/oauth/connections"
    page = await browser.get("/oauth/sign-in")
    assert page.headers["location"] == "/oauth/connections"


async def test_a_form_that_stood_open_too_long_is_given_anew(world: World) -> None:
    request = authorization_request(await world.register())
    browser = world.browser()
    await browser.get("/oauth/authorize", params=request)
    world.clock.advance(600)
    page = await browser.sign_in()
    assert page.status_code == 400
    page = await browser.sign_in()
    assert page.headers["location"].startswith("/oauth/authorize?")


async def test_a_session_lasts_while_it_is_used_and_no_longer_than_its_limit(world: World) -> None:
    browser = await world.signed_in()
    world.clock.advance(8 * 3600 - 1)
    assert (await browser.get("/oauth/connections")).status_code == 200
    world.clock.advance(4 * 3600)
    assert (await browser.get("/oauth/connections")).status_code == 200
    world.clock.advance(1)
    assert (await browser.get("/oauth/connections")).status_code == 303


async def test_a_session_that_is_not_used_ends(world: World) -> None:
    browser = await world.signed_in()
    world.clock.advance(8 * 3600)
    assert (await browser.get("/oauth/connections")).status_code == 303


async def test_signing_in_makes_a_new_session_whatever_the_browser_brought(world: World) -> None:
    browser = world.browser()
    browser.http.cookies.set("latchgate-session-8000", "chosen by somebody else")
    await browser.sign_in()
    response = await world.http.get(
        "/oauth/connections", headers={"Cookie": "latchgate-session-8000=chosen by somebody else"}
    )
    assert response.status_code == 303


async def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(world: World) -> None:
    page = await world.browser().sign_in()
    session = [c for c in page.headers.get_list("set-cookie") if "session" in c]
    assert len(session) == 1
    assert "HttpOnly" in session[0]
    assert "SameSite=lax" in session[0]
    assert "Path=/" in session[0]
    assert "Domain" not in session[0]


async def test_over_tls_cookies_are_bound_to_this_host(clock: Clock) -> None:
    async with serving(clock, new_settings(public_url="https://mcp.example.com")) as world:
        page = await world.browser("https://mcp.example.com").sign_in()
        assert page.status_code == 303
        for cookie in page.headers.get_list("set-cookie"):
            assert cookie.startswith("__Host-latchgate-")
            assert "Secure" in cookie


async def test_a_password_in_the_url_signs_nobody_in(world: World) -> None:
    browser = world.browser()
    page = await browser.get("/oauth/sign-in", params={"username": "admin", "password": PASSWORD})
    assert page.status_code == 200
    assert PASSWORD not in page.text
    assert (await browser.get("/oauth/connections")).status_code == 303


async def test_signing_out_ends_the_session_on_our_side_too(world: World) -> None:
    browser = await world.signed_in()
    cookie = "; ".join(f"{c.name}={c.value}" for c in browser.http.cookies.jar)
    await browser.get("/oauth/connections")
    page = await browser.post("/oauth/sign-out", {"form": browser.form})
    assert page.headers["location"] == "/oauth/sign-in?done=signed_out"
    assert "signed out in this browser" in (await browser.get(page.headers["location"])).text
    for headers in ({}, {"Cookie": cookie}):
        response = await world.http.get("/oauth/connections", headers=headers)
        assert response.status_code == 303
    assert (await browser.post("/oauth/sign-out", {})).headers["location"] == "/oauth/sign-in"


async def test_signing_out_everywhere_ends_every_session(world: World) -> None:
    first, second = await world.signed_in(), await world.signed_in()
    await first.get("/oauth/connections")
    page = await first.post("/oauth/sign-out", {"form": first.form, "everywhere": "yes"})
    assert "signed out everywhere" in (await first.get(page.headers["location"])).text
    assert (await second.get("/oauth/connections")).status_code == 303


async def test_somebody_else_may_sign_in_at_the_consent_page(world: World) -> None:
    request = authorization_request(await world.register())
    browser = await world.signed_in()
    await browser.get("/oauth/authorize", params=request)
    page = await browser.post("/oauth/sign-out", {"form": browser.form})
    assert page.headers["location"].startswith("/oauth/authorize?")
    page = await browser.get(page.headers["location"])
    assert 'type="password"' in page.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_sites_page_signs_nobody_in(world: World, headers: dict[str, str]) -> None:
    browser = world.browser()
    await browser.get("/oauth/sign-in")
    form = {"form": browser.form, "username": "admin", "password": PASSWORD}
    page = await browser.post("/oauth/sign-in", form, **headers)
    assert page.status_code == 403
    assert "session" not in str(page.headers.get_list("set-cookie"))


async def test_a_page_without_referrer_sends_a_null_origin_and_is_believed(world: World) -> None:
    browser = world.browser()
    await browser.get("/oauth/sign-in")
    form = {"form": browser.form, "username": "admin", "password": PASSWORD}
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert (await browser.post("/oauth/sign-in", form, **headers)).status_code == 303


async def test_a_form_of_another_browser_signs_nobody_in(world: World) -> None:
    attacker, victim = world.browser(), world.browser()
    await attacker.get("/oauth/sign-in")
    await victim.get("/oauth/sign-in")
    for form in (attacker.form, "", "x.y"):
        values = {"form": form, "username": "admin", "password": PASSWORD}
        assert (await victim.post("/oauth/sign-in", values)).status_code == 403
    no_cookies = await world.browser().post(
        "/oauth/sign-in", {"form": attacker.form, "username": "admin", "password": PASSWORD}
    )
    assert no_cookies.status_code == 403


async def test_a_repeated_field_is_refused(world: World) -> None:
    response = await world.http.post(
        "/oauth/sign-in",
        content="username=a&username=b",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert error_of(response) == (400, "invalid_request")
    assert "a field of the form is repeated" in response.json()["error_description"]


async def test_the_chosen_language_outlives_signing_in_and_out(world: World) -> None:
    browser = world.browser()
    await browser.get("/oauth/sign-in?ui_locales=zh-Hans")
    form = {"form": browser.form, "username": "admin", "password": PASSWORD}
    page = await browser.post("/oauth/sign-in?ui_locales=zh-Hans", form)
    assert page.headers["location"] == "/oauth/connections?ui_locales=zh-Hans"
    await browser.get(page.headers["location"])
    page = await browser.post("/oauth/sign-out?ui_locales=zh-Hans", {"form": browser.form})
    assert page.headers["location"] == "/oauth/sign-in?done=signed_out&ui_locales=zh-Hans"


async def test_whoever_signs_in_in_two_tabs_can_answer_in_both(world: World) -> None:
    client, browser = await world.register(), world.browser()
    await browser.get("/oauth/authorize", params=authorization_request(client))
    waiting = browser.form
    await browser.sign_in()
    await browser.get("/oauth/authorize", params=authorization_request(client, state="first"))
    first = browser.form
    form = {"form": waiting, "username": "admin", "password": PASSWORD}
    await browser.post("/oauth/sign-in", form)
    page = await browser.post("/oauth/consent", {"form": first, "decision": "deny"})
    assert "state=first" in page.headers["location"]


async def noted(world: World) -> list[str]:
    """The kinds of what the person is told of, newest first."""
    admin = (await world.store.list_accounts())[0]
    return [event.kind for event in await world.store.list_events(admin.subject)]


async def test_a_person_is_told_that_somebody_failed_with_their_name(world: World) -> None:
    for username in ("admin", "ADMIN", "nobody"):
        await world.browser().sign_in(username, "wrong")
    assert await noted(world) == ["sign_in_failed"]
    world.clock.advance(60)
    await world.browser().sign_in(password="wrong")
    assert await noted(world) == ["sign_in_failed"] * 2


async def test_a_person_is_told_that_attempts_were_blocked(clock: Clock) -> None:
    async with serving(clock, new_settings(sign_in_limit="1/hour")) as world:
        for _ in range(3):
            await world.browser().sign_in(password="wrong")
        assert await noted(world) == ["sign_in_throttled", "sign_in_failed"]


@pytest.mark.slow
async def test_whoever_fails_on_purpose_pushes_nothing_else_out(world: World) -> None:
    for _ in range(12):
        await world.browser().sign_in()
        for _ in range(5):
            world.clock.advance(60)
            await world.browser().sign_in(password="wrong")
    kinds = await noted(world)
    assert kinds.count("sign_in_succeeded") == 10
    assert kinds.count("sign_in_failed") == 10


class Away(MemoryStore):
    """A store that cannot be reached from some moment on."""

    asked = 0

    async def find_account_by_username(self, username: str) -> Account | None:
        account = await super().find_account_by_username(username)
        self.asked += 1
        # There for the limit and the password, it is gone when the failure is written down.
        if self.asked > 2:
            raise StoreUnavailable("away")
        return account


async def test_a_failure_is_told_even_if_it_cannot_be_noted(clock: Clock) -> None:
    async with serving(clock, store=Away()) as world:
        page = await world.browser().sign_in(password="wrong")
        assert page.status_code == 400
        assert await noted(world) == []


async def test_the_answer_does_not_wait_for_the_note(clock: Clock) -> None:
    """How long it takes would tell whether there is such a person."""
    answered: list[bool] = []

    class Watched(MemoryStore):
        async def add_event(self, event: Event, alike: Collection[str], most: int) -> None:
            answered.append(sent)
            await super().add_event(event, alike, most)

    async with serving(clock, store=Watched()) as world:
        browser, sent = world.browser(), False
        await browser.get("/oauth/sign-in")
        form = urlencode({"form": browser.form, "username": "admin", "password": "wrong"})
        cookies = "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())

        async def receive() -> Message:
            return {"type": "http.request", "body": form.encode()}

        async def send(message: Message) -> None:
            nonlocal sent
            sent = message["type"] == "http.response.body" and not message.get("more_body")

        await world.app(
            http_scope("/oauth/sign-in", cookies, browser.http.base_url.netloc), receive, send
        )
    assert answered == [True]


def http_scope(path: str, cookies: str, host: bytes) -> Scope:
    """A posted form, as the server hands it to the application."""
    headers = {
        "host": host.decode(),
        "cookie": cookies,
        "accept": "text/html",
        "content-type": "application/x-www-form-urlencoded",
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "client": ("192.0.2.1", 1234),
        "server": ("127.0.0.1", 8000),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
