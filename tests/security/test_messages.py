"""What one message to /mcp may cost, and what it may keep."""

import json
import time
from typing import Any

import httpx2
import pytest
from starlette.types import Message

from resource_server.calls import MAX_KEPT, MAX_SUBSCRIPTIONS, calls_of, read_calls
from tests.asgi_stream import Exchange, body
from tests.clock import Clock
from tests.resource_server_kit import (
    GOOD,
    INITIALIZE,
    Gate,
    asgi_scope,
    modern,
    modern_headers,
    rpc,
    serving,
    wire,
)


def listen_to(uris: list[str], member: str = "resourceSubscriptions") -> dict[str, Any]:
    return modern("subscriptions/listen", notifications={member: uris})


async def post_as_is(gate: Gate, content: bytes, **headers: str) -> httpx2.Response:
    """The answer to bytes; a stream is not waited for."""
    carried = wire(GOOD, {"Content-Type": "application/json"} | headers)
    exchange = Exchange(
        gate.app,
        asgi_scope(**{name.replace("-", "_"): value for name, value in carried.items()}),
        body(content),
    )
    status, _ = await exchange.start()
    text = (await exchange.next())["body"]
    await exchange.disconnect()
    return httpx2.Response(status, content=text)


@pytest.mark.parametrize("member", ["resourceSubscriptions", "resource_subscriptions"])
@pytest.mark.parametrize(
    ("uris", "status"), [(MAX_SUBSCRIPTIONS, 200), (MAX_SUBSCRIPTIONS + 1, 400)]
)
async def test_a_stream_is_for_so_many_resources_and_no_more(
    clock: Clock, member: str, uris: int, status: int
) -> None:
    """Without it one message has us look for a million resources while nobody else is served."""
    async with serving(clock) as gate:
        message = json.dumps(listen_to(["user://x"] * uris, member)).encode()
        answer = await post_as_is(gate, message, **modern_headers("subscriptions/listen"))
        assert answer.status_code == status
        if status == 400:
            assert answer.json()["id"] == 1
            assert str(MAX_SUBSCRIPTIONS) in answer.json()["error"]["message"]


async def test_what_we_cannot_read_and_the_sdk_can_is_counted_too(clock: Clock) -> None:
    """Without it half a character in a message takes the limit away."""
    async with serving(clock) as gate:
        uris = ["\ud800", *["user://x"] * MAX_SUBSCRIPTIONS]
        message = json.dumps(listen_to(uris)).encode()
        answer = await post_as_is(gate, message, **modern_headers("subscriptions/listen"))
        assert str(MAX_SUBSCRIPTIONS) in answer.json()["error"]["message"]


def test_a_resource_that_is_named_again_is_looked_for_once() -> None:
    """Without it the same name a thousand times costs a thousand look-ups."""
    calls = calls_of(
        "subscriptions/listen", listen_to(["user://a", "user://b", "user://a"])["params"]
    )
    assert [call.name for call in calls] == ["", "user://a", "user://b"]


def padded(message: dict[str, Any], length: int) -> bytes:
    """A message that is so long because of white space."""
    return json.dumps(message).encode().ljust(length)


@pytest.mark.parametrize(
    ("message", "headers"),
    [
        (listen_to([]), modern_headers("subscriptions/listen")),
        (listen_to(["\ud800"]), modern_headers("subscriptions/listen")),
        (INITIALIZE, {}),
    ],
    ids=["a stream", "a stream that only the SDK can read", "a session"],
)
async def test_what_is_kept_as_long_as_a_stream_or_a_session_is_short(
    clock: Clock, message: dict[str, Any], headers: dict[str, str]
) -> None:
    """Without it each stream and each session keeps what 4 MiB of JSON become: 120 MB."""
    async with serving(clock) as gate:
        answer = await post_as_is(gate, padded(message, MAX_KEPT), **headers)
        assert answer.status_code == 200
        answer = await post_as_is(gate, padded(message, MAX_KEPT + 1), **headers)
        assert answer.status_code == 400
        assert str(MAX_KEPT) in answer.json()["error"]["message"]


async def test_a_long_call_is_no_long_stream(clock: Clock) -> None:
    """Without it a tool could be handed no file."""
    async with serving(clock) as gate:
        session = await gate.open_session()
        message = padded(rpc("tools/list"), MAX_KEPT + 1)
        assert (await post_as_is(gate, message, **session)).status_code == 200


async def test_a_body_in_many_parts_costs_what_one_in_one_costs() -> None:
    """Without it each byte that comes late has megabytes copied."""
    sent: list[Message] = [
        {"type": "http.request", "body": part, "more_body": True}
        for part in (b" " * 3_000_000, *[b" "] * 5000)
    ]

    async def receive() -> Message:
        return sent.pop(0) if sent else body(b"")

    began = time.process_time()
    await read_calls(asgi_scope(), receive)
    assert time.process_time() - began < 0.4
