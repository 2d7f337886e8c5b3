"""Floods, brute force and slow clients (OAuth 2.1 §7.6.3, RFC 6585 §4): refused, never locked."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count, cycle, repeat
from pathlib import Path
from typing import Any

import anyio
import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from auth.accounts import Passwords
from auth.app import create_server
from auth.client_authentication import ASSERTION_TYPE
from auth.errors import Overloaded, TooManyRequests
from auth.limit_storage import BoundedMemory, SharedStorage
from auth.limits import Limit
from auth.models import Account
from auth.password_attempts import Attempt, begin_attempt
from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from request_limits import MAX_HEAD, MAX_HEADERS, MAX_TARGET, RequestLimits
from resource_server.stream_limits import StreamLimits
from tests.asgi_stream import Exchange, body
from tests.clock import Clock
from tests.kit import (
    ISSUER,
    PASSWORD,
    REDIRECT_URI,
    Browser,
    World,
    authorization_request,
    error_of,
    new_settings,
    password_change,
    registration,
    serving,
    token_request,
)
from tests.resource_server_kit import GOOD, asgi_scope, modern, modern_headers, new_token, wire
from tests.resource_server_kit import serving as serving_resource
from tests.security.kit import (
    FORM,
    FORM_PATHS,
    PROGRAM_PATHS,
    add_person,
    assert_refused,
    assert_still_works,
    from_address,
    limited,
)


@pytest.fixture
async def guarded(clock: Clock) -> AsyncIterator[World]:
    """A server with the limits of an operator who changed none."""
    async with limited(clock) as world:
        yield world


async def fail(world: World, times: int, username: str = "admin") -> list[int]:
    """Fail to sign in so many times, in a browser that never succeeded."""
    browser = world.browser()
    return [(await browser.sign_in(username, "wrong")).status_code for _ in range(times)]


# Sign-in


async def test_a_guesser_waits_and_the_right_password_too_and_then_it_works(
    guarded: World,
) -> None:
    """Without it a password of eight letters falls to patience."""
    assert await fail(guarded, 5) == [400] * 5
    browser = guarded.browser()
    page = await browser.sign_in()
    assert_refused(page, 429)
    assert "You can try again in" in page.text
    assert "Wrong username or password" not in page.text
    guarded.clock.advance(int(page.headers["retry-after"]))
    assert (await browser.sign_in()).status_code == 303


@pytest.mark.slow
async def test_who_goes_on_guessing_waits_longer(guarded: World) -> None:
    """Without it five guesses every five minutes go on for ever."""
    waits = []
    browser = guarded.browser()
    for _ in range(45):
        page = await browser.sign_in(password="wrong")
        if page.status_code == 429:
            waits.append(int(page.headers["retry-after"]))
            guarded.clock.advance(waits[-1])
    assert waits[0] <= 301
    assert max(waits) > 30 * 60


async def test_a_known_and_an_unknown_name_wait_alike(guarded: World) -> None:
    """Without it the wait tells who has an account."""
    assert await fail(guarded, 6, "admin") == await fail(guarded, 6, "nobody")


async def test_many_names_from_one_address_are_one_guesser(guarded: World) -> None:
    """Without it one password is tried on everybody."""
    browser = guarded.browser()
    statuses = [(await browser.sign_in(f"u{i}", "wrong")).status_code for i in range(21)]
    assert statuses == [400] * 20 + [429]


@pytest.mark.slow
async def test_nobody_can_keep_a_person_out(guarded: World) -> None:
    """Without it an attacker who fails on purpose locks the account of his victim."""
    known = await guarded.signed_in()
    await known.post("/oauth/sign-out", {"form": await form_of(known)})
    for part in range(30):
        async with from_address(guarded, f"198.51.100.{part}") as http:
            await attack(Browser(http), 5)
    stranger = guarded.browser()
    assert (await stranger.sign_in()).status_code == 429
    await known.get("/oauth/sign-in")
    assert (await known.sign_in()).status_code == 303


async def form_of(browser: Browser) -> str:
    await browser.get("/oauth/connections")
    return browser.form


async def attack(browser: Browser, times: int) -> None:
    for _ in range(times):
        await browser.sign_in(password="wrong")


async def test_one_address_cannot_make_another_wait(guarded: World) -> None:
    """Without it the account limit would be a lock that anybody can turn."""
    await fail(guarded, 20)
    async with from_address(guarded, "203.0.113.9") as http:
        assert (await Browser(http).sign_in()).status_code == 303


async def test_a_known_browser_may_not_guess_without_end_either(guarded: World) -> None:
    """Without it a stolen cookie lifts the limit."""
    known = await guarded.signed_in()
    http = guarded.browser()
    http.http.cookies.update(
        {c.name: c.value or "" for c in known.http.cookies.jar if "device" in c.name}
    )
    statuses = [(await http.sign_in(password="wrong")).status_code for _ in range(6)]
    assert statuses == [400] * 5 + [429]


@pytest.mark.parametrize("change", ["name", "seal", "age", "password"])
async def test_a_browser_is_known_for_one_person_with_one_password_and_by_our_seal(
    guarded: World, change: str
) -> None:
    """Without it anybody's cookie, or one that is made up, opens everybody's door.

    And whoever collected cookies with an old password may guess the new one with each of them.
    """
    known = await guarded.signed_in()
    [(cookie, sealed)] = [(c.name, c.value) for c in known.http.cookies.jar if "device" in c.name]
    assert sealed
    await add_person(guarded, "bob", "a password of bob")
    username, password = ("bob", "a password of bob") if change == "name" else ("admin", PASSWORD)
    await fail(guarded, 5, username)
    if change == "age":
        guarded.clock.advance(180 * 86_400)
        await fail(guarded, 5, username)
    if change == "password":
        [admin] = [a for a in await guarded.store.list_accounts() if a.username == "admin"]
        again = await Passwords(8, 1, queue=1).hash(password)
        await guarded.store.change_password(admin.subject, again, guarded.clock())
    browser = guarded.browser()
    browser.http.cookies.set(cookie, sealed[:-2] + "xx" if change == "seal" else sealed)
    assert (await browser.sign_in(username, password)).status_code == 429


async def test_the_browser_in_which_a_password_was_changed_stays_known(guarded: World) -> None:
    """Without it who changes it because of an attack is the first to be kept out by it."""
    known, new = await guarded.signed_in(), "another password of admin"
    await known.get("/oauth/password")
    await known.post("/oauth/password", {"form": known.form, **password_change(PASSWORD, new)})
    await known.post("/oauth/sign-out", {"form": await form_of(known)})
    await fail(guarded, 5)
    assert (await guarded.browser().sign_in(password=new)).status_code == 429
    await known.get("/oauth/sign-in")
    assert (await known.sign_in(password=new)).status_code == 303


@pytest.mark.slow
async def test_success_is_not_counted(guarded: World) -> None:
    """Without it an office behind one address waits for itself."""
    for _ in range(25):
        assert (await guarded.browser().sign_in()).status_code == 303


@pytest.mark.slow
async def test_a_burst_is_counted_before_anything_is_hashed(
    guarded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it two hundred guesses at once all pass the test that comes before the count."""
    hashed = 0
    verify = Passwords._verify  # noqa: SLF001 - what costs is what is counted

    def counted(passwords: Passwords, stored: str, password: str) -> bool:
        nonlocal hashed
        hashed += 1
        return verify(passwords, stored, password)

    monkeypatch.setattr(Passwords, "_verify", counted)
    browsers = [guarded.browser() for _ in range(100)]
    for browser in browsers:
        await browser.get("/oauth/sign-in")
    async with anyio.create_task_group() as tasks:
        for browser in browsers:
            tasks.start_soon(browser.sign_in, "admin", "wrong")
    assert hashed <= 5


async def test_who_found_an_open_session_cannot_guess_the_password_there(guarded: World) -> None:
    """Without it the page that changes a password is a way around the sign-in's limit."""
    browser = await guarded.signed_in()
    await browser.get("/oauth/password")
    wrong = {
        "current_password": "wrong",
        "new_password": "a new password of admin",
        "new_password_again": "a new password of admin",
    }
    for _ in range(5):
        assert (
            await browser.post("/oauth/password", wrong | {"form": browser.form})
        ).status_code == 400
    page = await browser.post(
        "/oauth/password", {**wrong, "current_password": PASSWORD, "form": browser.form}
    )
    assert_refused(page, 429)
    guarded.clock.advance(int(page.headers["retry-after"]))
    right = {**wrong, "current_password": PASSWORD, "form": browser.form}
    assert "changed" in (await browser.post("/oauth/password", right)).text


async def test_a_program_that_signs_in_is_told_to_wait_in_json(guarded: World) -> None:
    """Without it a program takes a page for an answer and goes on guessing."""
    await fail(guarded, 5)
    browser = guarded.browser()
    await browser.get("/oauth/sign-in")
    form = {"form": browser.form, "username": "admin", "password": PASSWORD}
    response = await browser.http.post(
        "/oauth/sign-in", data=form, headers={"Accept": "application/json"}
    )
    assert error_of(response) == (429, "temporarily_unavailable")
    assert_refused(response, 429)


@pytest.mark.slow
async def test_more_passwords_than_can_be_checked_are_sent_away(clock: Clock) -> None:
    """Without it a flood of sign-ins fills the memory (19 MiB each) and the wait of everybody."""
    settings = new_settings(password_memory_kib=4096, password_queue=1)
    async with serving(clock, settings) as world:
        browsers = [world.browser() for _ in range(12)]
        for browser in browsers:
            await browser.get("/oauth/sign-in")
        pages: list[httpx2.Response] = []

        async def sign_in(browser: Browser) -> None:
            pages.append(await browser.sign_in(password="wrong"))

        async with anyio.create_task_group() as tasks:
            for browser in browsers:
                tasks.start_soon(sign_in, browser)
        refused = [page for page in pages if page.status_code == 503]
        assert {page.status_code for page in pages} == {400, 503}
        for page in refused:
            assert_refused(page, 503)
        assert (await world.browser().sign_in()).status_code == 303


async def test_who_was_sent_away_unchecked_was_not_counted(
    guarded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a flood at the hashes makes everybody's sign-in wait who tried meanwhile."""

    async def verify(passwords: Passwords, *asked: object) -> bool:
        raise Overloaded("too many", 5)

    browser = await guarded.signed_in()
    with monkeypatch.context() as patch:
        patch.setattr(Passwords, "verify", verify)
        stranger = guarded.browser()
        for _ in range(10):
            page = await stranger.sign_in()
            assert_refused(page, 503)
            assert "Many people are signing in just now. Try again in 5 seconds." in page.text
        await browser.get("/oauth/password")
        for _ in range(10):
            form = {
                "form": browser.form,
                "current_password": "x",
                "new_password": "y",
                "new_password_again": "y",
            }
            page = await browser.post("/oauth/password", form)
            assert_refused(page, 503)
            assert "Many people are signing in just now." in page.text
    activity = await browser.get("/oauth/activity")
    assert "Too many sign-ins" not in activity.text
    assert (await stranger.sign_in()).status_code == 303


class Failing(MemoryStore):
    """A store that fails at the look-ups whose turn it is."""

    turns: Iterator[str] = repeat("works")

    async def find_account_by_username(self, username: str) -> Account | None:
        if next(self.turns) == "fails":
            raise StoreUnavailable("a test")
        return await super().find_account_by_username(username)


async def test_trouble_of_ours_is_no_wrong_password(clock: Clock) -> None:
    """Without it a store that fails makes everybody wait who tried meanwhile."""
    settings = new_settings(sign_in_limit="2/hour", sign_in_address_limit="2/hour")
    async with serving(clock, settings, store := Failing()) as world:
        store.turns = cycle(("works", "fails"))  # counted, and then not looked at
        for _ in range(3):
            assert_refused(await world.browser().sign_in(), 503)
        store.turns = repeat("works")
        assert await fail(world, 1) == [400]
        assert (await world.browser().sign_in()).status_code == 303


async def test_what_cannot_be_counted_in_full_is_not_counted(clock: Clock) -> None:
    """Without it trouble with Valkey makes everybody wait who tried meanwhile."""
    storage = SharedStorage("valkey://127.0.0.1:1/0")
    away = Limit("away", "2/hour", storage)
    request = Request(asgi_scope())
    server = create_server(new_settings(sign_in_limit="1/hour"), MemoryStore(), clock)
    limits = replace(server.limits, sign_in_account_limit=away)
    with pytest.raises(StoreUnavailable):
        await begin_attempt(replace(server, limits=limits), request, "admin")
    await begin_attempt(server, request, "admin")
    await storage.close()


async def test_trouble_in_taking_an_attempt_back_does_not_hide_what_came_before() -> None:
    """Without it people are told of another trouble than the one that they have."""
    storage = SharedStorage("valkey://127.0.0.1:1/0")

    async def overloaded() -> bool:
        raise Overloaded("too many", 5)

    attempt = Attempt(((Limit("away", "2/hour", storage), ("k",)),))
    with pytest.raises(Overloaded):
        await attempt.judge(overloaded())
    await storage.close()


# Clients


async def test_a_wrong_secret_is_guessed_ten_times_a_minute_and_shuts_nobody_else_out(
    guarded: World,
) -> None:
    """Without it a weak secret of a pre-registered client falls; with a lock the client would."""
    client = await guarded.register(token_endpoint_auth_method="client_secret_post")
    good = token_request(client, await guarded.code(client))
    bad = good | {"client_secret": "wrong"}
    for path in ("/oauth/token", "/oauth/introspect") * 5:
        assert (await guarded.http.post(path, data=bad | {"token": "x"})).status_code == 401
    for form in (bad, good):
        assert_refused(await guarded.token(form), 429)
    async with from_address(guarded, "203.0.113.9") as http:
        assert (await http.post("/oauth/token", data=good)).status_code == 200


async def test_assertions_of_strangers_are_counted_good_ones_too(
    clock: Clock, tmp_path: Path
) -> None:
    """Without it one address fills what is remembered of assertions, and nobody can answer."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    stranger: dict[str, Any] = {"client_id": "https://c.example/m.json", "client_name": "C"}
    stranger |= {"redirect_uris": ["https://c.example/cb"], "jwks": {"keys": [public]}}
    stranger["token_endpoint_auth_method"] = "private_key_jwt"
    (tmp_path / "pin.json").write_text(json.dumps(stranger))
    keys = f'kty = "EC", crv = "P-256", x = "{public["x"]}", y = "{public["y"]}"'
    (tmp_path / "clients.toml").write_text(
        '[[clients]]\nclient_id = "own"\nclient_name = "Own"\nscope = "user"\n'
        f'grant_types = ["client_credentials"]\njwks = {{keys = [{{{keys}}}]}}\n'
    )
    numbers = count()

    async def ask(http: httpx2.AsyncClient, client_id: str) -> int:
        claims = {"iss": client_id, "sub": client_id, "aud": ISSUER, "jti": str(next(numbers))}
        signed = jwt.encode(claims | {"exp": clock() + 60}, key, "ES256")
        form = {"grant_type": "refresh_token", "refresh_token": f"mcp_rt_{next(numbers)}"}
        form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}
        return (await http.post("/oauth/token", data=form)).status_code

    pins, file = tmp_path / "pin.json", tmp_path / "clients.toml"
    async with limited(
        clock, client_metadata_pins=pins, clients_file=file, client_assertion_limit="3/minute"
    ) as world:
        stranger_id = "https://c.example/m.json"
        assert [await ask(world.http, stranger_id) for _ in range(4)] == [400, 400, 400, 429]
        assert [await ask(world.http, "own") for _ in range(4)] == [400] * 4
        async with from_address(world, "203.0.113.9") as http:
            assert await ask(http, stranger_id) == 400
        clock.advance(62)
        assert await ask(world.http, stranger_id) == 400


async def test_a_dead_token_is_tried_twenty_times_and_then_the_client_is_told_to_stop(
    guarded: World,
) -> None:
    """Without it a client in a loop costs as much as an attack; who holds another token goes on."""
    client = await guarded.register()
    first, second = await guarded.tokens(client), await guarded.tokens(client)
    await guarded.http.post(
        "/oauth/revoke", data={"client_id": client["client_id"], "token": first["refresh_token"]}
    )
    for _ in range(20):
        assert (await guarded.refresh(client, first["refresh_token"])).status_code == 400
    assert_refused(await guarded.refresh(client, first["refresh_token"]), 429)
    assert (await guarded.refresh(client, second["refresh_token"])).status_code == 200


async def test_nobody_burns_a_code_that_he_saw_by_failing_with_it(guarded: World) -> None:
    """Without the address in the count, whoever saw a code could make its client wait it out."""
    client = await guarded.register()
    code = await guarded.code(client)
    async with from_address(guarded, "198.51.100.7") as http:
        for _ in range(25):
            await http.post(
                "/oauth/token", data=token_request(client, code, code_verifier="x" * 43)
            )
    assert (await guarded.exchange(client, code)).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
async def test_nobody_looks_for_tokens_without_end(guarded: World, path: str) -> None:
    """Without it introspection is a place to try tokens (RFC 7662 §4)."""
    client = await guarded.register(token_endpoint_auth_method="client_secret_post")
    form = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    for number in range(300):
        response = await guarded.http.post(path, data=form | {"token": f"mcp_at_{number}"})
        assert response.status_code == 200
    assert_refused(await guarded.http.post(path, data=form | {"token": "mcp_at_x"}), 429)


async def test_a_resource_server_may_ask_about_as_much_garbage_as_it_gets(clock: Clock) -> None:
    """Without it anybody who sends garbage to /mcp makes every good token there unverifiable."""
    secret = {"introspection_client_id": "rs", "introspection_client_secret": "the secret of rs"}
    async with limited(clock, token_lookup_limit="5/minute", **secret) as world:
        for number in range(20):
            response = await world.http.post(
                "/oauth/introspect",
                data={"token": f"mcp_at_{number}"},
                auth=("rs", "the+secret+of+rs"),
            )
            assert response.json() == {"active": False}


@pytest.mark.slow
async def test_names_of_nobody_make_us_forget_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it ten thousand other names give whoever guesses a hundred guesses more."""
    monkeypatch.setattr("auth.limit_storage.BoundedMemory.__init__.__defaults__", (10,))
    async with limited(clock, sign_in_account_limit="3/hour", sign_in_limit="3/hour") as world:
        for username in ("admin", "admin", "admin", *(f"nobody {n}" for n in range(12))):
            async with from_address(world, f"192.0.2.{len(username)}") as http:
                await Browser(http).sign_in(username, "a guess")
        assert (await world.browser().sign_in("admin", "a guess")).status_code == 429
        for _ in range(3):
            assert (await world.browser().sign_in("no one", "a guess")).status_code == 400
        assert (await world.browser().sign_in("no one", "a guess")).status_code == 429


@pytest.mark.slow
@pytest.mark.parametrize(("username", "password"), [("x" * 257, "x"), ("admin", "x" * 1025)])
async def test_what_is_too_long_is_not_counted(
    guarded: World, username: str, password: str
) -> None:
    """Without it the counters are filled with what could never have been right."""
    for _ in range(25):
        assert (await guarded.browser().sign_in(username, password)).status_code == 400
    assert (await guarded.browser().sign_in()).status_code == 303


async def test_registrations_of_one_address_are_limited(guarded: World) -> None:
    """Without it one address registers without end, and the log is full of it."""
    for _ in range(30):
        await guarded.register()
    assert_refused(await guarded.http.post("/oauth/register", json=registration()), 429)
    async with from_address(guarded, "2001:db8::1") as http:
        assert (await http.post("/oauth/register", json=registration())).status_code == 201
    guarded.clock.advance(62)
    await guarded.register()


async def test_nobody_has_us_fetch_one_unknown_document_after_another(guarded: World) -> None:
    """Without it one address keeps every slot for fetching busy with hosts that dawdle."""

    async def ask(http: httpx2.AsyncClient, number: int, path: str = "/oauth/token") -> int:
        form = {"grant_type": "refresh_token", "client_id": f"https://10.0.0.{number}/m.json"}
        return (await http.post(path, data=form)).status_code

    assert [await ask(guarded.http, number) for number in range(30)] == [503] * 30
    assert await ask(guarded.http, 30) == 429
    assert await ask(guarded.http, 30, "/oauth/authorize") == 429
    async with from_address(guarded, "192.0.2.1") as http:
        assert await ask(http, 30) == 503
    guarded.clock.advance(62)
    assert await ask(guarded.http, 30) == 503


@pytest.mark.slow
async def test_a_document_that_was_read_before_is_nobodys_limit(
    clock: Clock, tmp_path: Path
) -> None:
    """Without it the shared address of a hosted client is shut out for having many people."""
    pin: dict[str, Any] = {"client_id": "https://c.example/m.json", "client_name": "C"}
    pin["redirect_uris"] = [REDIRECT_URI]
    (tmp_path / "pin.json").write_text(json.dumps(pin))
    async with limited(clock, client_metadata_pins=tmp_path / "pin.json") as world:
        for _ in range(40):
            request = authorization_request(pin)
            assert (await world.http.get("/oauth/authorize", params=request)).status_code == 200


@pytest.mark.slow
async def test_authorization_requests_of_one_address_are_limited(guarded: World) -> None:
    """Without it one address keeps us making pages and looking up clients."""
    request = authorization_request(await guarded.register())
    for _ in range(120):
        assert (await guarded.http.get("/oauth/authorize", params=request)).status_code == 200
    assert_refused(await guarded.http.get("/oauth/authorize", params=request), 429)
    page = await guarded.browser().get("/oauth/authorize", params=request)
    assert_refused(page, 429)
    assert "Too many attempts" in page.text


@pytest.mark.slow
async def test_a_flood_of_registrations_and_requests_leaves_nothing_in_memory(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it an open registration endpoint is a way to fill the memory or the disk."""
    caplog.set_level(logging.CRITICAL, "latchgate")
    async with serving(clock) as world:
        request = authorization_request(await world.register())

        async def flood(times: int) -> None:
            for number in range(times):
                await world.register(client_name=f"Client {number}")
                await world.http.get("/oauth/authorize", params=request | {"state": str(number)})

        await flood(5)
        before = count_records()
        await flood(60)
        assert count_records() == before


def count_records() -> int:
    """How many objects of our own there are."""
    gc.collect()
    return sum(str(type(thing).__module__).startswith("auth.") for thing in gc.get_objects())


# The counting itself


class Steps:
    """A limit on a clock of its own, and when it let something pass."""

    def __init__(self, notation: str, max_keys: int = 100) -> None:
        self.clock = Clock()
        self.storage = BoundedMemory(self.clock, max_keys)
        self.limit = Limit("test", notation, self.storage)
        self.passed: list[int] = []

    async def take(self, key: str = "k") -> int:
        """Take one; the seconds to wait if it was refused, else 0."""
        try:
            await self.limit.take(key)
        except TooManyRequests as error:
            return error.retry_after
        self.passed.append(self.clock())
        return 0


@pytest.mark.slow
@given(st.lists(st.integers(0, 15), max_size=60))
def test_no_window_has_more_than_twice_its_number_and_a_wait_is_never_too_short(
    gaps: list[int],
) -> None:
    """Sliding windows estimate: what passes too much is bounded, the wait they tell is true."""

    async def run() -> None:
        steps = Steps("4/10seconds")
        for gap in gaps:
            steps.clock.advance(gap)
            if wait := await steps.take():
                assert wait <= 21
                steps.clock.advance(wait)
                assert await steps.take() == 0
        for began in steps.passed:
            assert sum(began <= at < began + 10 for at in steps.passed) < 8

    asyncio.run(run())


async def test_a_clock_set_back_locks_nobody_out() -> None:
    """Without it a correction of the clock shuts people out for as long as it was wrong."""
    steps = Steps("1/hour")
    assert await steps.take() == 0
    assert await steps.take() > 0
    steps.clock.advance(-7200)
    assert await steps.take() == 0


async def test_of_many_keys_the_last_ones_are_remembered() -> None:
    """Without it a flood of names or addresses is memory that never comes back."""
    steps = Steps("1/hour", max_keys=10)
    for number in range(100):
        assert await steps.take(str(number)) == 0
    assert len(steps.storage._counted) == 10  # noqa: SLF001 - the size is the promise
    assert await steps.take("99") > 0
    assert await steps.take("0") == 0


async def test_what_one_window_refuses_the_others_do_not_count() -> None:
    """Without it whoever goes on trying while refused is refused for longer than told."""
    steps = Steps("2/minute;3/hour")
    assert [await steps.take() for _ in range(2)] == [0, 0]
    for _ in range(10):
        assert await steps.take() > 0
    steps.clock.advance(122)
    assert await steps.take() == 0
    assert await steps.take() > 60


@pytest.mark.slow
async def test_on_valkey_replicas_count_together(valkey_url: str) -> None:
    """Without it every replica allows the whole limit."""
    here, there = SharedStorage(valkey_url), SharedStorage(valkey_url)
    try:
        limits = [Limit("together", "3/minute", storage) for storage in (here, there)]
        await limits[0].take("k")
        await limits[1].take("k")
        await limits[0].note("k")
        for limit in limits:
            with pytest.raises(TooManyRequests) as refused:
                await limit.take("k")
            assert 0 < refused.value.retry_after <= 62
            with pytest.raises(TooManyRequests):
                await limit.check("k")
        await limits[1].give_back("k")
        await limits[0].check("k")
        await limits[0].take("k")
        await limits[0].apart.take("k")
        await limits[1].apart.note("k")
        await limits[0].apart.note("k")
        with pytest.raises(TooManyRequests):
            await limits[1].apart.check("k")
    finally:
        await here.close()
        await there.close()


@pytest.mark.parametrize("step", ["take", "check"])
async def test_without_its_valkey_nothing_is_allowed_and_nothing_refused(step: str) -> None:
    """Without it an attacker who brings the store down has no limits; a 503 asks to come back."""
    storage = SharedStorage("valkey://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable):
        await getattr(Limit("away", "3/minute", storage), step)("k")
    await storage.close()


@pytest.mark.slow
async def test_a_server_on_valkey_counts_there(clock: Clock, valkey_url: str) -> None:
    """Without it replicas allow as many guesses each."""
    settings = {"store_url": valkey_url, "registration_limit": "2/minute"}
    from auth.store.valkey import ValkeyStore  # noqa: PLC0415

    async with (
        serving(clock, new_settings(**settings), ValkeyStore(valkey_url)) as world,
        from_address(world, "198.51.100.77") as http,
    ):
        answers = [await http.post("/oauth/register", json=registration()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]


# Sizes


@pytest.mark.parametrize(
    "path", [*PROGRAM_PATHS, *FORM_PATHS, "/oauth/authorize", "/oauth/sign-out"]
)
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_64_kib_is_not_read_to_its_end(
    world: World, path: str, *, is_chunked: bool
) -> None:
    """Without it a few requests fill the memory."""
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(80):
            sent += 65_536
            yield b"x" * 65_536

    browser = await world.signed_in()
    content: Any = chunks() if is_chunked else b"x" * 5_242_880
    media_type = "application/json" if path.endswith("register") else FORM["Content-Type"]
    headers = {"Content-Type": media_type}
    response = await browser.http.post(path, content=content, headers=headers)
    assert_refused(response, 413)
    assert response.headers["connection"] == "close"


JSON = {"Content-Type": "application/json"}
MANY_FIELDS = b"&".join(b"a%d=1" % number for number in range(6000))
PARTS = {"Content-Type": "multipart/form-data; boundary=x"}
PACKED = {"Content-Encoding": "gzip"}
FORM_READERS = [*(path for path in PROGRAM_PATHS if path != "/oauth/register"), *FORM_PATHS]
WASTEFUL = [
    *(
        (path, *case)
        for path in FORM_READERS
        for case in (
            (MANY_FIELDS, FORM, 400, "the parameters are not a well-formed form"),
            (b"--x\r\n" * 1000, PARTS, 400, "send the parameters as application/x-www-form-urlen"),
            (b"\x1f\x8b" * 100, FORM | PACKED, 415, "send the body without content encoding"),
        )
    ),
    ("/oauth/register", MANY_FIELDS, FORM, 400, "send the client metadata as application/json"),
    ("/oauth/register", b"[" * 60_000, JSON, 400, "the body is not well-formed JSON"),
    ("/oauth/register", b"\x1f\x8b", JSON | PACKED, 415, "send the body without content encoding"),
]


@pytest.mark.parametrize(("path", "content", "headers", "status", "reason"), WASTEFUL)
async def test_what_only_costs_time_to_read_is_refused(
    world: World, path: str, content: bytes, headers: dict[str, str], status: int, reason: str
) -> None:
    """PYSEC-2026-249, CVE-2023-30798, CVE-2024-47874: parsers that work for whoever asks."""
    browser = await world.signed_in()
    response = await browser.http.post(path, content=content, headers=headers)
    assert_refused(response, status)
    assert response.json()["error_description"].startswith(reason)
    assert response.elapsed.total_seconds() < 1


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/oauth/authorize?x=" + "y" * MAX_TARGET, {}, 414),
        ("/" + "y" * (MAX_TARGET + 1), {}, 414),
        ("/mcp", {"X-Large": "y" * MAX_HEAD}, 431),
        ("/mcp", {f"X-{n}": "y" for n in range(MAX_HEADERS + 1)}, 431),
        ("/oauth/token", {"Cookie": "y" * 70_000}, 431),
    ],
)
async def test_a_head_that_is_too_large_is_refused(
    world: World, path: str, headers: dict[str, str], status: int
) -> None:
    """Without it uvicorn takes a header of any size."""
    response = await world.http.post(path, headers=headers)
    assert_refused(response, status)
    await assert_still_works(world)


# Time


async def half_sent(app: Any, seconds: float, *requests: Message) -> Exchange:
    """A request whose body never ends."""
    return Exchange(RequestLimits(app, seconds), asgi_scope(), *requests)


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "http.disconnect":
        if not message["more_body"]:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"read"})
            return
    await send({"type": "http.response.start", "status": 500, "headers": []})


async def reads_and_fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if (await receive())["type"] == "http.disconnect":
        assert (await receive())["type"] == "http.disconnect"
        raise RuntimeError("the client has gone")


async def answers_first(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await reads_all(scope, receive, send)


PART: Message = {"type": "http.request", "body": b"{", "more_body": True}


@pytest.mark.parametrize("app", [reads_all, reads_and_fails])
async def test_a_body_that_does_not_come_is_given_up(app: Callable[..., Awaitable[None]]) -> None:
    """Without it five hundred sockets that say nothing more are five hundred sockets for ever."""
    exchange = await half_sent(app, 0.01, PART)
    status, headers = await exchange.start()
    assert (status, headers["connection"]) == (408, "close")
    assert b"too long" in b"".join([chunk async for chunk in exchange.rest()])
    await exchange.task


async def test_an_answer_that_has_begun_is_left_as_it_is() -> None:
    """Without it a late body breaks an answer in two."""
    exchange = await half_sent(answers_first, 0.01, PART)
    assert (await exchange.start())[0] == 200
    await exchange.task


async def test_a_body_that_comes_in_time_is_read_and_its_answer_may_take_long() -> None:
    """Without it the deadline of the body ends slow tools."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"{"
        assert (await receive())["body"] == b"}"
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    exchange = await half_sent(slow, 0.01, PART, body(b"}"))
    await anyio.sleep(0.03)
    assert not exchange.task.done()
    exchange.go_away()
    await exchange.task


async def test_a_mistake_of_the_application_is_not_swallowed() -> None:
    """Without it a fault of ours looks like a slow client."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a mistake")

    exchange = await half_sent(broken, 10)
    with pytest.raises(RuntimeError, match="a mistake"):
        await exchange.task


async def test_what_is_no_http_passes() -> None:
    """Without it the server does not start."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await RequestLimits(app, 1)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


@pytest.mark.slow
async def test_every_path_gives_up_a_slow_body(clock: Clock) -> None:
    """Without it a byte an hour holds a request open for ever."""
    async with serving(clock, new_settings(body_timeout=1)) as world:
        tokens = await world.tokens(await world.register())
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "Accept": "*/*"}
        exchanges = []
        for path in (*PROGRAM_PATHS, "/oauth/sign-in", "/mcp"):
            is_json = path in {"/oauth/register", "/mcp"}
            media_type = "application/json" if is_json else FORM["Content-Type"]
            scope = asgi_scope(Content_Type=media_type, **headers)
            scope |= {"path": path, "raw_path": path.encode()}
            exchanges.append(Exchange(world.app, scope, PART))
        assert [(await exchange.start())[0] for exchange in exchanges] == [408] * 6


async def test_whoever_reads_late_gets_no_body_and_sends_no_second_answer() -> None:
    """Without it half a body is taken for a whole one."""
    sent: list[Message] = []
    late = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await late.wait()
        messages.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return PART

    async def send(message: Message) -> None:
        sent.append(message)

    messages: list[Message] = []
    asyncio.get_running_loop().call_later(0.05, late.set)
    await RequestLimits(app, 0.01)(asgi_scope(), receive, send)
    assert [message["type"] for message in messages] == ["http.disconnect"] * 2
    assert [message.get("status") for message in sent] == [408, None]


async def test_bodies_have_their_time_one_after_the_other() -> None:
    """Without it only the first that came is ever given up."""
    never = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def receive() -> Message:
        await never.wait()
        return PART

    statuses = []

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    limits = RequestLimits(app, 0.02)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(limits(asgi_scope(), receive, send))  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
    assert statuses == [408, None] * 2


async def test_a_request_that_is_cancelled_while_it_waits_for_its_body_is_cancelled() -> None:
    """Without it a server that stops would wait for whoever sends nothing."""
    waiting = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def receive() -> Message:
        waiting.set()
        return await asyncio.Future()

    task = asyncio.ensure_future(RequestLimits(app, 60)(asgi_scope(), receive, receive))  # type: ignore[arg-type]
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_vanishes_leaves_no_trace_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it whoever hangs up in the middle writes a traceback a request."""
    scope = asgi_scope(Content_Type=FORM["Content-Type"]) | {"path": "/oauth/token"}
    exchange = Exchange(world.app, scope, PART)
    await exchange.disconnect()
    assert exchange.task.exception() is None
    assert "Traceback" not in caplog.text
    assert "server error" not in caplog.text


# Streams


async def open_stream(app: Any) -> tuple[Exchange, int, dict[str, str]]:
    message = modern("subscriptions/listen", notifications={"toolsListChanged": True})
    content = httpx2.Request("POST", "http://a", json=message).content
    headers = wire(GOOD, {"Content-Type": "application/json"})
    headers |= modern_headers("subscriptions/listen")
    scope = asgi_scope(**{n.replace("-", "_"): v for n, v in headers.items()})
    exchange = Exchange(app, scope, body(content))
    return exchange, *(await exchange.start())


async def test_one_person_opens_so_many_streams_and_no_more(clock: Clock) -> None:
    """Without it one token holds every socket of the server."""
    async with serving_resource(clock, streams=StreamLimits(per_person=3, in_all=1000)) as gate:
        streams = [await open_stream(gate.app) for _ in range(4)]
        assert [status for _, status, _ in streams] == [200, 200, 200, 429]
        assert int(streams[-1][2]["retry-after"]) > 0
        assert (await gate.ask("tools/list")).status_code == 200
        await streams[0][0].disconnect()
        streams.append(await open_stream(gate.app))
        assert streams[-1][1] == 200
        for exchange, *_ in streams:
            await exchange.disconnect()


def test_streams_are_counted_for_each_person_and_in_all() -> None:
    """Without it many people together hold every socket."""
    limits = StreamLimits(per_person=2, in_all=3)
    alice, bob, program = (
        new_token(subject=subject, client_id="c") for subject in ("alice", "bob", None)
    )
    with limits.one_more(alice) as first, limits.one_more(alice) as second:
        assert first is second is None
        with limits.one_more(alice) as third, limits.one_more(bob) as other:
            assert third is not None
            assert other is None
            with limits.one_more(program) as one_too_many:
                assert one_too_many is not None
    with limits.one_more(program) as free:
        assert free is None
