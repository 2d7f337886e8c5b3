"""The token endpoint: the code grant (OAuth 2.1 §4.1.3)."""

from itertools import combinations

import pytest

from auth.errors import OAuthError
from tests.clock import LateInTheSecond
from tests.kit import (
    REDIRECT_URI,
    RESOURCE,
    VERIFIER,
    World,
    authorization_request,
    error_of,
    redirected,
    serving,
    token_request,
)


async def test_a_code_gives_tokens(world: World) -> None:
    client = await world.register()
    response = await world.exchange(client, await world.code(client))
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer.pop("access_token").startswith("mcp_at_")
    assert answer.pop("refresh_token").startswith("mcp_rt_")
    assert answer == {"token_type": "Bearer", "expires_in": 3600, "scope": "user"}


async def test_an_access_token_opens_mcp_until_it_expires(world: World) -> None:
    tokens = await world.tokens(await world.register())
    assert await world.calls(tokens["access_token"]) == 200
    world.clock.advance(3599)
    assert await world.calls(tokens["access_token"]) == 200
    world.clock.advance(1)
    assert await world.calls(tokens["access_token"]) == 401


async def test_a_token_lives_as_long_as_a_client_with_its_own_clock_expects() -> None:
    clock = LateInTheSecond()
    async with serving(clock) as world:
        client = await world.register()
        code = await world.code(client)
        clock.fraction = 0.9
        tokens = (await world.exchange(client, code)).json()
        assert tokens["expires_in"] == 3600
        clock.fraction = 0.8
        clock.advance(3600)
        assert await world.calls(tokens["access_token"]) == 200
        clock.fraction = 0.0
        clock.advance(1)
        assert await world.calls(tokens["access_token"]) == 401


async def test_a_client_that_may_not_refresh_gets_no_refresh_token(world: World) -> None:
    client = await world.register(grant_types=["authorization_code"])
    tokens = await world.tokens(client)
    assert "refresh_token" not in tokens
    response = await world.refresh(client, "mcp_rt_x")
    assert error_of(response) == (400, "unauthorized_client")
    world.clock.advance(3600)
    assert await world.calls(tokens["access_token"]) == 401


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "Authorization_code"}, 400, "unsupported_grant_type"),
        ({"code": None}, 400, "invalid_request"),
        ({"code": "mcp_ac_unknown"}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
        ({"code_verifier": VERIFIER[:42]}, 400, "invalid_grant"),
        ({"code_verifier": "x" * 129}, 400, "invalid_grant"),
        ({"code_verifier": VERIFIER + "x"}, 400, "invalid_grant"),
        ({"code_verifier": VERIFIER + "ü"}, 400, "invalid_grant"),
        ({"redirect_uri": f"{REDIRECT_URI}/"}, 400, "invalid_grant"),
        ({"resource": "https://evil.example/mcp"}, 400, "invalid_target"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"client_id": "client_unknown"}, 401, "invalid_client"),
        ({"client_id": "x" * 5000}, 401, "invalid_client"),
        ({"client_secret": "x"}, 401, "invalid_client"),
    ],
)
async def test_a_wrong_token_request_is_refused_and_the_code_stays_good(
    world: World, changes: dict[str, str | None], status: int, error: str
) -> None:
    client = await world.register()
    code = await world.code(client)
    assert error_of(await world.exchange(client, code, **changes)) == (status, error)
    assert (await world.exchange(client, code)).status_code == 200


async def test_the_redirect_uri_need_not_be_repeated(world: World) -> None:
    client = await world.register()
    response = await world.exchange(client, await world.code(client), redirect_uri=None)
    assert response.status_code == 200


async def test_a_code_lives_for_a_minute(world: World) -> None:
    client = await world.register()
    first, second = await world.code(client), await world.code(client)
    world.clock.advance(59)
    assert (await world.exchange(client, first)).status_code == 200
    world.clock.advance(1)
    assert error_of(await world.exchange(client, second)) == (400, "invalid_grant")


FAULTS = {
    "client": {},
    "redirect": {"redirect_uri": "https://other.example/"},
    "verifier": {"code_verifier": VERIFIER + "x"},
    "expired": {},
    "used": {},
}


@pytest.mark.parametrize(
    "faults", [set(some) for size in range(1, 6) for some in combinations(FAULTS, size)]
)
async def test_each_fault_alone_and_all_together_are_refused(
    world: World, faults: set[str]
) -> None:
    """CVE-2026-28513: `and` where `or` was meant let a code with a single fault pass."""
    client, other = await world.register(), await world.register(client_name="Other")
    code = await world.code(client)
    if "used" in faults:
        await world.exchange(client, code)
    if "expired" in faults:
        world.clock.advance(60)
    changes = {name: value for fault in faults for name, value in FAULTS[fault].items()}
    presenting = other if "client" in faults else client
    response = await world.exchange(presenting, code, **changes)
    assert error_of(response) == (400, "invalid_grant")


async def test_a_replayed_code_revokes_the_tokens_it_gave(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    assert error_of(await world.exchange(client, code)) == (400, "invalid_grant")
    assert await world.calls(tokens["access_token"]) == 401
    response = await world.refresh(client, tokens["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")


@pytest.mark.parametrize("changes", [{"code_verifier": VERIFIER + "x"}, {"client": "other"}])
async def test_who_cannot_prove_that_a_code_is_theirs_cuts_nobody_off(
    world: World, changes: dict[str, str]
) -> None:
    client, other = await world.register(), await world.register(client_name="Other")
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    presenting = other if changes.pop("client", None) else client
    assert error_of(await world.exchange(presenting, code, **changes)) == (400, "invalid_grant")
    assert await world.calls(tokens["access_token"]) == 200
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_a_disabled_person_gets_no_tokens_and_loses_those_they_gave(world: World) -> None:
    client = await world.register()
    tokens, code = await world.tokens(client), await world.code(client)
    admin = (await world.store.list_accounts())[0]
    await world.store.disable_account(admin.subject, world.clock())
    assert error_of(await world.exchange(client, code)) == (400, "invalid_grant")
    assert await world.calls(tokens["access_token"]) == 401
    response = await world.refresh(client, tokens["refresh_token"])
    assert error_of(response) == (400, "invalid_grant")
    assert (await world.browser().sign_in()).status_code == 400


@pytest.mark.parametrize("name", ["grant_type", "client_id", "code", "code_verifier"])
async def test_a_repeated_parameter_is_refused(world: World, name: str) -> None:
    client = await world.register()
    form = token_request(client, await world.code(client))
    pairs = "&".join(f"{k}={v}" for k, v in [*form.items(), (name, form[name])])
    response = await world.http.post(
        "/oauth/token",
        content=pairs,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert error_of(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("second", "status"), [(RESOURCE, 200), (f"{RESOURCE}/", 200), ("https://evil.example", 400)]
)
async def test_two_resources_are_one_or_refused(world: World, second: str, status: int) -> None:
    client = await world.register()
    form = token_request(client, await world.code(client))
    pairs = "&".join(f"{k}={v}" for k, v in [*form.items(), ("resource", second)])
    response = await world.http.post(
        "/oauth/token",
        content=pairs,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert response.status_code == status
    assert response.json().get("error") == (None if status == 200 else "invalid_target")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("text/plain", b"a=b"),
        ("", b"a=b"),
        ("x-application/x-www-form-urlencoded-foo", b"a=b"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"a=b"),
        ("application/x-www-form-urlencoded", b"a=%ff"),
        ("application/x-www-form-urlencoded", "a=ü".encode()),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=b" % i for i in range(101))),
    ],
)
async def test_only_a_well_formed_form_is_read(
    world: World, content_type: str, body: bytes
) -> None:
    response = await world.http.post(
        "/oauth/token", content=body, headers={"Content-Type": content_type}
    )
    assert error_of(response) == (400, "invalid_request")


async def test_parameters_in_the_url_are_refused_and_nothing_is_consumed(world: World) -> None:
    client = await world.register()
    code = await world.code(client)
    form = token_request(client, code)
    response = await world.http.post("/oauth/token", params=form, data=form)
    assert error_of(response) == (400, "invalid_request")
    assert (await world.exchange(client, code)).status_code == 200


async def test_a_body_that_is_too_large_is_refused(world: World) -> None:
    response = await world.token({"code": "x" * 65_536})
    assert error_of(response) == (413, "invalid_request")


async def test_other_methods_are_refused(world: World) -> None:
    for method in ("GET", "PUT"):
        response = await world.http.request(method, "/oauth/token")
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"


async def test_a_code_of_an_older_key_is_still_exchanged(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in()
    first = redirected(await browser.allow(authorization_request(client)))["code"]
    assert (await world.exchange(client, first)).status_code == 200


def test_every_error_is_named_by_its_code() -> None:
    names = {cls.__name__: cls.error for cls in OAuthError.__subclasses__()}
    for name, error in names.items():
        assert name.lower() == error.replace("_", "")
