"""One attack for each published advisory of this field, named by its id.

Others made these mistakes, some of them twice. What is tried here is what the advisory describes,
against the whole server; the rules behind it have their tables in the files beside this one.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest

from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from demo.discovery import read_authorization_server_metadata
from demo.narration import StepFailed
from tests.asgi_stream import Exchange, body
from tests.clock import Clock
from tests.kit import (
    ISSUER,
    MCP_HEADERS,
    PING,
    REDIRECT_URI,
    World,
    authorization_request,
    error_of,
    identification,
    redirected,
    registration,
    serving,
    token_request,
)
from tests.resource_server_kit import GOOD, Gate, asgi_scope, rpc, wire
from tests.resource_server_kit import serving as serving_resource
from tests.security.kit import FORM, assert_refused, assert_still_works

POST = {"token_endpoint_auth_method": "client_secret_post"}
EVIL = "https://evil.example/cb"


def advisories(*names: str) -> Callable[[Any], Any]:
    """The test runs once for each of these, so that each is found by its name."""
    return pytest.mark.parametrize("advisory", names)


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving_resource(clock) as gate:
        gate.tokens.add("bob", subject="person_2")
        yield gate


# Consent


@pytest.mark.slow
@advisories("CVE-2026-101062", "CVE-2023-34246")
async def test_a_client_that_anybody_can_be_gets_nothing_from_a_person_who_is_only_signed_in(
    world: World, advisory: str
) -> None:
    """Any client may register any redirect; so each time the person is asked, yes or no before."""
    client, browser = await world.register(redirect_uris=[EVIL]), await world.signed_in()
    for _ in range(2):
        page = await browser.get("/oauth/authorize", params=authorization_request(client))
        assert page.status_code == 200
        assert "evil.example" in page.text
        await world.exchange(client, redirected(await browser.decide("allow"))["code"])


@pytest.mark.slow
@advisories("CVE-2026-27124", "CVE-2022-39222")
async def test_a_consent_is_bound_to_the_browser_that_was_asked(
    world: World, advisory: str
) -> None:
    """Without it an attacker's request ends in the victim's browser with the victim's yes."""
    client = await world.register()
    attacker, victim = await world.signed_in(), await world.signed_in()
    await attacker.get("/oauth/authorize", params=authorization_request(client))
    form = {"form": attacker.form, "decision": "allow"}
    assert_refused(await victim.post("/oauth/consent", form), 403)
    stolen = {"form": attacker.form, "decision": "allow", "redirect_uri": EVIL}
    answer = await attacker.post("/oauth/consent", stolen)
    assert answer.headers["location"].startswith(f"{REDIRECT_URI}?")


# The redirect


@pytest.mark.parametrize(
    ("advisory", "registered", "presented"),
    [
        ("CVE-2025-4143", REDIRECT_URI, EVIL),
        ("CVE-2024-8883", "http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"),
        ("CVE-2024-1132", "https://c.example/cb", "https://c.example/x/%2e%2e/cb"),
        ("CVE-2023-6291", "https://c.example/cb", "https://c.example@evil.example/cb"),
        ("CVE-2022-3782", "https://c.example/cb", "https://c.example/cb/..%2f..%2fevil"),
        ("CVE-2020-15233", "http://127.0.0.1/cb?x=1", "http://127.0.0.1:1/cb?x=2"),
        ("CVE-2020-15234", "https://c.example/cb", "https://c.example/CB"),
        ("CVE-2026-54072", "https://c.example/cb", "https://c.example.evil.example/cb"),
    ],
)
async def test_a_redirect_that_is_only_nearly_registered_hears_nothing(
    world: World, advisory: str, registered: str, presented: str
) -> None:
    """Without it a code goes to whoever owns a name that looks like the client's."""
    client = await world.register(redirect_uris=[registered])
    request = authorization_request(client, redirect_uri=presented)
    page = await (await world.signed_in()).get("/oauth/authorize", params=request)
    assert_refused(page, 400)
    assert "location" not in page.headers


@pytest.mark.parametrize(
    ("advisory", "uri"),
    [
        ("CVE-2026-7504", "https://*.example/cb"),
        ("CVE-2026-3872", "https://c.example/*"),
        ("CVE-2020-10776", "javascript:alert(document.cookie)//"),
    ],
)
async def test_a_redirect_that_would_match_much_or_run_is_not_registered(
    world: World, advisory: str, uri: str
) -> None:
    """Without it one registration is good for every page of a host, or runs in ours."""
    response = await world.http.post("/oauth/register", json=registration(redirect_uris=[uri]))
    assert error_of(response) == (400, "invalid_redirect_uri")


@advisories("CVE-2020-10770")
async def test_a_request_is_never_fetched(world: World, advisory: str) -> None:
    """Without it a link makes our server ask whatever it names."""
    uri = "http://127.0.0.1:1/internal"
    request = authorization_request(await world.register(), request_uri=uri)
    answer = await (await world.signed_in()).get("/oauth/authorize", params=request)
    assert redirected(answer)["error"] == "request_uri_not_supported"


# Codes and refresh tokens


@pytest.mark.parametrize(
    ("advisory", "registered"),
    [
        ("CVE-2025-4144", {}),
        ("CVE-2023-48228", POST),
        ("CVE-2024-23647", {}),
        ("CVE-2024-22258", POST),
    ],
)
async def test_pkce_is_skipped_at_neither_end(
    world: World, advisory: str, registered: dict[str, str]
) -> None:
    """Without it whoever has the code has the tokens."""
    client = await world.register(**registered)
    asking = authorization_request(client, code_challenge=None, code_challenge_method=None)
    answer = await (await world.signed_in()).get("/oauth/authorize", params=asking)
    assert redirected(answer)["error"] == "invalid_request"
    code = await world.code(client)
    for verifier in (None, "", "x" * 43):
        response = await world.exchange(client, code, code_verifier=verifier)
        assert_refused(response, 400)


@advisories("CVE-2026-28513")
async def test_every_condition_of_a_code_has_to_hold(world: World, advisory: str) -> None:
    """`and` where `or` was meant: expired *and* of another client was refused, either was not."""
    client, other = await world.register(), await world.register(client_name="Other")
    assert_refused(await world.exchange(other, await world.code(client)), 400)
    code = await world.code(client)
    world.clock.advance(60)
    assert_refused(await world.exchange(client, code), 400)


@advisories("CVE-2026-1035", "CVE-2026-50631", "CVE-2026-53517", "CVE-2026-126280")
async def test_who_looks_first_and_spends_later_loses_races_and_here_nobody_does(
    world: World, advisory: str
) -> None:
    """Without it two who come at once both have tokens."""
    client = await world.register()
    form = token_request(client, await world.code(client))
    answers = await asyncio.gather(*(world.token(form) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    first = await world.tokens(client)
    answers = await asyncio.gather(
        *(world.refresh(client, first["refresh_token"]) for _ in range(20))
    )
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


# Registration


@advisories("CVE-2026-44476")
async def test_a_secret_that_was_left_blank_proves_nothing(world: World, advisory: str) -> None:
    """Without it a confidential client is anybody who knows its name."""
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    form = {"grant_type": "authorization_code", "code": await world.code(client)}
    blank = base64.b64encode(f"{client['client_id']}:".encode()).decode()
    for headers in ({"Authorization": f"Basic {blank}"}, {}):
        response = await world.token(form | {"client_id": client["client_id"]}, headers=headers)
        assert error_of(response) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("advisory", "members", "kept"),
    [
        ("CVE-2026-65635", {"client_id": "admin", "client_secret": "x", "trusted": True}, set()),
        ("CVE-2026-61466", {"scope": "user admin"}, {"user"}),
        ("CVE-2026-59354", {"scope": "user user:write openid *"}, {"user", "user:write"}),
        ("CVE-2026-75866", {"grant_types": ["authorization_code", "password"]}, set()),
    ],
)
async def test_a_client_gives_itself_nothing(
    world: World, advisory: str, members: dict[str, Any], kept: set[str]
) -> None:
    """Without it a registration decides about scopes, secrets and consent."""
    client = await world.register(**members)
    if "scope" in members:
        assert set(client["scope"].split()) == kept
    assert client["client_id"].startswith("client_.") or client["client_id"] != "admin"
    assert "client_secret" not in client
    assert "password" not in client["grant_types"]
    response = await world.token(token_request(client, "x", grant_type="password"))
    assert error_of(response) == (400, "unsupported_grant_type")


# Introspection and revocation


@advisories("CVE-2026-58425")
async def test_one_client_learns_nothing_of_anothers_tokens(world: World, advisory: str) -> None:
    """Without it a registered stranger tells good tokens from bad ones."""
    tokens = await world.tokens(await world.register(**POST))
    spy = await world.register(**POST, client_name="Spy")
    for token in (tokens["access_token"], tokens["refresh_token"]):
        response = await world.http.post(
            "/oauth/introspect", data=identification(spy) | {"token": token}
        )
        assert response.json() == {"active": False}


@advisories("CVE-2026-68481", "CVE-2026-3583")
async def test_what_is_revoked_is_dead_on_the_next_request(world: World, advisory: str) -> None:
    """Without it a token that was taken back goes on working."""
    client = await world.register(**POST)
    tokens = await world.tokens(client)
    form = identification(client) | {"token": tokens["access_token"]}
    await world.http.post("/oauth/revoke", data=form)
    assert await world.calls(tokens["access_token"]) == 401
    response = await world.http.post("/oauth/introspect", data=form)
    assert response.json() == {"active": False}


class Away(MemoryStore):
    """A store that goes away when somebody wants to revoke."""

    async def revoke_access_token(self, digest: bytes) -> None:
        raise StoreUnavailable("away")


@advisories("CVE-2020-15223")
async def test_no_revocation_is_confirmed_that_did_not_happen(clock: Clock, advisory: str) -> None:
    """Without it a client forgets a token that lives on."""
    async with serving(clock, store=Away()) as world:
        client = await world.register()
        tokens = await world.tokens(client)
        form = identification(client) | {"token": tokens["access_token"]}
        assert_refused(await world.http.post("/oauth/revoke", data=form), 503)


# People


@advisories("CVE-2026-23511", "GHSA-6f65-4fv2-wwch")
async def test_no_answer_tells_who_has_an_account(world: World, advisory: str) -> None:
    """The time is looked at in test_sign_in.py: nobody's password is hashed like anybody's."""
    pages = []
    for name in ("admin", "nobody"):
        browser = world.browser()
        page = await browser.sign_in(name, "wrong")
        pages.append(page.text.replace(browser.form, "").replace(name, ""))
    assert pages[0] == pages[1]


@advisories("GHSA-2wmj-46rj-qm2w")
async def test_no_header_writes_our_links(world: World, advisory: str) -> None:
    """Without it a request chooses where the next person is sent."""
    headers = {
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example;proto=https",
        "X-Forwarded-Proto": "https",
        "X-Original-Host": "evil.example",
    }
    for path in ("/", "/oauth/sign-in", "/.well-known/oauth-authorization-server", "/mcp"):
        html = {"Accept": "text/html"}
        honest = await world.http.get(path, headers=html)
        lied = await world.http.get(path, headers=html | headers)
        assert "evil.example" not in lied.text + str(lied.headers)
        assert honest.status_code == lied.status_code


# What is sent to /mcp


@advisories("CVE-2025-69196")
async def test_a_token_for_elsewhere_opens_nothing_here(gate: Gate, advisory: str) -> None:
    """Without it another server that was given a token comes here with it."""
    gate.tokens.add("elsewhere", resource="https://other.example/mcp")
    answer = await gate.ask("tools/list", "elsewhere")
    assert answer.status_code == 401


@advisories("CVE-2026-52869")
async def test_a_session_id_is_no_key(gate: Gate, advisory: str) -> None:
    """Without it whoever saw a session id is its owner."""
    carried = await gate.open_session()
    assert (await gate.post(rpc("tools/list"), "bob", **carried)).status_code == 404


@advisories("CVE-2026-59951")
async def test_sessions_that_fail_leave_nothing(gate: Gate, advisory: str) -> None:
    """Without it bad first requests fill the memory."""
    for content in (b"{", json.dumps(rpc("ping")).encode(), b"[]") * 9:
        headers = wire(GOOD, {"Content-Type": "application/json"})
        assert (await gate.http.post("/mcp", content=content, headers=headers)).status_code == 400
    sessions = gate.resource._sessions  # noqa: SLF001 - what is left behind is the question
    assert len(sessions._server_instances) == 0  # noqa: SLF001


@pytest.mark.parametrize(
    ("advisory", "content"),
    [("CVE-2025-53365", b'{"jsonrpc":"2.0","id":1,"method":'), ("CVE-2025-53366", b"\xff\x00")],
)
async def test_a_bad_message_ends_nobodys_server(gate: Gate, advisory: str, content: bytes) -> None:
    """Without it one line stops the server for everybody."""
    carried = await gate.open_session()
    headers = wire(GOOD, carried | {"Content-Type": "application/json"})
    response = await gate.http.post("/mcp", content=content, headers=headers)
    assert response.status_code == 400
    assert (await gate.post(rpc("ping"), GOOD, **carried)).status_code == 200


@advisories("GHSA-9h52-p55h-vw2f")
async def test_a_page_that_rebinds_its_name_calls_nothing(world: World, advisory: str) -> None:
    """Without it a page that the person visits calls the tools of this machine."""
    tokens = await world.tokens(await world.register())
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    for headers, status in (
        ({"Host": "evil.example:8000"}, 421),
        ({"Origin": "http://evil.example:8000"}, 403),
    ):
        response = await world.http.post("/mcp", json=PING, headers=MCP_HEADERS | bearer | headers)
        assert response.status_code == status


@advisories("CVE-2026-33946")
async def test_a_second_listener_replaces_nobody(gate: Gate, advisory: str) -> None:
    """Without it whoever asks last hears what was meant for the first."""
    headers = wire(GOOD, await gate.open_session())
    scope = asgi_scope("GET", **{name.replace("-", "_"): v for name, v in headers.items()})
    first = Exchange(gate.app, dict(scope), body(b""))
    assert (await first.start())[0] == 200
    assert (await Exchange(gate.app, dict(scope), body(b"")).start())[0] == 409
    assert not first.task.done()
    await first.disconnect()


@advisories("GHSA-qx49-fqc8-xw99", "CVE-2026-104850")
async def test_a_client_gives_its_secrets_to_the_issuer_that_was_named(
    world: World, advisory: str
) -> None:
    """The clients' mistake: an MCP server said where the credentials go. Ours pins the issuer."""
    document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert read_authorization_server_metadata(document, ISSUER).issuer == ISSUER
    for issuer in ("https://evil.example", f"{ISSUER}/", ISSUER.replace("127.0.0.1", "localhost")):
        with pytest.raises(StepFailed):
            read_authorization_server_metadata(document | {"issuer": issuer}, ISSUER)


# What only costs to read


@pytest.mark.parametrize(
    ("advisory", "content", "media_type"),
    [
        ("PYSEC-2026-249", b"&".join(b"a%d=" % n for n in range(7000)), FORM["Content-Type"]),
        ("CVE-2023-30798", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' * 900, ""),
        ("CVE-2024-47874", b"--x\r\n\r\n" + b"y" * 60_000, ""),
        ("CVE-2025-54121", b'--x\r\nContent-Disposition: form-data; filename="a"\r\n\r\n', ""),
    ],
)
async def test_no_form_is_read_that_we_did_not_ask_for(
    world: World, advisory: str, content: bytes, media_type: str
) -> None:
    """Without it parsers work for whoever sends them something."""
    headers = {"Content-Type": media_type or "multipart/form-data; boundary=x"}
    for path in ("/oauth/token", "/oauth/sign-in", "/oauth/register"):
        response = await world.http.post(path, content=content, headers=headers)
        assert_refused(response, 400)
    await assert_still_works(world)


# Signed tokens, of which there are none


def jwt(header: dict[str, Any]) -> str:
    parts = (header, {"sub": "admin", "aud": f"{ISSUER}/mcp", "iss": ISSUER, "exp": 2**40})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*encoded, b"AAAA"]).decode()


@pytest.mark.parametrize(
    ("advisory", "token"),
    [
        ("CVE-2025-59420", jwt({"alg": "HS256", "crit": ["b64"], "b64": False})),
        ("CVE-2025-61920", jwt({"alg": "RS256", "x": "y" * 5000})),
        ("CVE-2026-32597", jwt({"alg": "ES256", "crit": ["unknown"]})),
        ("CVE-2026-44699", jwt({"alg": "none"})),
    ],
)
async def test_a_token_is_looked_up_and_never_read(world: World, advisory: str, token: str) -> None:
    """Without it a token says of itself that it is good."""
    response = await world.http.post(
        "/mcp", json=PING, headers=MCP_HEADERS | {"Authorization": f"Bearer {token}"}
    )
    assert response.status_code == 401
    client = await world.register()
    for name in ("code", "refresh_token"):
        grant = {"code": "authorization_code"}.get(name, name)
        form = {"grant_type": grant, name: token, "code_verifier": "x" * 43}
        answer = await world.token(form | identification(client))
        assert error_of(answer) == (400, "invalid_grant")


def test_ids_are_in_one_place_only() -> None:
    """Each advisory has one attack; a second one belongs into the file of its section."""
    names = sorted(
        argument if isinstance(argument, str) else argument[0]
        for test in globals().values()
        for mark in getattr(test, "pytestmark", ())
        if mark.name == "parametrize"
        for argument in mark.args[1]
    )
    assert len(names) > 45
    assert all(one != other for one, other in pairwise(names))
