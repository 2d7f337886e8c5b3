"""The first request of an MCP client, in the words of both eras of the protocol."""

from dataclasses import dataclass
from typing import Any, Final

_CLIENT = {"name": "latchgate-demo", "version": "1"}
_ACCEPT = {"Accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """A JSON-RPC message and the HTTP headers that go with it."""

    name: str
    headers: dict[str, str]
    message: dict[str, Any]


HANDSHAKE: Final = FirstRequest(
    "initialize",
    _ACCEPT,
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": _CLIENT},
    },
)
"""What every MCP server of every age understands."""

DISCOVER: Final = FirstRequest(
    "server/discover",
    _ACCEPT | {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "server/discover"},
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "server/discover",
        "params": {
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": _CLIENT,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
        },
    },
)
"""What clients of the 2026-07-28 protocol ask first."""
