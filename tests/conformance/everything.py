"""The MCP server that the official conformance runner calls; it prescribes every name and text.

Mounted behind our own gate: LATCHGATE_MCP_SERVER=tests.conformance.everything:create_mcp_server.
"""

import asyncio
import json
import struct
import zlib
from base64 import b64encode
from typing import Annotated, Any

from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer, Message, UserMessage
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts import Prompt
from mcp_types import (
    AudioContent,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    ContentBlock,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import Field

from tests.conformance import asking

PAUSE = 0.05
"""Seconds between two notifications, so that the runner can tell a stream from one answer."""

RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def png() -> bytes:
    """A picture of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def wav() -> bytes:
    """A sound of eight silent samples."""
    samples = bytes([128] * 8)
    form = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    content = form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(content)) + content


def image() -> ImageContent:
    """The picture as a content block."""
    return ImageContent(data=b64encode(png()).decode(), mime_type="image/png")


def embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    """A text resource as a content block."""
    return EmbeddedResource(resource=TextResourceContents(uri=uri, text=text, mime_type=mime_type))


async def test_simple_text() -> str:
    """One text."""
    return "This is a simple text response for testing."


async def test_image_content() -> ImageContent:
    """One picture."""
    return image()


async def test_audio_content() -> AudioContent:
    """One sound."""
    return AudioContent(data=b64encode(wav()).decode(), mime_type="audio/wav")


async def test_embedded_resource() -> EmbeddedResource:
    """One resource."""
    return embedded("test://embedded-resource", "This is an embedded resource content.")


async def test_multiple_content_types() -> list[ContentBlock]:
    """A text, a picture and a resource."""
    data = json.dumps({"test": "data", "value": 123}, separators=(",", ":"))
    return [
        TextContent(text="Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", data, "application/json"),
    ]


async def test_error_handling() -> str:
    """An error."""
    raise ToolError("This tool intentionally returns an error for testing")


async def test_tool_with_progress(ctx: Context[Any, Any]) -> str:
    """Three reports of progress."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100)
        await asyncio.sleep(PAUSE)
    return "done"


async def test_tool_with_logging(ctx: Context[Any, Any]) -> str:
    """Three lines of a log."""
    for line in ("execution started", "processing data", "execution completed"):
        await ctx.info(f"Tool {line}")
        await asyncio.sleep(PAUSE)
    return "done"


async def test_logging_tool(ctx: Context[Any, Any]) -> str:
    """A line of a log, for those who asked for one."""
    await ctx.info("Logged")
    return "done"


async def test_trigger_tool_change(ctx: Context[Any, Any]) -> str:
    """Tell subscribers that the tools changed."""
    await ctx.notify_tools_changed()
    return "done"


async def test_trigger_prompt_change(ctx: Context[Any, Any]) -> str:
    """Tell subscribers that the prompts changed."""
    await ctx.notify_prompts_changed()
    return "done"


async def test_reconnection(ctx: Context[Any, Any]) -> str:
    """Close the stream before the answer, which the client then fetches (SEP-1699)."""
    await ctx.close_sse_stream()
    await asyncio.sleep(PAUSE)
    return "done"


async def json_schema_2020_12_tool() -> str:
    """Tool with JSON Schema 2020-12 features."""
    return "done"


async def test_x_mcp_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> str:
    """A parameter that travels in a header too (SEP-2243)."""
    return region


async def test_simple_prompt() -> str:
    """One message."""
    return "This is a simple prompt for testing."


async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """One message with two arguments in it."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


async def test_prompt_with_embedded_resource(
    resourceUri: str,  # noqa: N803 - the runner's spelling
) -> list[Message]:
    """A resource and what to do with it."""
    return [
        UserMessage(embedded(resourceUri, "Embedded resource content for testing.")),
        UserMessage("Please process the embedded resource above."),
    ]


async def test_prompt_with_image() -> list[Message]:
    """A picture and what to do with it."""
    return [UserMessage(image()), UserMessage("Please analyze the image above.")]


def add_resources(mcp: MCPServer[Any]) -> None:
    """A text, a picture, a template, and one to subscribe to."""

    @mcp.resource("test://static-text", mime_type="text/plain")
    async def static_text() -> str:
        """A text that never changes."""
        return "This is the content of the static text resource."

    @mcp.resource("test://static-binary", mime_type="image/png")
    async def static_binary() -> bytes:
        """A picture that never changes."""
        return png()

    @mcp.resource("test://template/{id}/data", mime_type="application/json")
    async def template(id: str) -> str:  # noqa: A002 - the template's own word
        """What belongs to an id."""
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @mcp.resource("test://watched-resource", mime_type="text/plain")
    async def watched() -> str:
        """A text that one may subscribe to."""
        return "watched"


def add_methods(mcp: MCPServer[Any]) -> None:
    """Methods that the SDK leaves to the server, three of them of the handshake versions."""
    # The SDK (2.3) has no public way to add the last three, and no types for the first.
    server = mcp._lowlevel_server  # noqa: SLF001
    server.add_request_handler("completion/complete", CompleteRequestParams, complete)
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, nothing)
    server.add_request_handler("resources/subscribe", SubscribeRequestParams, nothing)
    server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, nothing)


async def complete(
    _ctx: ServerRequestContext[Any, Any], params: CompleteRequestParams
) -> CompleteResult:
    """What an argument of a prompt could become."""
    words = ("paris", "park", "party")
    values = [word for word in words if word.startswith(params.argument.value)]
    return CompleteResult(completion=Completion(values=values, total=len(values)))


async def nothing(_ctx: ServerRequestContext[Any, Any], _params: object) -> EmptyResult:
    """Accept without doing anything."""
    return EmptyResult()


TOOLS = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_tool_with_progress,
    test_tool_with_logging,
    test_logging_tool,
    test_trigger_tool_change,
    test_trigger_prompt_change,
    test_reconnection,
    test_x_mcp_header,
    json_schema_2020_12_tool,
)
PROMPTS = (
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
)


def create_mcp_server() -> MCPServer[Any]:
    """Everything that the runner's server scenarios ask for, but for the tasks extension."""
    mcp: MCPServer[Any] = MCPServer("Everything", version="1")
    for tool in (*TOOLS, *asking.TOOLS):
        mcp.add_tool(tool, structured_output=False)
    for prompt in (*PROMPTS, *asking.PROMPTS):
        mcp.add_prompt(Prompt.from_function(prompt))
    # The SDK (2.3) derives schemas from signatures and takes none that is ready.
    mcp._tool_manager._tools["json_schema_2020_12_tool"].parameters = RICH_SCHEMA  # noqa: SLF001
    add_resources(mcp)
    add_methods(mcp)
    return mcp
