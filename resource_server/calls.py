"""What a request asks of the MCP server, known before the MCP server is asked.

Requests of 2026-07-28 carry it in headers, which the SDK compares with the body; in the handshake
versions before it only the body tells.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import pydantic_core
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE
from mcp.shared.inbound import NAME_BEARING_METHODS, decode_header_value
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import Message, Receive, Scope

NAMES = {**NAME_BEARING_METHODS, "resources/subscribe": "uri"}
"""Where in its parameters a method names the tool, prompt or resource that it is about."""


class Call(NamedTuple):
    """A JSON-RPC message: its method, and the tool, prompt or resource it names, else ""."""

    method: str
    name: str


def trim_header_values(scope: Scope) -> None:
    """Take white space off the ends of header values (RFC 9110 §5.5): httptools leaves it there.

    The SDK compares these values with the body, byte for byte.
    """
    headers = scope["headers"]
    if any(value[-1:].isspace() or value[:1].isspace() for _, value in headers):
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in headers]


async def read_calls(scope: Scope, receive: Receive) -> tuple[tuple[Call, ...], Receive]:
    """The calls of a request, and the `receive` with which the application can read it (again)."""
    if scope["method"] != "POST":
        return (), receive
    # Reversed, so that of a repeated header the first counts, as for the SDK.
    headers = dict(reversed(scope["headers"]))
    version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
    if version and version not in HANDSHAKE_PROTOCOL_VERSIONS:
        return (_call_in_headers(headers),), receive
    body, replay = await _read_body(receive)
    return _calls_in_body(body), replay


def _call_in_headers(headers: Mapping[bytes, bytes]) -> Call:
    method = headers.get(b"mcp-method", b"").decode("latin-1")
    name = decode_header_value(headers.get(b"mcp-name", b"").decode("latin-1"))
    return Call(method, name or "")


async def _read_body(receive: Receive) -> tuple[bytes, Receive]:
    """The body as far as the SDK's limit lets it be read, and a `receive` that begins anew."""
    messages: deque[Message] = deque()
    body = b""
    more = True
    while more:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        more = message.get("more_body", False) and len(body) <= DEFAULT_MAX_REQUEST_BODY_SIZE

    async def replay() -> Message:
        return messages.popleft() if messages else await receive()

    return body, replay


def _calls_in_body(body: bytes) -> tuple[Call, ...]:
    """The calls in a JSON-RPC message or batch; none if it is neither: the SDK refuses it then."""
    try:
        decoded = pydantic_core.from_json(body)
    except ValueError:
        return ()
    messages = decoded if isinstance(decoded, list) else [decoded]
    return tuple(
        call_of(str(message["method"]), message.get("params"))
        for message in messages
        if isinstance(message, dict) and "method" in message
    )


def call_of(method: str, params: Any) -> Call:
    """The call that a method and its parameters are."""
    name = params.get(NAMES[method]) if method in NAMES and isinstance(params, Mapping) else None
    return Call(method, name if isinstance(name, str) else "")
