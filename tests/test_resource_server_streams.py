"""When streams end, and what becomes of an answer that takes long."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.server.mcpserver import MCPServer
from starlette.types import Message, Receive, Scope, Send

from resource_server.responses import Responses
from telemetry.metrics import Metrics
from tests.asgi_stream import Exchange, body
from tests.clock import Clock
from tests.resource_server_kit import (
    EXPIRES_IN,
    GOOD,
    HANDSHAKE,
    MODERN,
    Gate,
    Tokens,
    asgi_scope,
    modern,
    modern_headers,
    new_token,
    rpc,
    serving,
    wire,
)

LISTEN = modern("subscriptions/listen", notifications={"toolsListChanged": True})


class Slow:
    """A tool that answers when it is told to."""

    def __init__(self) -> None:
        self.called, self.go_on, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.server: MCPServer[Any] = MCPServer("Slow")
        self.server.add_tool(self.wait)

    async def wait(self) -> str:
        """Wait."""
        self.called.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "waited"


async def sweep(gate: Gate, group: anyio.abc.TaskGroup | None = None) -> None:
    """What happens every few seconds."""
    async with anyio.create_task_group() as own:
        await gate.resource._responses.sweep(group or own)  # noqa: SLF001 - time stands still here


def ask(gate: Gate, message: Any, method: str = "POST", **headers: str) -> Exchange:
    """A request whose answer is read as it comes."""
    carried = wire(GOOD, {"Content_Type": "application/json"} | headers)
    return Exchange(gate.app, asgi_scope(method, **carried), body(json.dumps(message).encode()))


async def open_listen(gate: Gate) -> Exchange:
    """An open `subscriptions/listen`."""
    exchange = ask(gate, LISTEN, **modern_headers("subscriptions/listen"))
    status, headers = await exchange.start()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert b"acknowledged" in (await exchange.next())["body"]
    return exchange


async def open_get(gate: Gate) -> Exchange:
    """An open GET stream of a session."""
    exchange = ask(gate, None, "GET", **await gate.open_session())
    status, headers = await exchange.start()
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    return exchange


async def has_ended(exchange: Exchange) -> bool:
    """Whether the stream ends, as a stream should: with a last, empty chunk and no exception."""
    chunks = [chunk async for chunk in exchange.rest()]
    await exchange.task
    return chunks[-1] == b""


OPEN = [open_listen, open_get]


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving(clock) as gate:
        yield gate


@pytest.mark.parametrize("open_stream", OPEN)
async def test_a_stream_ends_with_its_token(
    gate: Gate, clock: Clock, open_stream: Callable[[Gate], Any]
) -> None:
    exchange = await open_stream(gate)
    clock.advance(EXPIRES_IN - 1)
    await sweep(gate)
    assert not exchange.task.done()
    clock.advance(1)
    await sweep(gate)
    assert await has_ended(exchange)


@pytest.mark.parametrize("open_stream", OPEN)
async def test_a_stream_ends_within_a_minute_of_its_token_s_revocation(
    gate: Gate, clock: Clock, open_stream: Callable[[Gate], Any]
) -> None:
    exchange = await open_stream(gate)
    gate.tokens.revoke()
    clock.advance(60)
    await sweep(gate)
    assert await has_ended(exchange)


@pytest.mark.parametrize(
    ("scopes", "is_over"),
    [(["user"], False), (["user:write", "user", "other"], False), (["user:write"], True)],
)
@pytest.mark.parametrize("open_stream", OPEN)
async def test_a_stream_ends_within_a_minute_of_the_loss_of_a_scope(
    gate: Gate,
    clock: Clock,
    open_stream: Callable[[Gate], Any],
    scopes: list[str],
    *,
    is_over: bool,
) -> None:
    exchange = await open_stream(gate)
    gate.tokens.add(GOOD, scopes=scopes)
    clock.advance(60)
    await sweep(gate)
    if is_over:
        assert await has_ended(exchange)
    else:
        assert not exchange.task.done()
        gate.resource.close_streams()


async def test_a_stream_s_token_is_verified_no_more_than_twice_a_minute(
    gate: Gate, clock: Clock
) -> None:
    exchange = await open_listen(gate)
    asked = gate.tokens.asked
    for _ in range(12):
        clock.advance(5)
        await sweep(gate)
    assert gate.tokens.asked == asked + 2
    assert not exchange.task.done()


async def test_trouble_with_the_store_ends_no_stream(gate: Gate, clock: Clock) -> None:
    exchange = await open_listen(gate)
    gate.tokens.break_down()
    clock.advance(60)
    await sweep(gate)
    assert not exchange.task.done()


async def test_a_token_that_does_not_expire_ends_no_stream(gate: Gate, clock: Clock) -> None:
    exchange = await open_listen(gate)
    for response in gate.resource._responses._open:  # noqa: SLF001 - such tokens are others'
        response.token = new_token(expires_at=None)
    clock.advance(10 * EXPIRES_IN)
    gate.tokens.add(expires_at=2**40)
    await sweep(gate)
    assert not exchange.task.done()


@pytest.mark.parametrize("open_stream", OPEN)
async def test_all_streams_can_be_closed_at_once(
    gate: Gate, open_stream: Callable[[Gate], Any]
) -> None:
    exchange = await open_stream(gate)
    gate.resource.close_streams()
    gate.resource.close_streams()
    assert await has_ended(exchange)
    late = await open_listen(gate)
    await sweep(gate)
    assert await has_ended(late)


async def test_a_stream_that_cannot_be_taken_up_again_begins_anew(gate: Gate) -> None:
    session = await gate.open_session()
    exchange = ask(gate, None, "GET", **session, Last_Event_ID="7")
    status, headers = await exchange.start()
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    await exchange.disconnect()


async def test_a_session_outlives_its_stream(gate: Gate) -> None:
    session = await gate.open_session()
    for _ in range(2):
        exchange = ask(gate, None, "GET", **session)
        assert (await exchange.start())[0] == 200
        gate.resource.close_streams()
        assert await has_ended(exchange)
    assert (await gate.post(rpc("tools/list"), **session)).status_code == 200


async def test_whoever_cancels_a_request_from_outside_is_not_held_up(gate: Gate) -> None:
    exchange = await open_listen(gate)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task


@asynccontextmanager
async def waiting(era: str) -> AsyncIterator[tuple[Gate, Slow, Exchange]]:
    """A call in the middle of a tool that takes long, in its first seconds."""
    slow, clock = Slow(), Clock()
    async with serving(clock, slow.server) as gate, anyio.create_task_group() as group:
        call = {"name": "wait", "arguments": {}}
        if era == MODERN:
            exchange = ask(
                gate, modern("tools/call", **call), **modern_headers("tools/call", "wait")
            )
        else:
            exchange = ask(gate, rpc("tools/call", **call), **await gate.open_session())
        await slow.called.wait()
        await sweep(gate, group)
        clock.advance(5)
        yield gate, slow, exchange
        slow.go_on.set()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("era", [MODERN, HANDSHAKE])
async def test_an_answer_in_time_is_json(era: str) -> None:
    async with waiting(era) as (_, slow, exchange):
        slow.go_on.set()
        status, headers = await exchange.start()
        assert (status, headers["content-type"]) == (200, "application/json")
        answer = json.loads(b"".join([chunk async for chunk in exchange.rest()]))
        assert answer["result"]["content"][0]["text"] == "waited"


@pytest.mark.parametrize("era", [MODERN, HANDSHAKE])
async def test_an_answer_that_takes_long_becomes_a_stream_that_stays_alive(era: str) -> None:
    async with waiting(era) as (gate, slow, exchange), anyio.create_task_group() as group:
        await sweep(gate, group)
        status, headers = await exchange.start()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert (await exchange.next())["body"] == b": wait\r\n\r\n"
        slow.go_on.set()
        text = b"".join([chunk async for chunk in exchange.rest()]).decode()
        assert text.startswith("event: message\r\ndata: ")
        answer = json.loads(text.partition("data: ")[2])
        assert answer["result"]["content"][0]["text"] == "waited"
        await exchange.task


async def test_a_client_that_goes_away_cancels_a_slow_call() -> None:
    async with waiting(MODERN) as (gate, slow, exchange), anyio.create_task_group() as group:
        await sweep(gate, group)
        await exchange.start()
        await exchange.disconnect()
        await slow.cancelled.wait()
        assert exchange.task.exception() is None


@pytest.mark.parametrize("era", [MODERN, HANDSHAKE])
async def test_a_slow_answer_ends_with_its_token_too(era: str) -> None:
    async with waiting(era) as (gate, _, exchange), anyio.create_task_group() as group:
        await sweep(gate, group)
        await exchange.start()
        gate.tokens.clock.advance(EXPIRES_IN)
        await sweep(gate, group)
        assert await has_ended(exchange)


async def test_the_sweep_comes_by_itself_and_again_after_trouble(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """One tick is real time here: a hundredth of a second instead of five."""
    begun = asyncio.Event()

    async def stream(_scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        begun.set()
        await receive()

    tokens = Tokens(clock)
    token = tokens.add()
    responses = Responses(stream, tokens, clock, Metrics(), sweep_interval=0.01)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await responses.give(scope, receive, send, token, is_json=False)

    async with responses.run():
        exchange = Exchange(app, asgi_scope())
        await begun.wait()
        tokens.failure = RuntimeError("broken")
        clock.advance(30)
        await tokens.failed.wait()
        tokens.failure = None
        tokens.revoke()
        clock.advance(30)
        await exchange.start()
        assert await has_ended(exchange)


async def test_an_answer_that_is_still_to_come_is_no_stream_to_close() -> None:
    async with waiting(MODERN) as (gate, slow, exchange):
        gate.resource.close_streams()
        slow.go_on.set()
        assert (await exchange.start())[0] == 200
        assert b"waited" in b"".join([chunk async for chunk in exchange.rest()])


async def test_more_of_a_request_is_no_sign_of_a_client_that_went_away(clock: Clock) -> None:
    slow, sent = asyncio.Event(), asyncio.Queue[Message]()
    received = iter([body(b"more"), {"type": "http.disconnect"}])

    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        slow.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return next(received)

    tokens = Tokens(clock)
    responses = Responses(never, tokens, clock, Metrics())
    request = responses.give(asgi_scope(), receive, sent.put, tokens.add(), is_json=True)
    task = asyncio.create_task(request)
    await slow.wait()
    clock.advance(5)
    async with anyio.create_task_group() as group:
        await responses.sweep(group)
        await task
    assert next(received, None) is None


async def test_a_server_that_reports_a_lost_client_as_an_error_is_understood(clock: Clock) -> None:
    """ASGI lets `send` raise OSError once the client has gone."""
    called = asyncio.Event()

    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        called.set()
        await asyncio.Event().wait()

    async def send(_message: Message) -> None:
        raise OSError("gone")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    tokens = Tokens(clock)
    responses = Responses(never, tokens, clock, Metrics())
    request = responses.give(asgi_scope(), receive, send, tokens.add(), is_json=True)
    task = asyncio.create_task(request)
    await called.wait()
    clock.advance(5)
    async with anyio.create_task_group() as group:
        await responses.sweep(group)
    await task
