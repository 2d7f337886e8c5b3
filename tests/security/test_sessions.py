"""MCP sessions, and what strangers do with other people's (MCP streamable HTTP, GHSA rows)."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.asgi_stream import Exchange, body
from tests.clock import Clock
from tests.resource_server_kit import GOOD, Gate, asgi_scope, new_token, rpc, serving, wire

BOB = "the token of bob"


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving(clock) as gate:
        gate.tokens.add(BOB, subject="person_2")
        yield gate


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_session_of_somebody_else_does_not_exist(gate: Gate, method: str) -> None:
    """CVE-2026-52869: a session id that leaks is somebody's session."""
    carried = await gate.open_session()
    response = await gate.http.request(method, "/mcp", json=rpc("ping"), headers=wire(BOB, carried))
    assert response.status_code == 404
    unknown = await gate.http.request(
        method, "/mcp", json=rpc("ping"), headers=wire(BOB, carried | {"Mcp-Session-Id": "x"})
    )
    assert unknown.status_code == 404
    assert (await gate.post(rpc("ping"), GOOD, **carried)).status_code == 200


async def test_a_second_stream_does_not_take_the_first_ones_place(gate: Gate) -> None:
    """CVE-2026-33946: whoever asks last hears everything."""
    headers = wire(GOOD, await gate.open_session())
    scope = asgi_scope("GET", **{name.replace("-", "_"): v for name, v in headers.items()})
    first = Exchange(gate.app, scope, body(b""))
    assert (await first.start())[0] == 200
    second = Exchange(gate.app, dict(scope), body(b""))
    assert (await second.start())[0] == 409
    assert not first.task.done()
    await first.disconnect()


async def test_nobody_cancels_somebody_elses_request(gate: Gate) -> None:
    """Without it a guessed request id stops another person's call."""
    carried = await gate.open_session()
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    assert (await gate.post(cancel, BOB, **carried)).status_code == 404


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":7}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
        b"[" * 10_000,
        b"\xff\xfe",
    ],
)
async def test_nonsense_is_answered_and_the_server_lives(gate: Gate, message: bytes) -> None:
    """CVE-2025-53365, CVE-2025-53366: one bad message ends the server for everybody."""
    response = await gate.http.post(
        "/mcp", content=message, headers=wire(GOOD, {"Content-Type": "application/json"})
    )
    assert 400 <= response.status_code < 500
    assert "Traceback" not in response.text
    assert (await gate.ask("tools/list")).status_code == 200


async def test_a_header_and_a_body_that_disagree_are_refused(gate: Gate) -> None:
    """Without it a proxy judges by the header what the server does by the body."""
    response = await gate.post(
        json.loads(json.dumps(rpc("tools/call", name="update_profile", arguments={}))),
        GOOD,
        MCP_Protocol_Version="2026-07-28",
        Mcp_Method="tools/list",
    )
    assert response.status_code == 400


async def test_whose_token_it_is_decides_and_not_what_a_tool_is_asked_for(gate: Gate) -> None:
    """Without it a parameter chooses whose data is read."""
    assert new_token(subject="person_2").subject != new_token().subject
    for user_id in ("person_1", "alice"):
        answer = await gate.ask(
            "tools/call", BOB, name="get_user_data", arguments={"user_id": user_id}
        )
        assert "alice@" not in answer.text
