"""What a person sees and takes back: connections, activity, password."""

from typing import Any

import pytest

from auth.accounts import Passwords, new_account
from tests.clock import Clock
from tests.kit import PASSWORD, World, authorization_request, new_settings, redirected, serving

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
    hashed = await Passwords(8, 1).hash("a password of bob")
    await world.store.add_account(new_account("bob", hashed, world.clock()))
    browser = world.browser()
    await browser.sign_in("bob", "a password of bob")
    await browser.get("/oauth/connections")
    page = await browser.post("/oauth/connections", {"form": browser.form, action: grant.grant_id})
    assert page.status_code == 404
    assert await world.calls(tokens["access_token"]) == 200


async def test_an_old_page_changes_nothing(world: World) -> None:
    tokens = await connect(world, "One")
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    world.clock.advance(600)
    page = await browser.post("/oauth/connections", {"form": browser.form, "revoke_all": "yes"})
    assert page.status_code == 400
    assert await world.calls(tokens["access_token"]) == 200


async def test_a_form_without_an_action_shows_the_page_again(world: World) -> None:
    browser = await world.signed_in()
    await browser.get("/oauth/connections")
    page = await browser.post("/oauth/connections", {"form": browser.form})
    assert page.headers["location"] == "/oauth/connections"


async def change_password(world: World, current: str, new: str) -> tuple[Any, Any]:
    browser = await world.signed_in()
    await browser.get("/oauth/password")
    form = {"form": browser.form, "current_password": current, "new_password": new}
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
        form = {"current_password": PASSWORD, "new_password": "Administrator"}
        page = await browser.post("/oauth/password", form | {"form": browser.form})
        assert page.status_code == 400


async def test_an_old_password_page_is_given_anew(world: World) -> None:
    browser = await world.signed_in()
    await browser.get("/oauth/password")
    world.clock.advance(600)
    form = {"current_password": PASSWORD, "new_password": NEW}
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
    page = await browser.get("/oauth/connections")
    assert "testclient" in page.text or "127.0.0.1" in page.text


async def test_the_home_page_shows_how_to_connect(world: World) -> None:
    page = await world.browser().get("/")
    assert page.status_code == 200
    assert "http://127.0.0.1:8000/mcp" in page.text
    assert "update_profile" in page.text
    assert "user:write" in page.text
    page = await (await world.signed_in()).get("/")
    assert "Administrator" in page.text
