"""The MCP session of the demo, through the official SDK's client."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    METHOD_NOT_FOUND,
    CallToolResult,
    PaginatedResult,
    TextContent,
    TextResourceContents,
    Tool,
)

from demo.conversation import new_http_client, unreachable, what_it_said
from demo.narration import Narrator, StepFailed, abridge, shorten

Page = TypeVar("Page", bound=PaginatedResult)
Protocol = Literal["auto", "legacy", "2026-07-28"]

FAVORITE_TOOL = "get_user_data"
MOST_PAGES = 20
MOST_READ = 10
SHOWN = 600


@dataclass(frozen=True, slots=True)
class McpEndpoint:
    """Where the MCP server is, and how to speak to it."""

    narrator: Narrator
    url: str
    protocol: Protocol = "auto"
    transport: httpx2.AsyncBaseTransport | None = None

    async def use(
        self, access_token: str, errand: Callable[[Client, Narrator], Awaitable[str]]
    ) -> str:
        """Open a session with the token, do the errand in it, and say what came of it.

        Raises StepFailed.
        """
        refusals: list[httpx2.Response] = []

        async def remember(response: httpx2.Response) -> None:
            if response.is_error:
                await response.aread()
                refusals.append(response)

        http = new_http_client(self.transport, headers={"Authorization": f"Bearer {access_token}"})
        http.event_hooks = {"response": [remember]}
        self.narrator.asked(
            f"MCP session at {self.url}", {"Authorization": f"Bearer {shorten(access_token)}"}
        )
        try:
            streams = streamable_http_client(self.url, http_client=http)
            async with http, Client(streams, mode=self.protocol) as client:
                server = client.server_info
                name = f"{server.name} {server.version}".rstrip() if server else "unnamed"
                self.narrator.answered(f"protocol {client.protocol_version}, server {name}")
                return await errand(client, self.narrator)
        except (ExceptionGroup, MCPError, StepFailed, httpx2.HTTPError) as error:
            cause = _first(error)
            if isinstance(cause, MCPError):
                said = what_it_said(refusals[-1]) if refusals else ""
                raise StepFailed(f"the MCP session failed: {cause}", said=said) from error
            if isinstance(cause, httpx2.HTTPError):
                raise unreachable(self.url, cause) from error
            raise cause from None


async def look_around(client: Client, narrator: Narrator) -> str:
    """List the resources and read them, list the tools and call one."""
    await _read_resources(client, narrator)
    return await call_tool(client, narrator)


async def call_tool(client: Client, narrator: Narrator) -> str:
    """Call the tutorial's tool about ourselves, or the first that asks for nothing."""
    narrator.asked("tools/list")
    tools = [tool for page in await _pages(client.list_tools) for tool in page.tools]
    narrator.answered(", ".join(tool.name for tool in tools) or "no tools")
    chosen = choose_tool(tools)
    if chosen is None:
        narrator.note("no tool can be called without arguments, so none is called")
        return "No tool was called."
    name, arguments = chosen
    narrator.asked(f"tools/call {name}", arguments)
    result = await client.call_tool(name, arguments)
    narrator.answered("the tool refused" if result.is_error else "the tool answered")
    narrator.note(_shown(result))
    if result.is_error:
        raise StepFailed(f"the tool {name} answered with an error", said=_shown(result))
    return f"{name} answered: {_in_a_line(result)}"


def choose_tool(tools: list[Tool]) -> tuple[str, dict[str, Any]] | None:
    """A tool that is safe to try: the tutorial's, else one that only reads, else any harmless one.

    A tool that says of itself that it destroys is never tried.
    """
    if any(tool.name == FAVORITE_TOOL for tool in tools):
        return FAVORITE_TOOL, {"user_id": "current"}
    willing = [
        tool
        for tool in tools
        if not tool.input_schema.get("required")
        and not (tool.annotations and tool.annotations.destructive_hint)
    ]
    reading = [tool for tool in willing if tool.annotations and tool.annotations.read_only_hint]
    return next(((tool.name, {}) for tool in reading + willing), None)


async def _read_resources(client: Client, narrator: Narrator) -> None:
    narrator.asked("resources/list")
    pages = await _pages(client.list_resources)
    resources = [resource for page in pages for resource in page.resources]
    narrator.answered(", ".join(resource.uri for resource in resources) or "no resources")
    for resource in resources[:MOST_READ]:
        narrator.asked(f"resources/read {resource.uri}")
        for content in (await client.read_resource(resource.uri)).contents:
            narrator.answered(content.mime_type or "contents")
            if isinstance(content, TextResourceContents):
                narrator.note(abridge(content.text, SHOWN))


async def _pages(ask: Callable[..., Awaitable[Page]]) -> list[Page]:
    """The pages of a list, a reasonable number; none where the server knows no such list."""
    pages: list[Page] = []
    cursor: str | None = None
    try:
        while not pages or (cursor is not None and len(pages) < MOST_PAGES):
            pages.append(await ask(cursor=cursor))
            cursor = pages[-1].next_cursor
    except MCPError as error:
        if error.code != METHOD_NOT_FOUND:
            raise
    return pages


def _shown(result: CallToolResult) -> str:
    texts = [block.text for block in result.content if isinstance(block, TextContent)]
    if texts:
        return abridge("\n".join(texts), SHOWN)
    return abridge(json.dumps(result.structured_content, ensure_ascii=False), SHOWN)


def _in_a_line(result: CallToolResult) -> str:
    members = result.structured_content or {}
    if members and all(isinstance(value, str | int | None) for value in members.values()):
        return abridge(", ".join(f"{name} {value}" for name, value in members.items()), SHOWN)
    return abridge(" ".join(_shown(result).split()))


def _first(error: Exception) -> Exception:
    """What went wrong inside the task groups that the SDK works with."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
