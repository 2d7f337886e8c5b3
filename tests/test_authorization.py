"""The authorization endpoint: what it asks, what it refuses, and whom it tells (OAuth 2.1 §4.1)."""

import logging
import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.kit import (
    HTML,
    ISSUER,
    REDIRECT_URI,
    RESOURCE,
    World,
    authorization_request,
    error_of,
    redirected,
)


async def test_a_person_signs_in_consents_and_goes_back_with_a_code(world: World) -> None:
    client = await world.register()
    browser = world.browser()
    page = await browser.get("/oauth/authorize", params=authorization_request(client))
    assert page.status_code == 200
    assert "Test client" in page.text
    page = await browser.sign_in()
    assert page.status_code == 303
    page = await browser.get(page.headers["location"])
    assert "Test client" in page.text
    answer = await browser.decide("allow")
    assert answer.headers["location"].startswith(f"{REDIRECT_URI}?")
    parameters = redirected(answer)
    assert parameters.pop("code").startswith("mcp_ac_")
    assert parameters == {"state": "a state", "iss": ISSUER}


async def test_asking_twice_changes_nothing(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in()
    for _ in range(2):
        page = await browser.get("/oauth/authorize", params=authorization_request(client))
        assert page.status_code == 200
    assert redirected(await browser.decide("allow"))["code"]


async def test_a_program_that_wants_json_is_told_that_a_person_is_needed(world: World) -> None:
    client = await world.register()
    request = authorization_request(client)
    json = {"Accept": "application/json"}
    browser = await world.signed_in()
    for http in (world.http, browser.http):
        response = await http.get("/oauth/authorize", params=request, headers=json)
        assert error_of(response) == (400, "interaction_required")
        url = response.json()["authorization_url"]
        assert (await world.http.get(url, headers=HTML)).status_code == 200


async def test_where_no_page_may_be_shown_the_client_is_told_which_it_needs(world: World) -> None:
    request = authorization_request(await world.register(), prompt="none")
    page = await world.browser().get("/oauth/authorize", params=request)
    assert page.status_code == 400
    assert "error=login_required" in page.text  # by a link, as everything before a sign-in
    browser = await world.signed_in()
    answer = redirected(await browser.get("/oauth/authorize", params=request))
    assert answer.pop("error_description")
    assert answer == {"error": "consent_required", "state": request["state"], "iss": ISSUER}
    json = {"Accept": "application/json"}
    response = await browser.http.get("/oauth/authorize", params=request, headers=json)
    assert error_of(response) == (400, "interaction_required")
    page = await browser.get(response.json()["authorization_url"])
    assert page.status_code == 200


async def test_a_program_that_posts_its_request_is_told_where_to_go_on_as_well(
    world: World,
) -> None:
    request = authorization_request(await world.register())
    response = await world.http.post(
        "/oauth/authorize", data=request, headers={"Accept": "application/json"}
    )
    url = urlsplit(response.json()["authorization_url"])
    assert dict(parse_qsl(url.query)) == request


async def test_the_request_may_come_as_a_form(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in()
    page = await browser.post("/oauth/authorize", authorization_request(client))
    assert page.status_code == 200
    assert redirected(await browser.decide("allow"))["code"]


async def test_without_a_redirect_uri_the_only_registered_one_is_used(world: World) -> None:
    client = await world.register()
    browser = await world.signed_in()
    answer = await browser.allow(authorization_request(client, redirect_uri=None))
    assert answer.headers["location"].startswith(f"{REDIRECT_URI}?")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "client_unknown"},
        {"client_id": "\0"},
        {"client_id": "x" * 10_000},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": f"{REDIRECT_URI}/"},
        {"redirect_uri": "https://client.example:443/callback"},
    ],
)
async def test_without_a_client_and_its_redirect_uri_only_the_person_is_told(
    world: World, changes: dict[str, str | None]
) -> None:
    client = await world.register()
    for browser in (world.browser(), await world.signed_in()):
        request = authorization_request(client, **changes)
        page = await browser.get("/oauth/authorize", params=request)
        assert page.status_code == 400
        assert "location" not in page.headers
        assert 'href="https://evil.example' not in page.text
        assert page.headers["content-type"].startswith("text/html")
        response = await browser.http.get("/oauth/authorize", params=request)
        assert error_of(response)[0] == 400


def refusals_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged, without the audit log, which tests before may have turned on."""
    return [record.getMessage() for record in caplog.records if record.name == "latchgate"]


NEAR_MISSES = [
    ("http://client.example/callback", "its scheme"),
    (f"{REDIRECT_URI}/", "the slash at its end"),
    ("https://client.example/other", "its path"),
    (f"{REDIRECT_URI}?secret=x", "its query"),
    ("http://localhost:49152/callback", "the name of this computer"),
    ("http://[::1]/callback", "the name of this computer"),
    ("https://other.example/callback", None),
    ("http://evil.example/callback", None),
    ("no URI", None),
]


@pytest.mark.parametrize(("redirect_uri", "hint"), NEAR_MISSES)
async def test_an_unregistered_redirect_uri_is_named_with_what_differs_and_who_sent_it(
    world: World, caplog: pytest.LogCaptureFixture, redirect_uri: str, hint: str | None
) -> None:
    client = await world.register(redirect_uris=[REDIRECT_URI, "http://127.0.0.1:8976/callback"])
    request = authorization_request(client, redirect_uri=redirect_uri)
    shown = redirect_uri.partition("?")[0]
    page = await world.browser().get("/oauth/authorize", params=request)
    body = (await world.http.get("/oauth/authorize", params=request)).json()
    with caplog.at_level(logging.INFO, "latchgate"):
        await world.http.get("/oauth/authorize", params=request)
    logged = refusals_in(caplog)[-1]
    assert f">{shown}</dd>" in page.text
    assert "Test client" in page.text
    assert (body["client_name"], body["redirect_uri"]) == ("Test client", shown)
    assert body["client_id"] == client["client_id"][:60] + "…"
    for told in (page.text, body["error_description"], logged):
        assert ("differs from a registered one" in told) == (hint is not None)
        assert f"only in {hint or ''}" in told or not hint
    assert f"redirect_uri '{shown}'" in logged
    assert "client_name 'Test client'" in logged


async def test_a_strange_redirect_uri_is_told_cut_and_with_odd_characters_spelt_out(
    world: World,
) -> None:
    uri = f"https://client.example/\u202e\n{'y' * 1000}"
    request = authorization_request(await world.register(), redirect_uri=uri)
    body = (await world.http.get("/oauth/authorize", params=request)).json()
    assert body["redirect_uri"].startswith(r"https://client.example/\u202e\nyyy")
    assert len(body["redirect_uri"]) == 201


async def test_each_refused_request_is_logged_with_its_code_its_reason_and_its_client(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.register()
    request = authorization_request(client, resource="https://evil.example/mcp")
    signed_in = await world.signed_in()
    with caplog.at_level(logging.INFO, "latchgate"):
        await world.browser().get("/oauth/authorize", params=request)
        await signed_in.get("/oauth/authorize", params=request)
        await world.browser().get("/oauth/authorize")
    named = client["client_id"][:60] + "…"
    why = "invalid_target (the resource is not the MCP server of this authorization server)"
    on_page, by_redirect, bare = refusals_in(caplog)
    assert on_page.startswith(f"GET '/oauth/authorize': 400 {why}, client_id {named!r}")
    assert by_redirect == f"told client {named!r} by redirect: {why}"
    assert bare == "GET '/oauth/authorize': 400 missing_client_id"


async def test_a_client_with_two_redirect_uris_has_to_name_one(world: World) -> None:
    client = await world.register(redirect_uris=[REDIRECT_URI, "http://127.0.0.1/callback"])
    page = await world.browser().get(
        "/oauth/authorize", params=authorization_request(client, redirect_uri=None)
    )
    assert page.status_code == 400


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_repeated_client_or_redirect_uri_is_told_to_nobody_else(
    world: World, name: str
) -> None:
    request = authorization_request(await world.register())
    for pair in ((name, "https://evil.example/"), (name, request[name])):
        page = await (await world.signed_in()).get(
            "/oauth/authorize", params=[*request.items(), pair]
        )
        assert page.status_code == 400
        assert "location" not in page.headers


BAD_REQUESTS = [
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"code_challenge": "x" * 42}, "invalid_request"),
    ({"code_challenge": "x" * 44}, "invalid_request"),
    ({"code_challenge": "x" * 42 + "="}, "invalid_request"),
    ({"code_challenge": ""}, "invalid_request"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"request": "eyJ"}, "request_not_supported"),
    ({"request_uri": "https://evil.example/"}, "request_uri_not_supported"),
    ({"scope": "admin"}, "invalid_scope"),
    ({"scope": "user\tadmin"}, "invalid_scope"),
    ({"scope": 'a"b'}, "invalid_scope"),
    ({"state": "x" * 4097}, "invalid_request"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ({"resource": f"{RESOURCE}-evil"}, "invalid_target"),
    ({"resource": f"{RESOURCE}/more"}, "invalid_target"),
    ({"resource": f"{RESOURCE}#fragment"}, "invalid_target"),
    ({"resource": "/mcp"}, "invalid_target"),
    ({"resource": "javascript:alert(1)"}, "invalid_target"),
    ({"resource": "http://["}, "invalid_target"),
]


@pytest.mark.parametrize(("changes", "error"), BAD_REQUESTS)
async def test_a_bad_request_is_told_to_the_client_once_somebody_is_signed_in(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    request = authorization_request(await world.register(), **changes)
    answer = await (await world.signed_in()).get("/oauth/authorize", params=request)
    parameters = redirected(answer)
    assert parameters.pop("error_description")
    assert parameters == {"error": error, "state": request["state"], "iss": ISSUER}


@pytest.mark.parametrize(("changes", "error"), BAD_REQUESTS[:3])
async def test_nobody_is_redirected_before_somebody_signed_in(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    request = authorization_request(await world.register(), **changes)
    page = await world.browser().get("/oauth/authorize", params=request)
    assert page.status_code == 400
    assert "location" not in page.headers
    assert f"error={error}" in page.text
    response = await world.http.get("/oauth/authorize", params=request)
    assert error_of(response) == (400, error)


@pytest.mark.parametrize("name", ["response_type", "scope", "state", "code_challenge", "prompt"])
async def test_a_repeated_parameter_is_refused(world: World, name: str) -> None:
    request = authorization_request(await world.register())
    answer = await (await world.signed_in()).get(
        "/oauth/authorize", params=[*request.items(), (name, "again"), (name, "again")]
    )
    assert redirected(answer)["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (RESOURCE, "interaction_required"),
        (f"{RESOURCE}/", "interaction_required"),
        (ISSUER, "interaction_required"),
        ("https://evil.example/mcp", "invalid_target"),
    ],
)
async def test_two_resources_are_one_or_refused(world: World, second: str, error: str) -> None:
    request = authorization_request(await world.register())
    answer = await world.http.get(
        "/oauth/authorize",
        params=[*request.items(), ("resource", second)],
        headers={"Accept": "application/json"},
    )
    assert error_of(answer) == (400, error)


@pytest.mark.parametrize("scope", ["user ", " user", " user  user:write", " "])
async def test_spaces_around_scopes_are_forgiven(world: World, scope: str) -> None:
    request = authorization_request(await world.register(), scope=scope)
    code = redirected(await (await world.signed_in()).allow(request))["code"]
    assert code


async def test_empty_parameters_are_absent_and_unknown_ones_ignored(world: World) -> None:
    request = authorization_request(
        await world.register(), scope="", state="", resource="", nonce="n", login_hint="alice"
    )
    browser = await world.signed_in()
    parameters = redirected(await browser.allow(request))
    assert set(parameters) == {"code", "iss"}


@pytest.mark.parametrize(
    "resource",
    [
        None,
        f"{RESOURCE}/",
        "HTTP://127.0.0.1:8000/mcp",
        ISSUER,
        f"{ISSUER}/",
    ],
)
async def test_spellings_of_the_resource_are_forgiven(world: World, resource: str | None) -> None:
    tokens = await world.tokens(await world.register(), resource=resource)
    assert await world.calls(tokens["access_token"]) == 200


async def test_the_query_of_a_redirect_uri_survives_byte_for_byte(world: World) -> None:
    uri = "https://client.example/cb?x=%7e&iss=evil&y=a%20b&code=1"
    client = await world.register(redirect_uris=[uri])
    browser = await world.signed_in()
    location = (await browser.allow(authorization_request(client))).headers["location"]
    assert location.startswith("https://client.example/cb?x=%7e&y=a%20b&code=mcp_ac_")
    assert urlsplit(location).query.count("iss=") == 1


async def test_a_loopback_port_may_differ_and_is_where_the_answer_goes(world: World) -> None:
    client = await world.register(redirect_uris=["http://127.0.0.1/callback"])
    uri = "http://127.0.0.1:49152/callback"
    browser = await world.signed_in()
    answer = await browser.allow(authorization_request(client, redirect_uri=uri))
    assert answer.headers["location"].startswith(f"{uri}?code=")


async def test_offline_access_is_accepted_and_needs_no_decision(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="user offline_access")
    assert tokens["scope"] == "user"
    assert tokens["refresh_token"]


async def test_unknown_scopes_among_known_ones_are_left_out_and_that_is_said(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="admin user other")
    assert tokens["scope"] == "user"


async def test_methods_that_are_not_served_are_refused_without_cors(world: World) -> None:
    for method in ("PUT", "DELETE", "OPTIONS"):
        response = await world.http.request(
            method, "/oauth/authorize", headers={"Origin": "https://app.example"}
        )
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers


async def test_a_malformed_query_is_an_error_and_no_crash(world: World) -> None:
    response = await world.http.get("/oauth/authorize?client_id=%ff")
    assert error_of(response) == (400, "invalid_request")
    page = await world.browser().get("/oauth/authorize?client_id=%ff")
    assert page.status_code == 400
    assert "<h1>" in page.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "none"},
        *(changes for changes, _ in BAD_REQUESTS),
        *({"redirect_uri": uri} for uri, hint in NEAR_MISSES if hint),
    ],
)
async def test_a_person_reads_what_is_wrong_in_their_language(
    world: World, changes: dict[str, str | None]
) -> None:
    client = await world.register(redirect_uris=[REDIRECT_URI, "http://127.0.0.1:8976/callback"])
    request = authorization_request(client, ui_locales="zh", **changes)
    page = await world.browser().get("/oauth/authorize", params=request)
    assert re.search(r"<dt>原因</dt><dd>[^<]*[一-鿿]", page.text), page.text
