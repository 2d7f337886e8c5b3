"""Requests of MCP clients, in both eras of the protocol, as bytes."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from bench.http_client import Answer, Connection, request

Era = Literal["2026-07-28", "2025-11-25"]
ERAS: tuple[Era, ...] = ("2026-07-28", "2025-11-25")

_ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
OPERATIONS: dict[str, tuple[dict[str, Any], bytes]] = {
    "tools/call": ({"name": "add", "arguments": {"a": 1, "b": 2}}, b'"result":3'),
    "tools/list": ({}, b'"inputSchema"'),
    "resources/read": ({"uri": "bench://text"}, b"the way to it"),
}
"""The parameters of each, and what a right answer contains."""


class WrongAnswer(Exception):
    """A server answered something else than it should have."""


def authorization(access_token: str | None) -> dict[str, str]:
    """The header that carries a token, if there is one."""
    return {"Authorization": f"Bearer {access_token}"} if access_token else {}


def modern(
    url: str, method: str, params: Mapping[str, Any], access_token: str | None = None
) -> bytes:
    """A request of 2026-07-28: all that it needs is in it."""
    headers, body = modern_parts(method, params, access_token)
    return request("POST", url, headers, body)


def modern_parts(
    method: str, params: Mapping[str, Any], access_token: str | None = None
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of the same."""
    headers = {**_ACCEPT, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    name = params.get("name") or params.get("uri")
    if name:
        headers["Mcp-Name"] = name
    return headers | authorization(access_token), _message(method, {**params, "_meta": _META})


def handshake(
    url: str, method: str, params: Mapping[str, Any], access_token: str | None, session: str
) -> bytes:
    """A request of 2025-11-25 within a session."""
    headers = {**_ACCEPT, "MCP-Protocol-Version": "2025-11-25"} | authorization(access_token)
    if session:
        headers["Mcp-Session-Id"] = session
    return request("POST", url, headers, _message(method, params))


async def begin_session(connection: Connection, url: str, access_token: str | None) -> str:
    """Shake hands as clients of 2025-11-25 do; the session's id, empty if there are none."""
    hello = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    answer = await connection.ask(handshake(url, "initialize", hello, access_token, ""))
    expect(answer, 200)
    session = answer.header("mcp-session-id")
    headers = {**_ACCEPT, "MCP-Protocol-Version": "2025-11-25"} | authorization(access_token)
    if session:
        headers["Mcp-Session-Id"] = session
    body = json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
    expect(await connection.ask(request("POST", url, headers, body)), 202, 200)
    return session


async def prepared(
    connection: Connection, url: str, era: Era, operation: str, access_token: str | None
) -> tuple[bytes, bytes]:
    """A request that may be sent again and again, and what its answers contain."""
    params, contains = OPERATIONS[operation]
    if era == "2026-07-28":
        return modern(url, operation, params, access_token), contains
    session = await begin_session(connection, url, access_token)
    return handshake(url, operation, params, access_token, session), contains


def expect(answer: Answer, *statuses: int) -> Answer:
    """The answer, or WrongAnswer if its status is none of these."""
    if answer.status not in statuses:
        raise WrongAnswer(f"{answer.status} instead of {statuses}: {answer.body[:300]!r}")
    return answer


def _message(method: str, params: Mapping[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.dumps(message, separators=(",", ":")).encode()
