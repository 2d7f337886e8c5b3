"""Which scopes a call needs, and the step-up that asks for them (MCP authorization, RFC 6750)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resources import FileResource
from mcp.shared.exceptions import MCPError
from mcp_types import Completion

from resource_server.scopes import requires, scopes_needed
from tests.clock import Clock
from tests.resource_server_kit import (
    ERAS,
    GOOD,
    HANDSHAKE,
    METADATA,
    MODERN,
    WRITING,
    Gate,
    events,
    modern,
    result,
    rpc,
    serving,
)


def new_server() -> MCPServer[Any]:
    """An MCP server with something of each kind that needs a scope."""
    mcp: MCPServer[Any] = MCPServer("Files")

    @mcp.tool()
    @requires("files:write")
    def save(path: str) -> str:
        return path

    @requires("files:write", "files:delete")
    @mcp.tool()
    async def remove(path: str) -> str:
        return path

    @mcp.tool()
    async def look() -> str:
        return "seen"

    @mcp.tool(name="Löschen")
    @requires("files:delete")
    async def delete() -> str:
        return "gone"

    @requires("files:read")
    @mcp.resource("file://index")
    async def index() -> str:
        return "index"

    @mcp.resource("file://{name}/text")
    @requires("files:read", "files:text")
    async def text(name: str) -> str:
        return name

    @mcp.resource("open://{name}")
    async def open_to_all(name: str) -> str:
        return name

    @mcp.prompt()
    @requires("prompts:use")
    def ask(question: str) -> str:
        return question

    @mcp.completion()  # type: ignore[no-untyped-call, untyped-decorator]
    async def complete(*_: Any) -> Completion:
        return Completion(values=["one", "two"])

    mcp.add_resource(FileResource(uri="disk://this", path=Path(__file__).absolute()))
    return mcp


def completing(kind: str, **ref: str) -> dict[str, Any]:
    """The parameters of a completion for a prompt or a resource."""
    return {"ref": {"type": kind, **ref}, "argument": {"name": "name", "value": "o"}}


NEEDS = [
    ("tools/call", {"name": "save", "arguments": {"path": "x"}}, "files:write"),
    ("tools/call", {"name": "remove", "arguments": {"path": "x"}}, "files:write files:delete"),
    ("tools/call", {"name": "Löschen", "arguments": {}}, "files:delete"),
    ("tools/call", {"name": "look", "arguments": {}}, ""),
    ("resources/read", {"uri": "file://index"}, "files:read"),
    ("resources/read", {"uri": "file://a/text"}, "files:read files:text"),
    ("resources/read", {"uri": "open://a"}, ""),
    ("resources/read", {"uri": "disk://this"}, ""),
    ("prompts/get", {"name": "ask", "arguments": {"question": "?"}}, "prompts:use"),
    ("completion/complete", completing("ref/prompt", name="ask"), "prompts:use"),
    ("completion/complete", completing("ref/prompt", name="ask", uri="open://a"), "prompts:use"),
    (
        "completion/complete",
        completing("ref/resource", uri="file://{name}/text"),
        "files:read files:text",
    ),
    ("completion/complete", completing("ref/resource", uri="file://index"), "files:read"),
    (
        "completion/complete",
        completing("ref/resource", uri="file://index", name="look"),
        "files:read",
    ),
    ("completion/complete", completing("ref/resource", uri="open://{name}"), ""),
]


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving(clock, new_server()) as gate:
        gate.tokens.add("other", scopes=["user", "other:scope", "offline_access"])
        yield gate


def assert_step_up(answer: Any, scopes: str) -> None:
    """The answer is 403 and asks for these scopes besides those held."""
    assert answer.status_code == 403
    expected = (
        f'Bearer error="insufficient_scope", resource_metadata="{METADATA}", '
        f'scope="user other:scope {scopes}", '
    )
    assert answer.headers["www-authenticate"].startswith(expected)
    assert answer.json()["error"] == "insufficient_scope"


@pytest.mark.parametrize(("method", "params", "scopes"), NEEDS)
async def test_a_call_without_its_scopes_is_403_in_the_stateless_protocol(
    gate: Gate, method: str, params: dict[str, Any], scopes: str
) -> None:
    answer = await gate.ask(method, "other", **params)
    if scopes:
        assert_step_up(answer, scopes)
    else:
        assert answer.status_code == 200
    gate.tokens.add("enough", scopes=["user", *scopes.split()])
    assert "error" not in (await gate.ask(method, "enough", **params)).json()


@pytest.mark.parametrize(("method", "params", "scopes"), NEEDS)
async def test_a_call_without_its_scopes_is_403_in_the_handshake_versions(
    gate: Gate, method: str, params: dict[str, Any], scopes: str
) -> None:
    session = await gate.open_session("other")
    answer = await gate.post(rpc(method, **params), "other", **session)
    if scopes:
        assert_step_up(answer, scopes)
    gate.tokens.add("other", scopes=["user", *scopes.split()])
    answer = await gate.post(rpc(method, **params), "other", **session)
    assert "error" not in events(answer)[-1]


async def test_a_batch_is_refused_whatever_its_calls_need(gate: Gate) -> None:
    batch = [rpc("tools/call", name=name, arguments={}) for name in ("look", "save", "Löschen")]
    assert (await gate.post(batch, "other")).status_code == 400


async def test_subscribing_to_a_resource_needs_what_reading_it_needs(gate: Gate) -> None:
    session = await gate.open_session("other")
    answer = await gate.post(rpc("resources/subscribe", uri="file://index"), "other", **session)
    assert_step_up(answer, "files:read")


@pytest.mark.parametrize("member", ["resourceSubscriptions", "resource_subscriptions"])
async def test_listening_to_resources_needs_what_reading_all_of_them_needs(
    gate: Gate, member: str
) -> None:
    uris = ["open://a", "file://index", "file://a/text"]
    answer = await gate.ask("subscriptions/listen", "other", notifications={member: uris})
    assert_step_up(answer, "files:read files:text")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("completion/complete", completing("ref/prompt", name="ask")),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["file://index"]}}),
    ],
)
async def test_what_is_named_within_is_checked_again_as_it_is_dispatched(
    clock: Clock, method: str, params: dict[str, Any]
) -> None:
    def change(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        return call_next(replace(ctx, params={**(ctx.params or {}), **params}))

    mcp = new_server()
    mcp.middleware.append(change)
    async with serving(clock, mcp) as gate:
        harmless = {
            "completion/complete": completing("ref/resource", uri="open://{name}"),
            "subscriptions/listen": {"notifications": {"resourceSubscriptions": ["open://a"]}},
        }
        answer = await gate.ask(method, **harmless[method])
        assert events(answer)[-1]["error"]["message"] == "insufficient_scope"


@pytest.mark.parametrize(
    "message",
    [
        "text",
        7,
        [],
        [7],
        {},
        rpc("tools/call"),
        rpc("tools/call", name=7),
        rpc("tools/call", name="no such tool"),
        rpc("resources/read", uri="no://such"),
        rpc("resources/read", uri="open://.."),
        rpc("prompts/get", name="no such prompt"),
        rpc("completion/complete"),
        rpc("completion/complete", ref=7),
        rpc("completion/complete", ref={"type": "ref/prompt", "name": ["ask"]}),
        rpc("subscriptions/listen", notifications={"resourceSubscriptions": "file://index"}),
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": [1]},
        {"jsonrpc": "2.0", "id": 1, "method": ["tools/call"]},
    ],
)
async def test_what_names_nothing_needs_no_scope_and_the_sdk_answers(
    gate: Gate, message: Any
) -> None:
    session = await gate.open_session("other")
    answer = await gate.post(message, "other", **session)
    assert answer.status_code in {200, 400}
    assert "www-authenticate" not in answer.headers


async def test_a_body_that_is_no_json_is_the_sdk_s_to_refuse(gate: Gate) -> None:
    session = await gate.open_session()
    headers = {"Authorization": f"Bearer {GOOD}", "Content-Type": "application/json", **session}
    headers["Accept"] = "application/json, text/event-stream"
    assert (await gate.http.post("/mcp", content=b"{", headers=headers)).status_code == 400
    assert (await gate.http.post("/mcp", content=b"", headers=headers)).status_code == 400


async def test_a_body_over_4_mib_is_413_and_not_looked_into(gate: Gate) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "save", '
        yield b'"x": "'
        for _ in range(5):
            yield b"x" * 1024 * 1024
        yield b'"}}'

    answer = await gate.http.post("/mcp", content=body(), headers={"Authorization": "Bearer other"})
    assert answer.status_code == 413


@pytest.mark.parametrize("headers", [{"Mcp_Name": "look"}, {"Mcp_Method": "tools/list"}])
async def test_a_header_that_says_less_than_the_body_gets_nothing_through(
    gate: Gate, headers: dict[str, str]
) -> None:
    message = modern("tools/call", name="save", arguments={"path": "x"})
    truth = {"Mcp_Method": "tools/call", "Mcp_Name": "save", "MCP_Protocol_Version": MODERN}
    answer = await gate.post(message, "other", **(truth | headers))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32020


@pytest.mark.parametrize("name", ["=?base64?c2F2ZQ==?=", "=?base64?c2F2ZQ?=", "=?base64?/w==?="])
async def test_an_encoded_name_is_decoded_or_refused(gate: Gate, name: str) -> None:
    message = modern("tools/call", name="save", arguments={"path": "x"})
    headers = {"Mcp_Method": "tools/call", "Mcp_Name": name, "MCP_Protocol_Version": MODERN}
    answer = await gate.post(message, "other", **headers)
    assert answer.status_code == (403 if name == "=?base64?c2F2ZQ==?=" else 400)


async def test_of_two_protocol_versions_the_first_decides_as_it_does_for_the_sdk(
    gate: Gate,
) -> None:
    versions = [("MCP-Protocol-Version", version) for version in (HANDSHAKE, MODERN)]
    session = await gate.open_session("other")
    headers = [
        ("Authorization", "Bearer other"),
        ("Accept", "application/json, text/event-stream"),
        ("Mcp-Session-Id", session["Mcp-Session-Id"]),
        ("Mcp-Method", "tools/list"),
        *versions,
    ]
    message = rpc("tools/call", name="save", arguments={"path": "x"})
    assert_step_up(await gate.http.post("/mcp", json=message, headers=headers), "files:write")


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_is_checked_again_as_it_is_dispatched(clock: Clock, era: str) -> None:
    async def redirect(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        is_call = ctx.method == "tools/call" and ctx.params is not None
        params = {**(ctx.params or {}), "name": "save"}
        return await call_next(replace(ctx, params=params) if is_call else ctx)

    mcp = new_server()
    mcp.middleware.append(redirect)
    async with serving(clock, mcp) as gate:
        async with gate.client(era) as client:
            with pytest.raises(MCPError, match="insufficient_scope"):
                await client.call_tool("look", {"path": "x"})
        gate.tokens.add(GOOD, scopes=["user", "files:write"])
        async with gate.client(era) as client:
            assert not (await client.call_tool("look", {"path": "x"})).is_error


async def test_reached_past_the_gate_a_call_is_still_checked(clock: Clock) -> None:
    mcp = new_server()
    async with serving(clock, mcp), Client(mcp) as client:
        with pytest.raises(MCPError, match="insufficient_scope"):
            await client.call_tool("save", {"path": "x"})


async def test_a_tool_that_is_added_later_is_gated_too(clock: Clock) -> None:
    mcp = new_server()
    async with serving(clock, mcp) as gate:

        @requires("late")
        async def late() -> str:
            return "late"

        mcp.add_tool(late)
        assert (await gate.ask("tools/call", name="late", arguments={})).status_code == 403


async def test_lists_say_what_each_entry_needs(gate: Gate) -> None:
    tools = {tool["name"]: tool["_meta"] for tool in result(await gate.ask("tools/list"))["tools"]}
    scopes = ["user", "files:write"]
    assert tools["save"] == {
        "latchgate/scopes": scopes,
        "securitySchemes": [{"type": "oauth2", "scopes": scopes}],
    }
    assert tools["look"]["latchgate/scopes"] == ["user"]
    resources = result(await gate.ask("resources/list"))["resources"]
    by_uri = {resource["uri"]: resource["_meta"] for resource in resources}
    assert by_uri["file://index"] == {"latchgate/scopes": ["user", "files:read"]}
    templates = result(await gate.ask("resources/templates/list"))["resourceTemplates"]
    assert templates[0]["_meta"] == {"latchgate/scopes": ["user", "files:read", "files:text"]}
    prompts = result(await gate.ask("prompts/list"))["prompts"]
    assert prompts[0]["_meta"] == {"latchgate/scopes": ["user", "prompts:use"]}


@pytest.mark.parametrize("era", ERAS)
async def test_what_the_caller_may_not_use_can_be_hidden(clock: Clock, era: str) -> None:
    async with serving(clock, new_server(), is_hiding=True) as gate:
        gate.tokens.add("deleter", scopes=["user", "files:delete"])
        for token, names in {GOOD: {"look"}, "deleter": {"look", "Löschen"}}.items():
            async with gate.client(era, token) as client:
                assert {tool.name for tool in (await client.list_tools()).tools} == names
                assert len((await client.list_resource_templates()).resource_templates) == 1


@pytest.mark.parametrize(("is_hiding", "cache_scope"), [(True, "private"), (False, "public")])
async def test_a_list_that_depends_on_the_token_is_not_shared_between_tokens(
    clock: Clock, *, is_hiding: bool, cache_scope: str
) -> None:
    hint = CacheHint(ttl_ms=1000, scope="public")
    mcp: MCPServer[Any] = MCPServer("Cached", cache_hints={"tools/list": hint})
    async with serving(clock, mcp, is_hiding=is_hiding) as gate:
        assert result(await gate.ask("tools/list"))["cacheScope"] == cache_scope


async def test_the_shipped_tool_steps_up(clock: Clock) -> None:
    async with serving(clock) as gate:
        call: dict[str, Any] = {"name": "update_profile", "arguments": {"name": "Alicia"}}
        answer = await gate.ask("tools/call", **call)
        assert answer.status_code == 403
        assert 'scope="user user:write"' in answer.headers["www-authenticate"]
        answer = await gate.ask("tools/call", WRITING, **call)
        assert result(answer)["structuredContent"]["name"] == "Alicia"


def test_all_scopes_of_a_server_can_be_listed() -> None:
    assert tuple(scopes_needed(new_server())) == (
        "files:write",
        "files:delete",
        "files:read",
        "files:text",
        "prompts:use",
    )


def test_what_needs_a_scope_is_told_by_title_or_name() -> None:
    mcp: MCPServer[Any] = MCPServer("Files")

    @requires("files:write")
    def delete() -> None: ...

    @requires("files:read")
    def notes() -> str:
        return ""

    mcp.add_tool(delete, "save", "Save a file")
    mcp.add_tool(delete)
    mcp.resource("notes://all", title="All notes")(notes)
    assert scopes_needed(mcp) == {
        "files:write": ("Save a file", "delete"),
        "files:read": ("All notes",),
    }


def test_what_is_required_twice_is_required_once() -> None:
    @requires("a", "b")
    @requires("b", "c")
    def function() -> None: ...

    mcp: MCPServer[Any] = MCPServer("Twice")
    mcp.add_tool(function)
    assert tuple(scopes_needed(mcp)) == ("a", "b", "c")


@pytest.mark.parametrize("scopes", [(), ("",), ("a b",), ('a"',), ("a\\",), ("ä",)])
def test_a_scope_outside_the_alphabet_is_refused_where_it_is_written(scopes: tuple[str]) -> None:
    with pytest.raises(ValueError, match="requires"):
        requires(*scopes)
