"""The authorization endpoint sends nobody anywhere without cause (OAuth 2.1 §7.5.3, §7.12)."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.kit import ISSUER, PASSWORD, World, authorization_request, redirected
from tests.security.kit import add_person, assert_refused

SCRIPT = "\"'><script>alert(1)</script>"


@pytest.mark.parametrize("mode", ["form_post", "fragment", "web_message", "<script>"])
async def test_no_other_response_mode(world: World, mode: str) -> None:
    """Without it the code turns up where a script of another site reads it."""
    request = authorization_request(await world.register(), response_mode=mode)
    answer = await (await world.signed_in()).get("/oauth/authorize", params=request)
    assert redirected(answer)["error"] == "invalid_request"
    assert "<" not in answer.headers["location"]


@pytest.mark.parametrize("prompt", ["none", "none login", "login", "consent"])
async def test_no_prompt_makes_a_code_without_a_person(world: World, prompt: str) -> None:
    """Without it a hidden frame takes a code from whoever is signed in."""
    request = authorization_request(await world.register(), prompt=prompt)
    for browser in (world.browser(), await world.signed_in()):
        answer = await browser.get("/oauth/authorize", params=request)
        assert "code=" not in answer.headers.get("location", "")


@pytest.mark.parametrize("is_signed_in", [True, False])
@pytest.mark.parametrize(
    ("prompt", "is_asked"),
    [("login", False), ("select_account", False), ("login select_account consent", True)],
)
async def test_who_shall_sign_in_again_does_so_once_whatever_was_remembered(
    world: World, prompt: str, *, is_asked: bool, is_signed_in: bool
) -> None:
    """Without it an app that wants to know who sits there now is told who sat there before."""
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    await world.tokens(client)
    browser = await world.signed_in() if is_signed_in else world.browser()
    request = authorization_request(client, prompt=prompt)
    page = await browser.get("/oauth/authorize", params=request)
    for password, status in (("wrong", 400), (PASSWORD, 303)):
        assert 'type="password"' in page.text
        page = await browser.sign_in(password=password)
        assert page.status_code == status
    page = await browser.get(page.headers["location"])
    if is_asked:
        page = await browser.decide("allow")
    assert redirected(page)["code"]


async def test_who_signs_in_as_somebody_else_answers_for_themselves(world: World) -> None:
    """Without it the remembered yes of one person is the other's."""
    await add_person(world, "bob", "a password of bob")
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    await world.tokens(client)
    browser = await world.signed_in()
    request = authorization_request(client, prompt="select_account")
    await browser.get("/oauth/authorize", params=request)
    page = await browser.get(
        (await browser.sign_in("bob", "a password of bob")).headers["location"]
    )
    assert 'name="decision"' in page.text


@pytest.mark.parametrize(
    "name",
    [
        "client_id",
        "redirect_uri",
        "response_type",
        "state",
        "scope",
        "resource",
        "code_challenge",
        "code_challenge_method",
        "response_mode",
        "prompt",
        "ui_locales",
        "login_hint",
        "request",
        "error",
    ],
)
async def test_what_a_link_says_is_never_markup(world: World, name: str) -> None:
    """Without it a link to our own page runs a stranger's script in our name."""
    request = authorization_request(await world.register(client_name=SCRIPT), **{name: SCRIPT})
    for browser in (world.browser(), await world.signed_in()):
        page = await browser.get("/oauth/authorize", params=request)
        assert "<script" not in page.text.lower()
        assert "script-src" not in page.headers.get("content-security-policy", "")


async def test_the_issuer_is_in_every_answer_once(world: World) -> None:
    """Without it a client that talks to several servers is told apart by nobody (mix-up)."""
    client = await world.register(redirect_uris=["https://client.example/cb?iss=evil&x=1"])
    browser = await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(client))
    denied = await browser.decide("deny")
    allowed = await browser.allow(authorization_request(client))
    failed = await browser.get(
        "/oauth/authorize", params=authorization_request(client, scope="admin")
    )
    for answer in (denied, allowed, failed):
        query = parse_qsl(urlsplit(answer.headers["location"]).query)
        assert [value for name, value in query if name == "iss"] == [ISSUER]
        assert ("x", "1") in query


@pytest.mark.parametrize("name", ["request", "request_uri"])
async def test_a_request_by_reference_is_refused_and_not_fetched(world: World, name: str) -> None:
    """CVE-2020-10770: a server that fetches what a link names can be sent into its own network."""
    request = authorization_request(
        await world.register(), **{name: "http://169.254.169.254/latest/meta-data"}
    )
    answer = await (await world.signed_in()).get("/oauth/authorize", params=request)
    assert redirected(answer)["error"] == f"{name}_not_supported"


@pytest.mark.slow
async def test_two_hundred_open_tabs_leave_a_handful_of_cookies(world: World) -> None:
    """Without it a page that opens tabs makes the browser send headers that are refused."""
    request = authorization_request(await world.register())
    browser = world.browser()
    for number in range(200):
        await browser.get("/oauth/authorize", params=request | {"state": str(number)})
    cookies = [*browser.http.cookies.jar]
    assert len(cookies) <= 3
    assert sum(len(cookie.name) + len(cookie.value or "") for cookie in cookies) < 4096
    assert (await browser.sign_in()).status_code == 303


async def test_after_a_form_the_browser_asks_with_get(world: World) -> None:
    """Without it a 307 hands the password to the client (RFC 9700 §4.12)."""
    browser = world.browser()
    await browser.get("/oauth/authorize", params=authorization_request(await world.register()))
    answers = [await browser.sign_in()]
    await browser.get(answers[0].headers["location"])
    answers.append(await browser.decide("allow"))
    assert [answer.status_code for answer in answers] == [303, 303]


async def test_the_browser_tells_the_client_nothing_of_our_address(world: World) -> None:
    """Without it the Referer carries our URL, and once carried codes (RFC 9700 §4.2.4)."""
    browser = world.browser()
    answers = [
        await browser.get("/oauth/authorize", params=authorization_request(await world.register())),
        await browser.sign_in(),
    ]
    answers.append(await browser.get(answers[1].headers["location"]))
    answers.append(await browser.decide("allow"))
    for answer in answers:
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


async def test_a_link_that_a_stranger_began_does_not_end_in_another_browser(world: World) -> None:
    """CVE-2026-27124: a consent that is bound to nobody is finished by the victim."""
    request = authorization_request(await world.register())
    attacker, victim = await world.signed_in(), await world.signed_in()
    await attacker.get("/oauth/authorize", params=request)
    await victim.get("/oauth/connections")
    form = {"form": attacker.form, "decision": "allow"}
    assert_refused(await victim.post("/oauth/consent", form), 403)


@pytest.mark.parametrize("uri", ["com.example.app:/cb", "cursor://anysphere/callback"])
async def test_an_error_starts_no_program_without_a_click(world: World, uri: str) -> None:
    """Without it a link to us starts whatever program answers to a scheme that anybody chose."""
    client = await world.register(redirect_uris=[uri])
    browser = await world.signed_in()
    asked = authorization_request(client, response_type="token")
    page = await browser.get("/oauth/authorize", params=asked)
    assert page.status_code == 400
    assert f'href="{uri}?error=unsupported_response_type&amp;' in page.text
    page = await browser.get("/oauth/authorize", params=authorization_request(client))
    answer = redirected(await browser.decide("deny"))
    assert answer["error"] == "access_denied"
