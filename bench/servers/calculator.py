"""What every MCP server here offers: a tool and a resource that cost next to nothing."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver import Context, MCPServer

TEXT = "What is left is the way to it."


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def text() -> str:
    """A short text."""
    return TEXT


def create_calculator() -> MCPServer[Any]:
    """The server as Latchgate loads it."""
    return calculator()


def create_sync() -> MCPServer[Any]:
    """The same with a tool that is no coroutine: the SDK calls it in a thread."""

    def add(a: int, b: int) -> int:
        return a + b

    mcp: MCPServer[Any] = MCPServer("Calculator", log_level="WARNING")
    mcp.tool()(add)
    return mcp


def create_speaking() -> MCPServer[Any]:
    """The same with a tool that may report on its way, so that its answer comes as a stream."""

    async def add(a: int, b: int, ctx: Context) -> int:  # noqa: ARG001 - it could
        return a + b

    mcp: MCPServer[Any] = MCPServer("Calculator", log_level="WARNING")
    mcp.tool()(add)
    return mcp


def create_collecting() -> MCPServer[Any]:
    """The same, and the garbage collector as Python sets it up, once the server runs."""

    @asynccontextmanager
    async def lifespan(_: MCPServer[Any]) -> AsyncIterator[None]:
        gc.unfreeze()
        gc.set_threshold(700, 10, 10)
        yield

    return calculator(lifespan=lifespan)


def calculator(**options: Any) -> MCPServer[Any]:
    """The server as the SDK makes it."""
    mcp: MCPServer[Any] = MCPServer("Calculator", log_level="WARNING", **options)
    mcp.tool()(add)
    mcp.resource("bench://text")(text)
    return mcp
