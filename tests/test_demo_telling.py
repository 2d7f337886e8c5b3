"""What the demo's client tells and tries: no secret whole, no tool that does harm, an exit code."""

import io
import json
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.server import MCPServer
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations

from demo import client
from demo.client import Journey
from demo.conversation import what_it_said
from demo.mcp_session import call_tool, choose_tool
from demo.narration import Narrator, StepFailed, shorten


@pytest.mark.parametrize(
    ("tools", "chosen"),
    [
        ([], None),
        ([("ask", {"required": ["x"]}, None)], None),
        ([("wipe", {}, ToolAnnotations(destructive_hint=True))], None),
        ([("add", {}, None), ("look", {}, ToolAnnotations(read_only_hint=True))], "look"),
        ([("add", {}, None)], "add"),
        ([("look", {}, None), ("get_user_data", {"required": ["user_id"]}, None)], "get_user_data"),
    ],
)
def test_only_a_tool_that_does_no_harm_is_tried(
    tools: list[tuple[str, dict[str, Any], ToolAnnotations | None]], chosen: str | None
) -> None:
    offered = [
        Tool(name=name, input_schema={"type": "object"} | schema, annotations=annotations)
        for name, schema, annotations in tools
    ]
    choice = choose_tool(offered)

    assert (choice[0] if choice else None) == chosen


def test_a_secret_is_shortened_wherever_it_turns_up() -> None:
    out = io.StringIO()
    narrator = Narrator(out)
    secret = "mcp_at_" + "x" * 43

    narrator.asked("POST", {"access_token": secret})
    narrator.answered("echo", {"anything": [secret], "words": f"I got {secret}"})
    narrator.failed(StepFailed("no", said=f"bad token {secret}"))

    assert secret not in out.getvalue()
    assert shorten(secret) == "mcp_at_xxx…xxxx (50 characters)"
    assert shorten("short") == "… (5 characters)"


def test_refresh_tokens_of_one_family_look_different() -> None:
    assert shorten("mcp_rt_" + "f" * 32 + "a" * 32) != shorten("mcp_rt_" + "f" * 32 + "b" * 32)


def test_at_the_end_stands_how_many_steps_it_were_and_what_the_tool_said() -> None:
    out = io.StringIO()
    narrator = Narrator(out)
    for _ in range(2):
        narrator.step("One")
    narrator.done("look answered: this")
    assert out.getvalue().endswith("\n✓ 2 steps done. look answered: this\n")


@pytest.mark.parametrize(
    ("structured", "words"),
    [
        ({"username": "admin", "status": "active", "last": None}, "username admin, status active"),
        ({"deep": {"a": 1}}, '{"deep": {"a": 1}}'),
        (None, "two lines"),
    ],
)
async def test_what_a_tool_answered_is_told_in_a_line(
    structured: dict[str, Any] | None, words: str
) -> None:
    server = MCPServer("Any")

    @server.tool(structured_output=False)
    def look() -> CallToolResult:
        text = json.dumps(structured) if structured else "two\nlines"
        content = TextContent(type="text", text=text)
        return CallToolResult(content=[content], structured_content=structured)

    async with Client(server) as client:
        answer = await call_tool(client, Narrator(io.StringIO()))
    assert answer.startswith(f"look answered: {words}")


async def test_a_server_without_tools_has_answered_nothing() -> None:
    async with Client(MCPServer("Any")) as client:
        assert await call_tool(client, Narrator(io.StringIO())) == "No tool was called."


def test_of_a_page_the_title_and_the_facts_are_quoted() -> None:
    html = (
        "<title>Not here</title><p>A long story.<dd>nothing</dd><dl><dt>Error</dt>"
        "<dd>invalid_scope</dd><dt>Reason</dt><dd>none of\n them</dd></dl><p>More."
    )
    response = httpx2.Response(400, html=html)
    assert what_it_said(response) == (
        "400 Bad Request: “Not here”; Error: invalid_scope; Reason: none of them"
    )
    response = httpx2.Response(400, html="<title>Not here</title><p>A long story.")
    assert what_it_said(response) == "400 Bad Request: A long story."


def test_a_short_secret_does_not_uncover_a_long_one_that_holds_it() -> None:
    out = io.StringIO()
    narrator = Narrator(out)
    token = "mcp_at_" + "abcdefghij" * 4

    narrator.keep_secret("e")
    narrator.asked("POST", {"access_token": token})

    assert "fghij" not in out.getvalue()


def test_a_server_cannot_write_on_the_terminal() -> None:
    out = io.StringIO()

    Narrator(out).answered("\x1b]0;owned\x07", {"client_id": "\x1b[2J"})

    assert "\x1b" not in out.getvalue()


def test_colors_are_for_those_who_want_them() -> None:
    plain, colored = io.StringIO(), io.StringIO()

    Narrator(plain).step("One")
    Narrator(colored, color=True).step("One")

    assert "\x1b[" not in plain.getvalue()
    assert "\x1b[1m" in colored.getvalue()


@pytest.mark.slow
def test_nobody_there_ends_with_1_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert client.main(["http://127.0.0.1:1/mcp", "--password", "x", "--no-color"]) == 1
    assert "cannot reach 127.0.0.1:1" in capsys.readouterr().out


def test_an_interruption_ends_with_130() -> None:
    def interrupt(_: httpx2.Request) -> httpx2.Response:
        raise KeyboardInterrupt

    transport = httpx2.MockTransport(interrupt)

    assert client.run(Journey(), Narrator(io.StringIO()), transport) == 130


def test_without_a_password_it_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())

    with pytest.raises(StepFailed) as failed:
        Journey().read_password()

    assert client.PASSWORD_VARIABLE in failed.value.remedy
