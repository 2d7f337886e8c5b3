"""The consent page: what a person is shown, what their answer gives (OAuth 2.1 §4.1.1)."""

import re
from html import unescape
from typing import Any

import anyio
import pytest

from tests.clock import Clock
from tests.kit import (
    ISSUER,
    RESOURCE,
    Browser,
    World,
    authorization_request,
    new_settings,
    redirected,
    serving,
)

WIDE = "user user:write"


async def asked(world: World, browser: Browser, client: dict[str, Any], **changes: str) -> str:
    """The consent page for this request, as text."""
    request = authorization_request(client, **changes)
    page = await browser.get("/oauth/authorize", params=request)
    assert page.status_code == 200
    assert 'name="decision"' in page.text
    return page.text


async def test_the_page_says_who_asks_for_what_and_where_the_answer_goes(world: World) -> None:
    client = await world.register(client_name="<b>Weather</b>")
    text = await asked(world, await world.signed_in(), client, scope=WIDE)
    assert "&lt;b&gt;Weather&lt;/b&gt;" in text
    assert "client.example" in text
    assert "anyone can choose this name" in text
    assert RESOURCE in text
    assert "admin" in text
    assert 'name="scope:user:write"' in text


async def test_no_is_told_to_the_client_and_yes_may_follow(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    parameters = redirected(await browser.decide("deny"))
    assert parameters.pop("error_description")
    assert parameters == {"error": "access_denied", "state": "a state", "iss": ISSUER}
    await asked(world, browser, client)
    assert redirected(await browser.decide("allow"))["code"]


async def test_only_what_was_shown_and_ticked_is_granted(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client, scope=WIDE)
    code = redirected(await browser.decide("allow", "admin"))["code"]
    assert (await world.exchange(client, code)).json()["scope"] == "user"
    await asked(world, browser, client)
    code = redirected(await browser.decide("allow", "user:write"))["code"]
    assert (await world.exchange(client, code)).json()["scope"] == "user"


async def test_allowing_nothing_is_a_no(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client, scope="user:write")
    assert redirected(await browser.decide("allow"))["error"] == "access_denied"


async def test_step_up_asks_only_for_what_is_new(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    old = (
        await world.exchange(
            client, redirected(await browser.allow(authorization_request(client)))["code"]
        )
    ).json()
    text = await asked(world, browser, client, scope=WIDE)
    assert 'name="scope:user:write"' in text
    assert 'name="scope:user"' not in text
    code = redirected(await browser.decide("allow", "user:write"))["code"]
    new = (await world.exchange(client, code)).json()
    assert new["scope"] == WIDE
    assert old["scope"] == "user"


async def test_an_answer_counts_once(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    form = browser.form
    answer = {"form": form, "decision": "allow"}
    assert redirected(await browser.post("/oauth/consent", answer))["code"]
    for decision in ("allow", "deny"):
        again = await browser.post("/oauth/consent", answer | {"decision": decision})
        assert again.status_code == 409
        assert "location" not in again.headers


async def test_of_fifty_answers_at_once_one_gets_a_code(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    answer, statuses = {"form": browser.form, "decision": "allow"}, []

    async def post() -> None:
        response = await browser.http.post("/oauth/consent", data=answer)
        statuses.append(response.status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(post)
    assert sorted(statuses) == [303] + [409] * 49


async def test_two_tabs_do_not_disturb_each_other(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client, state="one")
    first = browser.form
    await asked(world, browser, client, state="two")
    assert redirected(await browser.decide("allow"))["state"] == "two"
    answer = await browser.post("/oauth/consent", {"form": first, "decision": "allow"})
    assert redirected(answer)["state"] == "one"


async def test_what_was_asked_cannot_be_changed_in_the_form(world: World) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    browser = await world.signed_in()
    await asked(world, browser, client)
    answer = await browser.post(
        "/oauth/consent",
        {
            "form": browser.form,
            "decision": "allow",
            "client_id": other["client_id"],
            "redirect_uri": "https://evil.example/",
            "scope": "user user:write",
        },
    )
    assert answer.headers["location"].startswith("https://client.example/callback?")
    response = await world.exchange(client, redirected(answer)["code"])
    assert response.json()["scope"] == "user"


async def test_the_page_can_be_answered_for_ten_minutes(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    world.clock.advance(600)
    page = await browser.decide("allow")
    assert page.status_code == 400
    assert "location" not in page.headers
    await browser.get(ask_again(page.text))
    assert redirected(await browser.decide("allow"))["state"] == "a state"


def ask_again(text: str) -> str:
    """Where the button leads that asks the same question anew."""
    found = re.search(r'<a class="button primary" href="([^"]+)">Open the page again</a>', text)
    assert found, text
    return unescape(found[1])


async def test_whoever_signed_in_anew_meanwhile_is_asked_anew(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    form = browser.form
    await browser.get("/oauth/connections")
    await browser.post("/oauth/sign-out", {"form": browser.form})
    browser.page = None
    await browser.sign_in()
    page = await browser.post("/oauth/consent", {"form": form, "decision": "allow"})
    assert page.status_code == 403
    assert "another website" not in page.text
    await browser.get(ask_again(page.text))
    assert redirected(await browser.decide("allow"))["state"] == "a state"


async def test_a_page_from_before_signing_in_anew_changes_nothing(world: World) -> None:
    """One with nothing waiting behind it, too."""
    tokens, browser = await world.tokens(await world.register()), await world.signed_in()
    await browser.get("/oauth/connections")
    form = browser.form
    await browser.post("/oauth/sign-out", {"form": form})
    browser.page = None
    await browser.sign_in()
    page = await browser.post("/oauth/connections", {"form": form, "revoke_all": "yes"})
    assert page.status_code == 403
    assert "Your sign-in has changed meanwhile" in page.text
    assert "Open the page again</a>" not in page.text
    assert await world.calls(tokens["access_token"]) == 200


async def test_without_a_decision_the_question_is_asked_again(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    page = await browser.decide("perhaps")
    assert page.headers["location"].startswith("/oauth/authorize?")


async def test_whoever_signed_out_meanwhile_allows_nothing(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    admin = (await world.store.list_accounts())[0]
    await world.store.revoke_sessions(admin.subject)
    page = await browser.decide("allow")
    assert page.status_code == 403
    assert "location" not in page.headers
    assert "Your sign-in has changed meanwhile" in page.text


@pytest.mark.parametrize("who", ["other browser", "other session"])
async def test_a_form_of_another_browser_or_session_allows_nothing(world: World, who: str) -> None:
    client, attacker = await world.register(), await world.signed_in()
    await asked(world, attacker, client)
    form = attacker.form
    victim = await world.signed_in() if who == "other browser" else attacker
    if who == "other session":
        await attacker.get("/oauth/connections")
        await attacker.post("/oauth/sign-out", {"form": attacker.form})
        await attacker.get("/oauth/sign-in")
        await attacker.sign_in()
    page = await victim.post("/oauth/consent", {"form": form, "decision": "allow"})
    assert page.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_another_sites_page_allows_nothing(world: World, headers: dict[str, str]) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    form = {"form": browser.form, "decision": "allow"}
    assert (await browser.post("/oauth/consent", form, **headers)).status_code == 403


async def test_a_get_decides_nothing(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    page = await browser.get("/oauth/consent", params={"form": browser.form, "decision": "allow"})
    assert page.status_code == 405


async def test_a_person_disabled_meanwhile_gives_no_code(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await asked(world, browser, client)
    admin = (await world.store.list_accounts())[0]
    await world.store.disable_account(admin.subject, world.clock())
    assert (await browser.decide("allow")).status_code == 403


SECRETIVE = {"token_endpoint_auth_method": "client_secret_post"}


@pytest.mark.parametrize(
    ("registration", "changes", "is_remembered"),
    [
        (SECRETIVE, {}, True),
        (SECRETIVE, {"prompt": "none"}, True),
        (SECRETIVE, {"prompt": "consent"}, False),
        (SECRETIVE, {"scope": WIDE}, False),
        (SECRETIVE | {"redirect_uris": ["http://127.0.0.1/callback"]}, {}, False),
        ({}, {}, False),
    ],
)
async def test_a_yes_is_remembered_only_for_a_client_that_proves_who_it_is(
    world: World, registration: dict[str, Any], changes: dict[str, str], *, is_remembered: bool
) -> None:
    client, browser = await world.register(**registration), await world.signed_in()
    code = redirected(await browser.allow(authorization_request(client)))["code"]
    assert (await world.exchange(client, code)).status_code == 200
    page = await browser.get("/oauth/authorize", params=authorization_request(client, **changes))
    assert (page.status_code == 303) is is_remembered
    if is_remembered:
        response = await world.exchange(client, redirected(page)["code"])
        assert response.status_code == 200


async def test_a_remembered_yes_ends_with_its_grant(world: World) -> None:
    client, browser = await world.register(**SECRETIVE), await world.signed_in()
    code = redirected(await browser.allow(authorization_request(client)))["code"]
    assert (await world.exchange(client, code)).status_code == 200
    admin = (await world.store.list_accounts())[0]
    await world.store.revoke_grants(admin.subject, world.clock())
    page = await browser.get("/oauth/authorize", params=authorization_request(client))
    assert page.status_code == 200


async def test_scopes_that_tools_need_can_be_asked_for(clock: Clock) -> None:
    settings = new_settings(mcp_server="tests.tools_for_files:mcp")
    async with serving(clock, settings) as world:
        tokens = await world.tokens(await world.register(), scope="user files:write")
        assert tokens["scope"] == "user files:write"


async def test_what_tools_need_is_told_by_their_names(clock: Clock) -> None:
    settings = new_settings(mcp_server="tests.tools_for_files:mcp")
    async with serving(clock, settings) as world:
        client, browser = await world.register(), await world.signed_in()
        text = await asked(world, browser, client, scope="user files:write")
    assert 'Use: <bdi translate="no">save</bdi>' in text


async def test_the_operators_words_for_a_scope_go_before_all_others(clock: Clock) -> None:
    words = {"files:write": "Save & delete files", "user": "See who you are"}
    settings = new_settings(mcp_server="tests.tools_for_files:mcp", scope_words=words)
    async with serving(clock, settings) as world:
        client, browser = await world.register(), await world.signed_in()
        text = await asked(world, browser, client, scope="user files:write")
    assert "Save &amp; delete files" in text
    assert "See who you are" in text
    assert "Use:" not in text
