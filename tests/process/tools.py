"""The MCP server of the experiments: LATCHGATE_MCP_SERVER=tests.process.tools:create."""

import logging
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer

logger = logging.getLogger("latchgate.experiments")


def create() -> MCPServer[Any]:
    """One tool, which takes as long as it is told to."""
    mcp: MCPServer[Any] = MCPServer("Experiments")

    @mcp.tool()
    async def wait(seconds: float) -> str:
        """Answer after so many seconds."""
        logger.info("waiting")
        await anyio.sleep(seconds)
        return "waited"

    return mcp
