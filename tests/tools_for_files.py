"""Somebody's MCP server, as they would write it."""

from mcp.server.mcpserver import MCPServer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from resource_server.scopes import requires

mcp = MCPServer("Files")


@mcp.tool()
@requires("files:write")
async def save(path: str, text: str) -> str:
    """Save a text."""
    return f"{len(text)} characters saved to {path}"


@mcp.tool()
async def read(path: str) -> str:
    """Read a text."""
    return f"the text of {path}"


async def members(_request: Request) -> Response:
    """Refuse everybody."""
    raise HTTPException(403, headers={"X-Why": "no member"})


mcp.custom_route("/members", methods=["GET"])(members)
