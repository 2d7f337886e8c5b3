"""What every MCP server here offers: a tool and a resource that cost next to nothing."""

from typing import Any

from mcp.server.mcpserver import MCPServer

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


def calculator(**options: Any) -> MCPServer[Any]:
    """The server as the SDK makes it."""
    mcp: MCPServer[Any] = MCPServer("Calculator", log_level="WARNING", **options)
    mcp.tool()(add)
    mcp.resource("bench://text")(text)
    return mcp
