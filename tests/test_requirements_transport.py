"""What MCP demands of streamable HTTP behind our gate; docs/conformance.md names the rows.

The fixture of the official conformance runner is the server: it has a tool for each rule.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from tests.asgi_stream import StreamingTransport
from tests.clock import Clock
from tests.conformance.everything import create_mcp_server
from tests.resource_server_kit import (
    GOOD,
    HANDSHAKE,
    INITIALIZE,
    ISSUER,
    MODERN,
    Gate,
    events,
    modern,
    modern_headers,
    result,
    rpc,
    serving,
    wire,
)

META = "io.modelcontextprotocol/"
ABLE: dict[str, Any] = {f"{META}clientCapabilities": {"elicitation": {}}}
CALL: dict[str, Any] = {"name": "test_simple_text", "arguments": {}}
HEADERS = modern_headers("tools/call", "test_simple_text")


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving(clock, create_mcp_server()) as gate:
        yield gate


def without(values: dict[str, Any]) -> dict[str, Any]:
    """The values but for those that are None."""
    return {name: value for name, value in values.items() if value is not None}


def code_of(answer: httpx2.Response) -> tuple[int, int]:
    """The status of an answer that is an error, and the error's JSON-RPC code."""
    [message] = events(answer)
    return answer.status_code, message["error"]["code"]


def test_on_ones_own_machine_nobody_else_is_listened_to() -> None:
    assert uvicorn.Config("combined_app:app").host == "127.0.0.1"
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    assert re.search(r"^HOST = 127\.0\.0\.1$", makefile, re.MULTILINE)


# Requests of 2026-07-28


@pytest.mark.parametrize(
    "changes",
    [
        {"Mcp-Method": None},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "Tools/Call"},
        {"Mcp-Name": None},
        {"Mcp-Name": "test_image_content"},
        {"Mcp-Name": "TEST_simple_text"},
        {"Mcp-Name": "=?base64?!!?="},
        {"Mcp-Name": "=?base64?dGVzdF9zaW1wbGVfdGV4dA?="},
        {"MCP-Protocol-Version": "2099-01-01"},
    ],
    ids=str,
)
async def test_a_header_that_is_not_what_the_body_says_is_refused(
    gate: Gate, changes: dict[str, str | None]
) -> None:
    answer = await gate.post(modern("tools/call", **CALL), **without(HEADERS | changes))
    assert code_of(answer) == (400, -32020)


@pytest.mark.parametrize("version", [None, HANDSHAKE, "2025-03-26"])
@pytest.mark.parametrize(("request_id", "answered"), [(7, 7), ("a", "a"), ({}, None)])
async def test_a_stateless_body_under_no_or_another_version_is_told_of_its_header(
    gate: Gate, version: str | None, request_id: Any, answered: Any
) -> None:
    headers = without(HEADERS | {"MCP-Protocol-Version": version})
    answer = await gate.post(modern("tools/call", **CALL) | {"id": request_id}, **headers)
    assert code_of(answer) == (400, -32020)
    assert answer.json()["id"] == answered
    assert "MCP-Protocol-Version" in answer.json()["error"]["message"]


async def test_a_meta_that_names_a_handshake_version_is_of_that_version(gate: Gate) -> None:
    session = await gate.open_session()
    call = modern("tools/call", **CALL, _meta={f"{META}protocolVersion": HANDSHAKE})
    assert result(await gate.post(call, **session))["content"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Mcp-Name": "  test_simple_text\t "},
        {"Mcp-Method": " tools/call "},
        {"MCP-Protocol-Version": f"{MODERN} "},
        {"Mcp-Name": "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?="},
        {"Mcp-Name": None, "mCP-nAME": "test_simple_text"},
        {"Mcp-Session-Id": "of another time", "Last-Event-ID": "7"},
    ],
    ids=str,
)
async def test_a_header_may_be_written_like_this(
    gate: Gate, changes: dict[str, str | None]
) -> None:
    answer = await gate.post(modern("tools/call", **CALL), **without(HEADERS | changes))
    assert result(answer)["content"][0]["text"].startswith("This is a simple text")
    assert "mcp-session-id" not in answer.headers


async def test_a_parameter_that_travels_in_a_header_is_compared_too(gate: Gate) -> None:
    call = modern("tools/call", name="test_x_mcp_header", arguments={"region": "eu"})
    headers = modern_headers("tools/call", "test_x_mcp_header")
    assert code_of(await gate.post(call, **headers)) == (400, -32020)
    assert code_of(await gate.post(call, **headers, Mcp_Param_Region="us")) == (400, -32020)
    assert result(await gate.post(call, **headers, Mcp_Param_Region="eu"))
    assert result(await gate.post(call, **headers, Mcp_Param_Region="=?base64?ZXU=?="))


async def test_a_version_that_is_not_served_is_refused_with_those_that_are(gate: Gate) -> None:
    call = modern("server/discover", _meta={f"{META}protocolVersion": "2099-01-01"})
    headers = modern_headers("server/discover") | {"MCP-Protocol-Version": "2099-01-01"}
    answer = await gate.post(call, **headers)
    assert code_of(answer) == (400, -32022)
    data = answer.json()["error"]["data"]
    assert data == {"supported": [MODERN], "requested": "2099-01-01"}


@pytest.mark.parametrize(
    "method",
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "x"],
)
async def test_a_method_that_is_not_there_is_404(gate: Gate, method: str) -> None:
    assert code_of(await gate.ask(method)) == (404, -32601)


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
async def test_what_every_request_has_to_say_is_asked_for(gate: Gate, missing: str) -> None:
    call = modern("server/discover")
    del call["params"]["_meta"][META + missing]
    answer = await gate.post(call, **modern_headers("server/discover"))
    assert code_of(answer) == (400, -32602)


async def test_a_capability_that_was_not_declared_is_named(gate: Gate) -> None:
    answer = await gate.ask("tools/call", name="test_missing_capability", arguments={})
    assert code_of(answer) == (400, -32021)
    assert answer.json()["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"{", b"[]", b"null", json.dumps([modern("ping")]).encode()])
async def test_a_body_that_is_no_single_message_is_refused(gate: Gate, body: bytes) -> None:
    headers = wire(GOOD, HEADERS) | {"Content-Type": "application/json"}
    assert (await gate.http.post("/mcp", content=body, headers=headers)).status_code == 400


async def test_a_server_says_what_it_can(gate: Gate) -> None:
    found = result(await gate.ask("server/discover"))
    assert found["supportedVersions"] == [MODERN]
    assert {"tools", "prompts", "resources"} <= found["capabilities"].keys()


LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


@pytest.mark.parametrize("method", ["server/discover", *LISTS])
async def test_every_result_is_marked_and_may_only_be_cached_for_its_caller(
    gate: Gate, method: str
) -> None:
    found = result(await gate.ask(method))
    assert found["resultType"] == "complete"
    assert found["_meta"][f"{META}serverInfo"]["name"] == "Everything"
    assert found["ttlMs"] >= 0
    assert found["cacheScope"] == "private"


async def test_what_a_tool_answers_is_marked_too(gate: Gate) -> None:
    assert result(await gate.ask("tools/call", **CALL))["resultType"] == "complete"


@pytest.mark.parametrize("method", LISTS)
async def test_lists_are_in_the_same_order_every_time(gate: Gate, method: str) -> None:
    assert result(await gate.ask(method)) == result(await gate.ask(method))


async def test_a_resource_that_is_not_there_is_an_error_with_its_uri(gate: Gate) -> None:
    answer = await gate.ask("resources/read", uri="test://nowhere")
    assert code_of(answer) == (400, -32602)
    assert answer.json()["error"]["data"] == {"uri": "test://nowhere"}


async def test_what_needs_no_answer_is_accepted_without_one(gate: Gate) -> None:
    notification = {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": 7},
    }
    headers = modern_headers("notifications/cancelled")
    answer = await gate.post(notification, **headers)
    assert (answer.status_code, answer.content) == (202, b"")


async def test_a_question_is_a_result_and_never_a_request_on_the_stream(gate: Gate) -> None:
    call: dict[str, Any] = {"name": "test_streaming_elicitation", "arguments": {}}
    messages = events(await gate.ask("tools/call", **call, _meta=ABLE))
    assert [message.get("method") for message in messages] == [None]
    assert messages[0]["result"]["resultType"] == "input_required"


async def test_nothing_is_remembered_of_earlier_requests(gate: Gate) -> None:
    call: dict[str, Any] = {"name": "test_streaming_elicitation", "arguments": {}}
    assert result(await gate.ask("tools/call", **call, _meta=ABLE))
    # What the client said it can do counted for that one request.
    second = await gate.ask("tools/call", name="test_input_required_result_capabilities")
    assert result(second)["isError"]


async def test_a_changed_state_is_refused(gate: Gate) -> None:
    name = "test_input_required_result_tampered_state"
    asked = result(await gate.ask("tools/call", name=name, arguments={}, _meta=ABLE))
    answers = {"confirm": {"action": "accept", "content": {"ok": True}}}
    call: dict[str, Any] = {"name": name, "arguments": {}, "inputResponses": answers}
    state = asked["requestState"]
    assert code_of(await gate.ask("tools/call", **call, requestState=state + "x")) == (400, -32602)
    done = await gate.ask("tools/call", **call, requestState=state, _meta=ABLE)
    assert result(done)["resultType"] == "complete"


async def test_another_person_cannot_go_on_with_my_state(gate: Gate) -> None:
    gate.tokens.add("bob", subject="person_2")
    name = "test_input_required_result_request_state"
    asked = result(await gate.ask("tools/call", name=name, arguments={}, _meta=ABLE))
    call: dict[str, Any] = {"name": name, "arguments": {}, "requestState": asked["requestState"]}
    assert code_of(await gate.ask("tools/call", "bob", **call)) == (400, -32602)


@pytest.mark.filterwarnings("ignore:The logging capability is deprecated")
@pytest.mark.parametrize(("level", "logged"), [(None, []), ("debug", ["Logged"]), ("error", [])])
async def test_log_lines_are_for_those_who_asked(
    gate: Gate, level: str | None, logged: list[str]
) -> None:
    meta = {f"{META}logLevel": level} if level else {}
    answer = await gate.ask("tools/call", name="test_logging_tool", arguments={}, _meta=meta)
    messages = [m for m in events(answer) if m.get("method") == "notifications/message"]
    assert [message["params"]["data"] for message in messages] == logged


@pytest.mark.slow
async def test_a_stream_is_not_buffered_and_ends_with_the_answer(gate: Gate) -> None:
    meta = {"progressToken": 1}
    call: dict[str, Any] = {"name": "test_tool_with_progress", "arguments": {}}
    answer = await gate.ask("tools/call", **call, _meta=meta)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    *progress, last = events(answer)
    assert [message["params"]["progress"] for message in progress] == [0, 50, 100]
    assert "result" in last


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_stateless_client_can_only_post(gate: Gate, method: str) -> None:
    headers = wire(GOOD, {"MCP-Protocol-Version": MODERN})
    assert (await gate.http.request(method, "/mcp", headers=headers)).status_code == 405


async def test_a_subscriber_hears_what_it_asked_for_and_nothing_else(gate: Gate) -> None:
    listen = modern("subscriptions/listen", notifications={"promptsListChanged": True})
    headers = wire(GOOD, modern_headers("subscriptions/listen"))
    heard = []
    async with (
        httpx2.AsyncClient(transport=StreamingTransport(gate.app), base_url=ISSUER) as http,
        http.stream("POST", "/mcp", json=listen, headers=headers) as answer,
    ):
        async for line in answer.aiter_lines():
            if not line.startswith("data: "):
                continue
            heard.append(json.loads(line.removeprefix("data: ")))
            if len(heard) > 1:
                break
            for tool in ("test_trigger_tool_change", "test_trigger_prompt_change"):
                await gate.ask("tools/call", name=tool, arguments={})
    assert [message["method"] for message in heard] == [
        "notifications/subscriptions/acknowledged",
        "notifications/prompts/list_changed",
    ]
    assert all(message["params"]["_meta"][f"{META}subscriptionId"] for message in heard)


# The handshake versions, at the same endpoint


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        (MODERN, HANDSHAKE),
        ("2099-01-01", HANDSHAKE),
    ],
)
async def test_a_handshake_settles_on_a_version(gate: Gate, asked: str, answered: str) -> None:
    params: Any = INITIALIZE["params"]
    message = INITIALIZE | {"params": {**params, "protocolVersion": asked}}
    answer = await gate.post(message)
    assert result(answer)["protocolVersion"] == answered
    session_id = answer.headers["mcp-session-id"]
    assert len(session_id) >= 32
    assert session_id.isascii()
    assert session_id.isprintable()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"MCP-Protocol-Version": None}, 200),
        ({"MCP-Protocol-Version": "1999-01-01"}, 400),
        ({"Mcp-Session-Id": None}, 400),
        ({"Mcp-Session-Id": "0" * 32}, 404),
    ],
    ids=str,
)
async def test_a_request_of_a_session_names_it(
    gate: Gate, changes: dict[str, str | None], status: int
) -> None:
    session = await gate.open_session()
    answer = await gate.post(rpc("ping"), **without(session | changes))
    assert answer.status_code == status


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 9, "result": {}},
    ],
)
async def test_notifications_and_responses_are_accepted(
    gate: Gate, message: dict[str, Any]
) -> None:
    answer = await gate.post(message, **await gate.open_session())
    assert answer.status_code == 202


async def test_a_session_has_a_stream_to_get(gate: Gate) -> None:
    headers = wire(GOOD, await gate.open_session())
    async with (
        httpx2.AsyncClient(transport=StreamingTransport(gate.app), base_url=ISSUER) as http,
        http.stream("GET", "/mcp", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["x-accel-buffering"] == "no"


async def test_the_transport_of_2024_is_not_served(gate: Gate) -> None:
    for path in ("/sse", "/messages/", "/mcp/sse"):
        assert (await gate.http.get(path, headers=wire(GOOD, {}))).status_code == 404
