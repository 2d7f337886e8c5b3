"""The MCP endpoint and the server that comes along, in both eras of the protocol."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.context import ClientRequestContext
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ElicitRequestParams, ElicitResult, LoggingMessageNotificationParams
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from origins import Origins
from resource_server.protected_resource import is_stateless
from resource_server.server import create_mcp_server
from settings import Settings
from tests.clock import Clock
from tests.resource_server_kit import (
    ERAS,
    GOOD,
    HANDSHAKE,
    INITIALIZE,
    MODERN,
    WRITING,
    Gate,
    Records,
    modern,
    modern_headers,
    new_token,
    result,
    rpc,
    serving,
)

JSON, STREAM = "application/json", "text/event-stream"
LOOK = {"name": "look", "arguments": {}}


@pytest.fixture
async def gate(clock: Clock) -> AsyncIterator[Gate]:
    async with serving(clock) as gate:
        yield gate


class Answer(BaseModel):
    """What a person is asked for."""

    yes: bool


def talkative_server() -> MCPServer[Any]:
    """An MCP server whose tools say something before they answer."""
    mcp: MCPServer[Any] = MCPServer("Talkative")

    @mcp.tool()
    async def look() -> str:
        return "seen"

    @mcp.tool()
    def look_in_a_thread() -> str:
        return "seen"

    @mcp.tool()
    async def count(ctx: Context[Any, Any]) -> str:
        for number in (1, 2):
            await ctx.report_progress(number, 2)
        return "counted"

    @mcp.tool()
    async def tell(ctx: Context[Any, Any]) -> str:
        await ctx.session.send_log_message("info", "told", related_request_id=ctx.request_id)
        return "told"

    @mcp.tool()
    async def ask(ctx: Context[Any, Any]) -> str:
        answer = await ctx.elicit("Really?", Answer)
        return answer.action

    add_greetings(mcp)
    return mcp


def add_greetings(mcp: MCPServer[Any]) -> None:
    """Something else than tools."""

    @mcp.resource("user://{name}")
    async def greet(name: str) -> str:
        return f"Hello {name}"

    @mcp.resource("slow://{name}")
    async def slowly(name: str, ctx: Context[Any, Any]) -> str:
        await ctx.report_progress(1, 1)
        return name

    @mcp.prompt()
    async def hint() -> str:
        return "Look!"


@pytest.mark.parametrize("era", ERAS)
async def test_the_sdk_s_client_reads_and_calls_everything(gate: Gate, era: str) -> None:
    async with gate.client(era, WRITING) as client:
        resources = {str(r.uri) for r in (await client.list_resources()).resources}
        assert resources == {"user://profile", "user://stats"}
        profile = (await client.read_resource("user://profile")).contents[0]
        assert profile.mime_type == JSON
        assert {tool.name for tool in (await client.list_tools()).tools} == {
            "get_user_data",
            "update_profile",
        }
        called = await client.call_tool("get_user_data", {"user_id": "current"})
        assert called.structured_content == {
            "user_id": "person_1",
            "username": "alice",
            "status": "active",
            "last_login": "1970-01-01T00:01:00+00:00",
        }


async def test_the_resources_are_about_the_person_who_asks(gate: Gate) -> None:
    async def read(uri: str, token: str = GOOD) -> Any:
        text = result(await gate.ask("resources/read", token, uri=uri))["contents"][0]["text"]
        return httpx2.Response(200, text=text).json()

    assert await read("user://profile") == {
        "user_id": "person_1",
        "username": "alice",
        "name": "Alice",
        "email": "a@example.com",
        "role": "admin",
        "roles": ["admin", "user"],
    }
    assert await read("user://stats") == {
        "user_id": "person_1",
        "requests_today": 3,
        "last_active": "1970-01-01T00:02:00+00:00",
    }
    gate.tokens.add("bob", subject="person_2")
    assert (await read("user://profile", "bob"))["role"] == ""
    assert (await read("user://stats", "bob"))["last_active"] is None


@pytest.mark.parametrize("user_id", ["current", "person_1", "alice"])
async def test_one_s_own_data_is_found_by_any_of_one_s_names(gate: Gate, user_id: str) -> None:
    answer = await gate.ask("tools/call", name="get_user_data", arguments={"user_id": user_id})
    assert result(answer)["structuredContent"]["username"] == "alice"


@pytest.mark.parametrize("user_id", ["bob", "person_2", "nobody", "", "ALICE"])
async def test_others_are_unknown_whether_they_exist_or_not(gate: Gate, user_id: str) -> None:
    answer = await gate.ask("tools/call", name="get_user_data", arguments={"user_id": user_id})
    assert result(answer)["structuredContent"] == {
        "user_id": user_id,
        "status": "unknown",
        "error": "You may not see this user, or there is no such user.",
    }


@pytest.mark.parametrize("subject", [None, "person_3"])
async def test_a_token_of_nobody_on_record_is_told_so(gate: Gate, subject: str | None) -> None:
    gate.tokens.add("ghost", subject=subject)
    called = result(await gate.ask("tools/call", "ghost", name="get_user_data", arguments={}))
    assert called["isError"]
    assert "Nobody is signed in." in called["content"][0]["text"]
    read = await gate.ask("resources/read", "ghost", uri="user://profile")
    assert read.json()["error"]["message"] == "Nobody is signed in."


async def test_without_a_token_the_tools_refuse() -> None:
    with pytest.raises(ToolError, match="Nobody is signed in"):
        await create_mcp_server(Records()).call_tool("get_user_data", {})


async def test_a_profile_is_updated_or_the_person_is_told_why_not(gate: Gate) -> None:
    async def update(**arguments: str) -> Any:
        params = {"name": "update_profile", "arguments": arguments}
        return result(await gate.ask("tools/call", WRITING, **params))

    assert (await update(email="new@example.com"))["structuredContent"][
        "email"
    ] == "new@example.com"
    refused = await update(email="nonsense")
    assert refused["isError"]
    assert "That is no e-mail address." in refused["content"][0]["text"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_both_spellings_of_the_path_are_served_without_redirect(
    gate: Gate, path: str
) -> None:
    headers = {"Authorization": f"Bearer {GOOD}", "Accept": f"{JSON}, {STREAM}"}
    answer = await gate.http.post(
        path, json=modern("tools/list"), headers=headers | modern_headers("tools/list")
    )
    assert answer.status_code == 200


async def test_an_unknown_session_is_404_so_that_clients_start_anew(gate: Gate) -> None:
    for method in ("POST", "GET", "DELETE"):
        headers = {"Authorization": f"Bearer {GOOD}", "Mcp-Session-Id": "unknown", "Accept": STREAM}
        answer = await gate.http.request(method, "/mcp", json=rpc("ping"), headers=headers)
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"token": "refreshed", "scopes": ["user", "more"]}, 200),
        ({"subject": "person_2"}, 404),
        ({"client_id": "client_2"}, 404),
        ({"claims": {"iss": "https://other.example"}}, 404),
    ],
)
async def test_a_session_belongs_to_one_person_and_client_not_to_one_token(
    gate: Gate, changes: dict[str, Any], status: int
) -> None:
    session = await gate.open_session()
    gate.tokens.by_value["next"] = new_token(**changes)
    assert (await gate.post(rpc("tools/list"), "next", **session)).status_code == status
    assert (await gate.post(rpc("tools/list"), **session)).status_code == 200


async def test_a_session_that_was_deleted_is_gone(gate: Gate) -> None:
    session = await gate.open_session()
    headers = session | {"Authorization": f"Bearer {GOOD}"}
    assert (await gate.http.delete("/mcp", headers=headers)).status_code == 200
    assert (await gate.post(rpc("tools/list"), **session)).status_code == 404


async def test_a_session_that_lies_idle_is_forgotten(clock: Clock) -> None:
    mcp = create_mcp_server(Records())
    async with serving(clock, mcp) as gate:
        assert mcp.session_manager.session_idle_timeout == 30 * 60
        mcp.session_manager.session_idle_timeout = 0.01
        session = await gate.open_session()
        is_known = True
        with anyio.fail_after(5):
            while is_known:  # the SDK tells nobody, and has a clock of its own
                await anyio.sleep(0.02)
                is_known = (await gate.post(rpc("ping"), **session)).status_code == 200
        assert (await gate.post(rpc("ping"), **session)).status_code == 404


async def test_the_stateless_protocol_knows_no_sessions(gate: Gate) -> None:
    headers = modern_headers("tools/list") | {"Mcp-Session-Id": "whatever"}
    answer = await gate.post(modern("tools/list"), **headers)
    assert answer.status_code == 200
    assert "mcp-session-id" not in answer.headers
    headers = {"Authorization": f"Bearer {GOOD}", "MCP-Protocol-Version": MODERN}
    assert (await gate.http.get("/mcp", headers=headers)).status_code == 405


async def test_without_sessions_the_handshake_versions_are_served_too(clock: Clock) -> None:
    async with serving(clock, talkative_server(), is_stateless=True) as gate:
        answer = await gate.post(INITIALIZE)
        assert "mcp-session-id" not in answer.headers
        answer = await gate.post(rpc("tools/call", **LOOK), MCP_Protocol_Version=HANDSHAKE)
        assert answer.headers["content-type"] == JSON
        assert result(answer)["content"][0]["text"] == "seen"


@pytest.mark.parametrize(
    ("sessions", "store", "expected"),
    [
        ("auto", "memory://", False),
        ("auto", "sqlite:///x", False),
        ("auto", "valkey://host", True),
        ("auto", "rediss://host", True),
        ("stateful", "valkey://host", False),
        ("stateless", "memory://", True),
    ],
)
def test_sessions_are_kept_unless_several_processes_share_the_store(
    *, sessions: Any, store: str, expected: bool
) -> None:
    settings = Settings.model_construct(mcp_sessions=sessions, store_url=store)
    assert is_stateless(settings) is expected


QUIET = [
    ("tools/list", {}),
    ("tools/call", LOOK),
    ("tools/call", {"name": "look_in_a_thread", "arguments": {}}),
    ("tools/call", {"name": "no such tool", "arguments": {}}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "user://x"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "hint"}),
]
SPEAKING = [
    ("tools/call", {"name": "tell", "arguments": {}}),
    ("resources/read", {"uri": "slow://x"}),
]


@pytest.mark.parametrize(
    ("method", "params", "media_type"),
    [(*call, JSON) for call in QUIET] + [(*call, STREAM) for call in SPEAKING],
)
async def test_what_cannot_stream_is_answered_as_json_in_a_session(
    clock: Clock, method: str, params: dict[str, Any], media_type: str
) -> None:
    async with serving(clock, talkative_server()) as gate:
        session = await gate.open_session()
        answer = await gate.post(rpc(method, **params), **session)
        assert answer.headers["content-type"].startswith(media_type)


@pytest.mark.parametrize("era", ERAS)
async def test_progress_arrives_before_the_answer(clock: Clock, era: str) -> None:
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with serving(clock, talkative_server()) as gate, gate.client(era) as client:
        called = await client.call_tool("count", {}, progress_callback=note)
        assert called.content[0].text == "counted"  # type: ignore[union-attr]
    assert seen == [1, 2]


@pytest.mark.filterwarnings("ignore:The logging capability is deprecated")
async def test_what_a_tool_logs_arrives(clock: Clock) -> None:
    seen: list[Any] = []

    async def note(params: LoggingMessageNotificationParams) -> None:
        seen.append(params.data)

    async with (
        serving(clock, talkative_server()) as gate,
        gate.client(HANDSHAKE, logging_callback=note) as client,
    ):
        await client.call_tool("look", {})
        await client.call_tool("tell", {})
        await client.call_tool("look", {})
    assert seen == ["told"]


async def test_a_tool_can_ask_the_person_back(clock: Clock) -> None:
    async def accept(_context: ClientRequestContext, _params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"yes": True})

    async with (
        serving(clock, talkative_server()) as gate,
        gate.client(HANDSHAKE, elicitation_callback=accept) as client,
    ):
        assert (await client.call_tool("ask")).content[0].text == "accept"  # type: ignore[union-attr]


async def test_a_middleware_or_an_extension_may_stream_what_it_likes(clock: Clock) -> None:
    async def announce(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        return await call_next(ctx)

    mcp = talkative_server()
    mcp.middleware.append(announce)
    async with serving(clock, mcp) as gate:
        session = await gate.open_session()
        answer = await gate.post(rpc("tools/call", **LOOK), **session)
        assert answer.headers["content-type"].startswith(STREAM)


async def test_the_same_server_can_be_served_twice_and_is_gated_once(clock: Clock) -> None:
    mcp = talkative_server()
    async with serving(clock, mcp):
        pass
    async with serving(clock, mcp) as gate:
        tools = result(await gate.ask("tools/list"))["tools"]
        assert tools[0]["_meta"]["latchgate/scopes"] == ["user"]
    assert len(mcp.middleware) == 3


async def test_routes_that_the_server_declares_are_served_beside_it(clock: Clock) -> None:
    async def hello(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    mcp = talkative_server()
    mcp.custom_route("/hello", methods=["GET"])(hello)
    async with serving(clock, mcp) as gate:
        assert (await gate.http.get("/hello")).text == "hello"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("https://mcp.example.com", 200),
        ("https://other.example.com", 200),
        ("https://friend.example", 200),
        ("http://localhost:6274", 200),
        ("http://127.0.0.1:6274", 200),
        ("https://[::1]", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://localhost.evil.example", 403),
        ("https://mcp.example.com.evil.example", 403),
        ("https://mcp.example.com:444", 403),
        ("http://mcp.example.com", 403),
        ("https://friend.example.evil", 403),
        ("ftp://localhost", 403),
        ("\xff", 403),
    ],
)
async def test_only_pages_of_known_origins_may_call(
    clock: Clock, origin: str | None, status: int
) -> None:
    origins = Origins(("https://mcp.example.com", "https://other.example.com"))
    async with serving(clock, origins=origins, browser_origins=["https://friend.example"]) as gate:
        gate.tokens.add("token", resource="https://mcp.example.com/mcp")
        headers = {"Host": "mcp.example.com", **modern_headers("tools/list")}
        pairs = [(n.encode(), v.encode()) for n, v in headers.items()]
        pairs += [(b"Authorization", b"Bearer token"), (b"Accept", f"{JSON}, {STREAM}".encode())]
        pairs += [(b"Origin", origin.encode("latin-1"))] if origin is not None else []
        answer = await gate.http.post("/mcp", json=modern("tools/list"), headers=pairs)
        assert answer.status_code == status


async def test_a_refused_page_is_told_and_logged_which_setting_would_let_it_in(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        answer = await gate.http.post("/mcp", headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403
        assert "LATCHGATE_BROWSER_ORIGINS" in answer.json()["error_description"]
        assert answer.headers["access-control-allow-origin"] == "*"
    assert caplog.text.count("https://evil.example") == 1


async def test_any_page_may_call_when_the_operator_says_so(clock: Clock) -> None:
    async with serving(clock, browser_origins=["*"]) as gate:
        headers = {"Origin": "https://evil.example", **modern_headers("tools/list")}
        assert (await gate.post(modern("tools/list"), **headers)).status_code == 200
