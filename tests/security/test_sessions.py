"""MCP sessions, and what strangers do with other people's (MCP streamable HTTP, GHSA rows)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.server.mcpserver import MCPServer

from tests.asgi_stream import Exchange, body
from tests.clock import Clock
from tests.resource_server_kit import (
    ERAS,
    GOOD,
    INITIALIZE,
    Gate,
    asgi_scope,
    new_token,
    result,
    rpc,
    serving,
    wire,
)
from tests.test_sharing import create_notes

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


class Slow:
    """A server with a tool that waits, and one that fails."""

    def __init__(self) -> None:
        self.called, self.go_on = asyncio.Event(), asyncio.Event()
        self.mcp: MCPServer[Any] = MCPServer("Slow")

        @self.mcp.tool()
        async def wait() -> str:
            """Wait until the test says so."""
            self.called.set()
            await self.go_on.wait()
            return "done"

        @self.mcp.tool()
        async def fail() -> str:
            """Fail."""
            raise RuntimeError


async def test_nobody_cancels_somebody_elses_request(clock: Clock) -> None:
    """Without it a guessed request id stops another person's call."""
    slow = Slow()
    async with serving(clock, slow.mcp) as gate:
        gate.tokens.add(BOB, subject="person_2")
        alices, bobs = await gate.open_session(), await gate.open_session(BOB)
        message = rpc("tools/call", name="wait", arguments={})
        call = asyncio.create_task(gate.post(message, **alices))
        await slow.called.wait()
        params = {"requestId": message["id"]}
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        assert (await gate.post(cancel, BOB, **alices)).status_code == 404
        assert (await gate.post(cancel, BOB, **bobs)).status_code == 202
        slow.go_on.set()
        assert result(await call)["content"][0]["text"] == "done"


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_that_fails_ends_its_call_and_no_more(clock: Clock, era: str) -> None:
    """CVE-2025-53365, CVE-2025-53366: what one call breaks is broken for everybody."""
    async with serving(clock, Slow().mcp) as gate, gate.client(era) as client:
        for _ in range(3):
            failed = await client.call_tool("fail", {})
            assert failed.is_error
            assert "Traceback" not in str(failed.content)
        assert (await client.list_tools()).tools


async def test_so_many_sessions_and_no_more_and_none_for_ever(gate: Gate) -> None:
    """CVE-2026-59951: a client that opens sessions and forgets them fills the memory."""
    sessions = gate.resource._sessions  # noqa: SLF001 - the limits are the SDK's, and for hours
    assert (sessions.max_sessions, sessions.session_idle_timeout) == (10_000, 30 * 60)
    sessions.session_idle_timeout = 0.05
    sessions.max_sessions = 1
    carried = await gate.open_session()
    assert (await gate.post(INITIALIZE, GOOD)).status_code == 503
    async with asyncio.timeout(5):
        while (await gate.post(INITIALIZE, GOOD)).status_code == 503:  # noqa: ASYNC110 - time is
            await asyncio.sleep(0.02)
    assert (await gate.post(rpc("ping"), GOOD, **carried)).status_code == 404


async def test_one_person_opens_so_many_sessions_and_no_more(gate: Gate) -> None:
    """Without it one person's programs leave no session for anybody else, and no memory."""
    limits = gate.resource._session_limits  # noqa: SLF001 - two hundred take long
    assert limits.per_person == 200
    limits.per_person = 2
    gate.tokens.add("a program's own", subject=None)
    for token in (GOOD, BOB, "a program's own"):
        first = await gate.open_session(token)
        await gate.open_session(token)
        refused = await gate.post(INITIALIZE, token)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert (await gate.post(rpc("ping"), token, **first)).status_code == 200
        await gate.http.delete("/mcp", headers=wire(token, first))
        await gate.open_session(token)


async def test_state_between_rounds_is_its_owners_unchanged_and_for_ten_minutes(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it whoever saw a round answers it in another's place, or another day."""
    async with serving(clock, create_notes()) as gate:
        gate.tokens.add(BOB, subject="person_2")
        call: dict[str, Any] = {"name": "count", "arguments": {}}
        state = result(await gate.ask("tools/call", **call))["requestState"]
        others = {"A": "B"}.get(state[20], "A")
        for token, changed in (
            (BOB, state),
            (GOOD, state[:20] + others + state[21:]),
            (GOOD, state[:-4]),
        ):
            refused = await gate.ask("tools/call", token, **call, requestState=changed)
            assert "requestState" in refused.json()["error"]["message"]
        with monkeypatch.context() as later:
            now = SimpleNamespace(time=lambda: time.time() + 601)
            later.setattr("mcp.server.request_state.time", now)
            refused = await gate.ask("tools/call", **call, requestState=state)
            assert "requestState" in refused.json()["error"]["message"]
        answered = await gate.ask("tools/call", **call, requestState=state)
        assert result(answered)["content"][0]["text"] == "after one round"


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
