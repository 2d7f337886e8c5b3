"""The bearer token at `/mcp` (OAuth 2.1 §5, RFC 6750, RFC 9728 §5.1)."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from origins import Origin, Origins
from resource_server.bearer import RequireBearerToken
from resource_server.challenges import challenge
from resource_server.refusals import Refusals
from telemetry.metrics import Metrics
from tests.clock import Clock
from tests.resource_server_kit import (
    EXPIRES_IN,
    GOOD,
    ISSUER,
    METADATA,
    RESOURCE,
    Gate,
    asgi_scope,
    modern,
    modern_headers,
    result,
    rpc,
    serving,
    wire,
)

PLACE = f'resource_metadata="{METADATA}", scope="user"'
NO_TOKEN = f"Bearer {PLACE}"
BAD_TOKEN = f'Bearer error="invalid_token", {PLACE}, error_description="'
PING = modern("tools/list")


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving(clock) as gate:
        yield gate


async def ask(gate: Gate, *authorization: bytes, **options: Any) -> httpx2.Response:
    """A good request with exactly these Authorization headers."""
    headers = wire(None, modern_headers("tools/list"))
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    pairs += [(b"Authorization", value) for value in authorization]
    return await gate.http.post("/mcp", json=PING, headers=pairs, **options)


@pytest.mark.parametrize(
    "credentials",
    [b"Bearer mcp_at_good", b"bEaReR mcp_at_good", b"bearer   mcp_at_good", b"BEARER mcp_at_good "],
)
async def test_the_scheme_is_read_in_any_case_and_with_any_number_of_spaces(
    gate: Gate, credentials: bytes
) -> None:
    assert (await ask(gate, credentials)).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [(), (b"Basic YTpi",), (b"Bearer",), (b"Bearer  ",), (b"mcp_at_good",), (b"",), (b"DPoP x",)],
)
async def test_without_a_token_the_challenge_names_no_error(
    gate: Gate, authorization: tuple[bytes, ...]
) -> None:
    answer = await ask(gate, *authorization)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == NO_TOKEN
    assert answer.headers["cache-control"] == "no-store"
    assert "error" not in answer.json()


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_every_method_is_challenged_at_both_paths(gate: Gate, method: str, path: str) -> None:
    answer = await gate.http.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == NO_TOKEN


@pytest.mark.parametrize(
    "token",
    [
        b"mcp_at_unknown",
        b"mcp_rt_good",
        b"mcp_at_good,mcp_at_good",
        b"mcp_at_\xff",
        b"mcp_at_\x00good",
        b"mcp_at_good\tx",
        b"eyJhbGciOiJub25lIn0.e30.",
        b"x" * 65_536,
        b"elsewhere",
        b"expired",
        b"nowhere",
    ],
)
async def test_every_kind_of_bad_token_gets_the_same_answer(gate: Gate, token: bytes) -> None:
    gate.tokens.add("elsewhere", resource="https://other.example/mcp")
    gate.tokens.add("nowhere", resource=None)
    gate.tokens.add("expired", expires_at=gate.tokens.clock())
    answer = await ask(gate, b"Bearer " + token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith(BAD_TOKEN)
    known = await ask(gate, b"Bearer something_else")
    for response in (answer, known):
        del response.headers["x-request-id"]
    assert (answer.content, answer.headers) == (known.content, known.headers)


@pytest.mark.parametrize(
    "resource",
    [
        f"{RESOURCE}/",
        ISSUER,
        f"{RESOURCE}x",
        RESOURCE.upper(),
        RESOURCE.replace("127.0.0.1", "[::1]"),
    ],
)
async def test_a_token_for_anything_but_this_very_resource_is_refused(
    gate: Gate, resource: str
) -> None:
    gate.tokens.add("near", resource=resource)
    assert (await ask(gate, b"Bearer near")).status_code == 401


async def test_a_token_expires_and_can_be_revoked_between_two_requests(
    gate: Gate, clock: Clock
) -> None:
    assert (await gate.ask("tools/list")).status_code == 200
    gate.tokens.revoke()
    assert (await gate.ask("tools/list")).status_code == 401
    gate.tokens.add()
    clock.advance(EXPIRES_IN - 1)
    assert (await gate.ask("tools/list")).status_code == 200
    clock.advance(1)
    assert (await gate.ask("tools/list")).status_code == 401


@pytest.mark.parametrize("second", [b"Bearer mcp_at_good", b"Bearer other", b"Basic YTpi"])
async def test_two_authorization_headers_are_no_request(gate: Gate, second: bytes) -> None:
    answer = await ask(gate, b"Bearer mcp_at_good", second)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("token", [b"mcp_at_good x", b"a b", b"a  b c"])
async def test_two_tokens_in_the_header_are_no_request(gate: Gate, token: bytes) -> None:
    answer = await ask(gate, b"Bearer " + token)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


async def test_other_headers_may_be_repeated(gate: Gate) -> None:
    pairs = [
        (b"Accept", b"application/json"),
        (b"Accept", b"text/event-stream"),
        (b"X", b"1"),
        (b"X", b"2"),
    ]
    pairs += [(n.encode(), v.encode()) for n, v in modern_headers("tools/list").items()]
    headers = [(b"Authorization", b"Bearer mcp_at_good"), *pairs]
    assert (await gate.http.post("/mcp", json=PING, headers=headers)).status_code == 200


async def test_a_token_anywhere_but_in_the_header_does_not_count(gate: Gate) -> None:
    assert (await ask(gate, params={"access_token": GOOD})).status_code == 401
    gate.http.cookies.set("access_token", GOOD)
    assert (await ask(gate)).status_code == 401
    assert (await gate.http.post("/mcp", data={"access_token": GOOD})).status_code == 401
    assert gate.tokens.asked == 0


async def test_trouble_with_the_store_is_503_and_no_401(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.tokens.break_down()
    answer = await gate.ask("tools/list")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert "www-authenticate" not in answer.headers
    assert "the store is away" in caplog.text


async def test_a_missing_required_scope_is_403_naming_it_and_those_held(gate: Gate) -> None:
    gate.tokens.add("narrow", scopes=["user:write", "offline_access"])
    answer = await gate.ask("tools/list", "narrow")
    assert answer.status_code == 403
    assert answer.json()["error"] == "insufficient_scope"
    value = answer.headers["www-authenticate"]
    assert value.startswith('Bearer error="insufficient_scope", resource_metadata="')
    assert 'scope="user user:write"' in value


@pytest.mark.parametrize("scopes", [["USER"], ["users"], ["user:"], ["user:read"], []])
async def test_scopes_are_compared_whole_and_by_case(gate: Gate, scopes: list[str]) -> None:
    gate.tokens.add("near", scopes=scopes)
    assert (await gate.ask("tools/list", "near")).status_code == 403


async def test_why_a_token_was_refused_is_logged_and_the_token_is_not(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gate.tokens.add("elsewhere", resource="https://other.example/mcp")
    gate.tokens.add("narrow", scopes=[])
    for token in (b"unknown", b"elsewhere", b"narrow", b"x" * 9000):
        await ask(gate, b"Bearer " + token)
    events = [json.loads(r.getMessage()) for r in caplog.records if r.name == "latchgate.audit"]
    assert [(event["kind"], event["reason"]) for event in events] == [
        ("token_refused", "unknown, expired or revoked"),
        ("token_refused", "wrong resource"),
        ("scope_denied", "needs user"),
        ("token_refused", "malformed"),
    ]
    assert [event.get("client_id") for event in events] == [None, "client_1", "client_1", None]
    assert all(event["address"] and event["correlation_id"] for event in events)
    assert not any(secret in caplog.text for secret in ("elsewhere", "narrow", "xxx"))


async def test_the_body_of_a_request_without_a_token_is_never_read(gate: Gate) -> None:
    sent = []

    async def receive() -> Any:
        raise AssertionError("nobody may read this")

    async def send(message: Any) -> None:
        sent.append(message)

    await gate.app(asgi_scope(), receive, send)
    assert sent[0]["status"] == 401


async def test_each_origin_has_its_own_challenge_and_takes_only_its_own_tokens(
    clock: Clock,
) -> None:
    origins = Origins(("https://a.example", "https://b.example"))
    async with serving(clock, origins=origins) as gate:
        gate.tokens.add("a", resource="https://a.example/mcp")
        for host, status in {"a.example": 200, "b.example": 401}.items():
            answer = await gate.post(PING, "a", host=host, **modern_headers("tools/list"))
            assert answer.status_code == status
        answer = await gate.http.post("/mcp", headers={"Host": "b.example"})
        where = "https://b.example/.well-known/oauth-protected-resource/mcp"
        assert f'resource_metadata="{where}"' in answer.headers["www-authenticate"]


async def test_use_is_noted_once_a_request_and_only_of_good_tokens(clock: Clock) -> None:
    used: list[str] = []
    async with serving(clock, note_use=lambda token: used.append(token.client_id)) as gate:
        await gate.ask("tools/list", "unknown")
        await gate.ask("tools/list")
    assert used == ["client_1"]


async def test_a_tool_sees_who_calls_in_both_eras(gate: Gate) -> None:
    gate.tokens.add("bob", subject="person_2")
    calls = {"name": "get_user_data", "arguments": {}}
    seen = result(await gate.ask("tools/call", "bob", **calls))
    assert seen["structuredContent"]["username"] == "bob"
    session = await gate.open_session("bob")
    seen = result(await gate.post(rpc("tools/call", **calls), "bob", **session))
    assert seen["structuredContent"]["username"] == "bob"


async def test_alone_it_refuses_a_host_that_is_not_ours(clock: Clock) -> None:
    async def nobody(*_: Any) -> Any:
        raise AssertionError("nobody may ask")

    guarded = RequireBearerToken(
        nobody,
        nobody,
        Origins(()),
        ("user",),
        note_use=lambda _token: None,
        metrics=Metrics(),
        refusals=Refusals(clock),
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=guarded)) as http:
        assert (await http.get("http://evil.example/mcp")).status_code == 421


def test_nothing_can_break_out_of_a_challenge() -> None:
    with pytest.raises(ValueError, match="scope"):
        challenge(Origin(ISSUER), ['a"b'])


def test_a_challenge_without_scopes_has_no_scope() -> None:
    assert challenge(Origin(ISSUER), []) == f'Bearer resource_metadata="{METADATA}"'
