"""What a person sees and takes back: connections, activity, password."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from auth.accounts import Passwords, new_account
from auth.app import create_server
from auth.clients import identity_of, label_of
from auth.models import Identity
from tests.clock import Clock
from tests.kit import (
    ISSUER,
    PASSWORD,
    REDIRECT_URI,
    RESOURCE,
    World,
    authorization_request,
    new_settings,
    password_change,
    redirected,
    serving,
)

NEW = "a new password of the tests"


async def connect(world: World, name: str, scope: str = "user") -> dict[str, Any]:
    client = await world.register(client_name=name)
    return await world.tokens(client, scope=scope)


async def test_the_page_lists_what_was_allowed_and_how_it_was_used(world: World) -> None:
    tokens = await connect(world, "Weather", "user user:write")
    for _ in range(3):
        await world.calls(tokens["access_token"])
    page = await (await world.signed_in()).get("/oauth/connections")
    assert page.status_code == 200
    assert "Weather" in page.text
    assert "client.example" in page.text
    assert ">3<" in page.text
    assert 'name="scope:user:write"' in page.text


async def test_nobody_sees_it_without_signing_in(world: World) -> None:
    assert (await world.browser().get("/oauth/activity")).headers["location"] == "/oauth/sign-in"
    for path in ("/oauth/connections", "/oauth/password"):
        page = await world.browser().get(path)
        assert page.headers["location"] == "/oauth/sign-in"
        page = await world.browser().post(path, {"revoke_all": "yes"})
        assert page.headers["location"] == "/oauth/sign-in"


async def test_revoking_one_ends_it_on_the_next_call(world: World) -> None:
    first, second = await connect(world, "One"), await connect(world, "Two")
    browser = await world.signed_in()
    admin = (await world.store.list_accounts())[0]
    grants = await world.store.find_grants(admin.subject, world.clock())
    one = next(grant for grant in grants if grant.client_name == "One")
    await browser.get("/oauth/connections")
    page = await browser.post("/oauth/connections", {"form": browser.form, "revoke": one.grant_id})
    assert await world.calls(first["access_token"]) == 401
    assert await world.calls(second["access_token"]) == 200
    page = await browser.get(page.headers["location"])
    assert "revoked" in page.text


async def test_revoking_all_ends_all(world: World) -> None:
    tokens = [await connect(world, name) for name in ("One", "Two")]
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    await browser.post("/oauth/connections", {"form": browser.form, "revoke_all": "yes"})
    for each in tokens:
        assert await world.calls(each["access_token"]) == 401


async def test_narrowing_takes_scopes_from_the_tokens_that_are_out(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client, scope="user user:write")
    browser = await world.signed_in()
    admin = (await world.store.list_accounts())[0]
    [grant] = await world.store.find_grants(admin.subject, world.clock())
    await browser.get("/oauth/connections")
    await browser.post("/oauth/connections", {"form": browser.form, "narrow": grant.grant_id})
    assert await world.calls(tokens["access_token"]) == 200
    refreshed = (await world.refresh(client, tokens["refresh_token"])).json()
    assert refreshed["scope"] == "user"


@pytest.mark.parametrize("action", ["revoke", "narrow"])
async def test_somebody_elses_grant_does_not_exist_for_me(world: World, action: str) -> None:
    tokens = await connect(world, "Admin's")
    admin = (await world.store.list_accounts())[0]
    [grant] = await world.store.find_grants(admin.subject, world.clock())
    hashed = await Passwords(8, 1, 50).hash("a password of bob")
    await world.store.add_account(new_account("bob", hashed, world.clock()))
    browser = world.browser()
    await browser.sign_in("bob", "a password of bob")
    await browser.get("/oauth/connections")
    page = await browser.post("/oauth/connections", {"form": browser.form, action: grant.grant_id})
    assert page.status_code == 404
    assert await world.calls(tokens["access_token"]) == 200


async def test_a_page_that_stood_open_for_long_can_still_revoke(world: World) -> None:
    tokens = await connect(world, "One")
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    world.clock.advance(3000)
    await browser.post("/oauth/connections", {"form": browser.form, "revoke_all": "yes"})
    assert await world.calls(tokens["access_token"]) == 401


async def test_an_app_that_connected_often_is_one_connection_and_revoked_as_one(
    world: World,
) -> None:
    client = await world.register(client_name="Often")
    tokens = [await world.tokens(client, scope=s) for s in ("user", "user user:write", "user")]
    for each in tokens:
        await world.calls(each["access_token"])
    browser = await world.signed_in()
    page = await browser.get("/oauth/connections")
    assert page.text.count("<article") == 1
    assert page.text.count(">3<") == 2  # calls, and times connected
    await browser.press("revoke")
    assert [await world.calls(each["access_token"]) for each in tokens] == [401] * 3


async def narrowed(world: World, scopes: str, *ticked: str) -> tuple[dict[str, Any], str]:
    """Tokens with these scopes, and what the page says after a press on "only what is ticked"."""
    tokens = await world.tokens(await world.register(), scope=scopes)
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    page = await browser.press("narrow", *ticked)
    return tokens, (await browser.get(page.headers["location"])).text


async def test_where_nothing_was_unticked_nothing_changes(world: World) -> None:
    tokens, text = await narrowed(world, "user user:write", "user:write")
    assert "Nothing was changed" in text
    assert await world.calls(tokens["access_token"]) == 200
    admin = (await world.store.list_accounts())[0]
    kinds = {event.kind for event in await world.store.list_events(admin.subject)}
    assert "grant_narrowed" not in kinds


async def test_where_nothing_is_left_the_access_ends(clock: Clock) -> None:
    async with serving(clock, new_settings(required_scopes=())) as world:
        tokens, text = await narrowed(world, "user:write")
        assert "the access is revoked" in text
        assert await world.calls(tokens["access_token"]) == 401


async def test_where_something_is_left_the_app_may_do_less(world: World) -> None:
    tokens, text = await narrowed(world, "user user:write")
    assert "the app may now do less" in text
    assert await world.calls(tokens["access_token"]) == 200


async def test_a_connection_says_how_the_name_is_known(clock: Clock, tmp_path: Path) -> None:
    pins = tmp_path / "pins.json"
    document = {"client_name": "Claude", "redirect_uris": [REDIRECT_URI]}
    evil = "https://evil.example/client"
    pins.write_text(json.dumps(document | {"client_id": evil}))
    clients = tmp_path / "clients.toml"
    clients.write_text(
        '[[clients]]\nclient_id = "house"\nclient_name = "House"\n'
        f'redirect_uris = ["{REDIRECT_URI}"]\n'
    )
    settings = new_settings(client_metadata_pins=pins, clients_file=clients)
    async with serving(clock, settings) as world:
        shown = []
        for client_id in (evil, "house", (await world.register())["client_id"]):
            await world.tokens({"client_id": client_id, "redirect_uris": [REDIRECT_URI]})
            clock.advance(1)
            page = await (await world.signed_in()).get("/oauth/connections")
            shown.append(re.findall(r"Who it is</dt><dd>(.*?)</dd>", page.text, re.DOTALL)[0])
        activity = (await (await world.signed_in()).get("/oauth/activity")).text
    assert [re.sub("<[^>]*>", "", text).strip() for text in shown] == [
        "from evil.example",
        "set up by the operator",
        "not verified: it chose its name itself",
    ]
    for name in ("evil.example", "House", "Test client"):
        assert f'You allowed an app · <bdi translate="no">{name}</bdi>' in activity


@pytest.mark.parametrize(
    ("client_id", "identity", "label"),
    [
        ("taken-out", Identity.PREREGISTERED, "taken-out"),
        ("http://localhost/client", Identity.METADATA_DOCUMENT, "http://localhost/client"),
        ("client_sealed.by.another.key", Identity.SELF_DECLARED, "client_sealed.by.another.key"),
    ],
)
def test_a_client_that_is_not_known_any_more_is_told_by_its_id(
    client_id: str, identity: Identity, label: str
) -> None:
    server = create_server(new_settings())
    assert identity_of(server, client_id) is identity
    assert label_of(server, client_id) == label


async def test_a_form_without_an_action_shows_the_page_again(world: World) -> None:
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    page = await browser.post("/oauth/connections", {"form": browser.form})
    assert page.headers["location"] == "/oauth/connections"


async def change_password(world: World, current: str, new: str) -> tuple[Any, Any]:
    browser = await world.signed_in()
    await browser.get("/oauth/password")
    form = {
        "form": browser.form,
        "current_password": current,
        "new_password": new,
        "new_password_again": new,
    }
    return browser, await browser.post("/oauth/password", form)


async def test_a_new_password_ends_everything_but_this_session(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    elsewhere = await world.signed_in()
    browser, page = await change_password(world, PASSWORD, NEW)
    assert page.status_code == 200
    assert (await browser.get("/oauth/connections")).status_code == 200
    assert (await elsewhere.get("/oauth/connections")).status_code == 303
    assert await world.calls(tokens["access_token"]) == 401
    assert (await world.browser().sign_in()).status_code == 400
    assert (await world.browser().sign_in(password=NEW)).status_code == 303


async def test_a_new_password_that_was_mistyped_once_is_refused(world: World) -> None:
    browser = await world.signed_in()
    await browser.get("/oauth/password")
    form = password_change(PASSWORD, NEW) | {"new_password_again": NEW + "x"}
    page = await browser.post("/oauth/password", {"form": browser.form} | form)
    assert page.status_code == 400
    assert "The two new passwords are not the same." in page.text
    assert (await world.browser().sign_in()).status_code == 303


@pytest.mark.parametrize(
    ("current", "new"),
    [
        ("wrong", NEW),
        ("x" * 1025, NEW),
        (PASSWORD, PASSWORD),
        (PASSWORD, "short"),
        (PASSWORD, ""),
        (PASSWORD, "x" * 1025),
    ],
)
async def test_a_password_that_will_not_do_changes_nothing(
    world: World, current: str, new: str
) -> None:
    _, page = await change_password(world, current, new)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert (await world.browser().sign_in()).status_code == 303


async def test_the_username_is_no_password(clock: Clock) -> None:
    async with serving(clock, new_settings(admin_username="administrator")) as world:
        browser = world.browser()
        await browser.sign_in("administrator")
        await browser.get("/oauth/password")
        form = {
            "current_password": PASSWORD,
            "new_password": "Administrator",
            "new_password_again": "Administrator",
        }
        page = await browser.post("/oauth/password", form | {"form": browser.form})
        assert page.status_code == 400


async def test_an_old_password_page_is_given_anew(world: World) -> None:
    browser = await world.signed_in()
    await browser.get("/oauth/password")
    world.clock.advance(600)
    form = password_change(PASSWORD, NEW)
    page = await browser.post("/oauth/password", form | {"form": browser.form})
    assert page.status_code == 400
    page = await browser.post("/oauth/password", form | {"form": browser.form})
    assert page.status_code == 200


async def test_what_happened_is_listed_for_its_person(world: World) -> None:
    client, browser = await world.register(), await world.signed_in()
    await browser.get("/oauth/authorize", params=authorization_request(client))
    redirected(await browser.decide("deny"))
    admin = (await world.store.list_accounts())[0]
    kinds = [event.kind for event in await world.store.list_events(admin.subject)]
    assert kinds == ["consent_denied", "sign_in_succeeded"]
    page = await browser.get("/oauth/activity")
    assert "You denied an app" in page.text
    assert "Test client" in page.text
    assert "127.0.0.1" in page.text


@pytest.mark.slow
async def test_the_last_sign_ins_are_seen_whatever_else_happened(world: World) -> None:
    for _ in range(12):
        await world.browser().sign_in()
    for _ in range(60):
        browser = await world.signed_in()
        await browser.get("/oauth/connections")
        await browser.post("/oauth/sign-out", {"form": browser.form})
    page = await (await world.signed_in()).get("/oauth/activity")
    sign_ins, everything = page.text.split("<h2>")[1:]
    assert sign_ins.count("<li>") == 10
    assert everything.count("<li>") == 50


async def test_the_home_page_shows_how_to_connect(world: World) -> None:
    page = await world.browser().get("/")
    assert page.status_code == 200
    assert "http://127.0.0.1:8000/mcp" in page.text
    assert "update_profile" in page.text
    assert "user:write" in page.text
    assert "set-cookie" not in page.headers
    assert re.search(r"get_user_data</code> <span[^>]*>user</span>", page.text)
    browser = await world.signed_in()
    page = await browser.get("/")
    assert "Administrator" in page.text
    page = await browser.post("/oauth/sign-out", {"form": browser.form})
    assert (await browser.get("/oauth/connections")).status_code == 303


@pytest.mark.parametrize(
    ("issuer", "is_possible"), [(ISSUER, False), ("https://mcp.example.com", True)]
)
async def test_the_home_page_tells_only_steps_that_can_work(
    clock: Clock, issuer: str, *, is_possible: bool
) -> None:
    settings = new_settings(public_url=issuer if is_possible else None)
    async with serving(clock, settings) as world:
        page = await world.browser(issuer).get("/")
    assert page.text.count("Not possible from this address") == (0 if is_possible else 2)
    assert ("Add custom connector" in page.text) == is_possible


async def test_an_app_that_is_not_known_is_told_with_the_commands_that_help(world: World) -> None:
    page = await world.browser().get("/oauth/authorize", params={"client_id": "client_old"})
    assert "claude mcp remove latchgate\nclaude mcp add --transport http latchgate " in page.text
    assert RESOURCE in page.text
