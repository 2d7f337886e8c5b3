"""What a request asks of the MCP server, known before the MCP server is asked.

Requests of 2026-07-28 carry it in headers, which the SDK compares with the body; in the handshake
versions before it only the body tells.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import pydantic_core
from mcp.server.transport_security import DEFAULT_MAX_REQUEST_BODY_SIZE
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import NAME_BEARING_METHODS, decode_header_value
from mcp_types import HEADER_MISMATCH, INVALID_PARAMS, INVALID_REQUEST, PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import Message, Receive, Scope

NAMES = {**NAME_BEARING_METHODS, "resources/subscribe": "uri"}
"""Where in its parameters a method names the tool, prompt or resource that it is about."""

NAMES_WITHIN = frozenset({"completion/complete", "subscriptions/listen"})
"""The methods that name some deeper in their parameters, and in no header."""

MAX_SUBSCRIPTIONS = 1000
MAX_KEPT = 64 * 1024
"""Bytes of a message that a session or a stream keeps, decoded, as long as it lasts."""


class Call(NamedTuple):
    """A JSON-RPC message: its method, and the tool, prompt or resource it names, else "".

    What a message names within is a call of its own: `ref/prompt`, `ref/resource` (a completion)
    or `resources/subscribe` (a subscription).
    """

    method: str
    name: str


class BadMessage(Exception):
    """A message that the MCP server does not get to see.

    `request_id` is that of the message and `error` says what is wrong, for the answer.
    """

    def __init__(self, request_id: str | int | None, error: MCPError) -> None:
        super().__init__(request_id, error)
        self.request_id = request_id
        self.error = error


def trim_header_values(scope: Scope) -> None:
    """Take white space off the ends of header values (RFC 9110 §5.5): httptools leaves it there.

    The SDK compares these values with the body, byte for byte.
    """
    headers = scope["headers"]
    if any(value[-1:].isspace() or value[:1].isspace() for _, value in headers):
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in headers]


def drop_last_event_id(scope: Scope) -> None:
    """Take Last-Event-ID out: nothing is kept that could be sent again, so a new stream begins.

    The SDK (2.3), which has nowhere to look, would not answer at all.
    """
    scope["headers"] = [header for header in scope["headers"] if header[0] != b"last-event-id"]


async def read_calls(scope: Scope, receive: Receive) -> tuple[tuple[Call, ...], Receive]:
    """The calls of a request, and the `receive` with which the application can read it (again).

    Raises BadMessage.
    """
    if scope["method"] != "POST":
        return (), receive
    # Reversed, so that of a repeated header the first counts, as for the SDK.
    headers = dict(reversed(scope["headers"]))
    version = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
    is_handshake = not version or version in HANDSHAKE_PROTOCOL_VERSIONS
    if not is_handshake:
        call = _call_in_headers(headers)
        if call.method not in NAMES_WITHIN:
            return (call,), receive
    body, replay = await _read_body(receive)
    return _calls_in_body(body, is_handshake=is_handshake), replay


def _call_in_headers(headers: Mapping[bytes, bytes]) -> Call:
    method = headers.get(b"mcp-method", b"").decode("latin-1")
    name = decode_header_value(headers.get(b"mcp-name", b"").decode("latin-1"))
    return Call(method, name or "")


async def _read_body(receive: Receive) -> tuple[bytearray, Receive]:
    """The body as far as the SDK's limit lets it be read, and a `receive` that begins anew."""
    messages: deque[Message] = deque()
    body = bytearray()
    more = True
    while more:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        more = message.get("more_body", False) and len(body) <= DEFAULT_MAX_REQUEST_BODY_SIZE

    async def replay() -> Message:
        return messages.popleft() if messages else await receive()

    return body, replay


def _calls_in_body(body: bytearray, *, is_handshake: bool) -> tuple[Call, ...]:
    """The calls in a JSON-RPC message; none if it is no message, or a batch: the SDK refuses it."""
    if len(body) > MAX_KEPT and not is_handshake:
        # Before it is read: the SDK reads some JSON that we do not.
        raise BadMessage(None, _too_long())
    try:
        decoded = pydantic_core.from_json(body)
    except ValueError:
        return ()
    if not isinstance(decoded, dict):
        return ()
    try:
        return _calls_in_message(decoded, len(body), is_handshake=is_handshake)
    except MCPError as error:
        request_id = decoded.get("id")
        is_id = isinstance(request_id, str | int)
        raise BadMessage(request_id if is_id else None, error) from error


def _calls_in_message(
    message: Mapping[str, Any], length: int, *, is_handshake: bool
) -> tuple[Call, ...]:
    if is_handshake and _is_stateless(message):
        # The SDK would take it for a request that lost its session, and tell the client so.
        raise MCPError(
            HEADER_MISMATCH,
            "MCP-Protocol-Version is missing or is not the protocolVersion that _meta names",
        )
    method = message.get("method")
    if not isinstance(method, str):
        return ()
    if length > MAX_KEPT and method == "initialize":
        raise _too_long()
    return calls_of(method, message.get("params"))


def _too_long() -> MCPError:
    return MCPError(INVALID_REQUEST, f"this message may have {MAX_KEPT} bytes and no more")


def _is_stateless(message: Mapping[str, Any]) -> bool:
    """Whether a message is of a version without handshake: it says so in its `_meta`."""
    version = _within(message, "params", "_meta", PROTOCOL_VERSION_META_KEY)
    return isinstance(version, str) and version not in HANDSHAKE_PROTOCOL_VERSIONS


def calls_of(method: str, params: Any) -> tuple[Call, ...]:
    """The calls that a method and its parameters are: itself, and one for all it names within.

    MCPError if these are too many.
    """
    if method in NAMES:
        return (Call(method, _text(_within(params, NAMES[method]))),)
    calls = [Call(method, "")]
    if method == "completion/complete":
        ref = _within(params, "ref")
        kind = _text(_within(ref, "type"))
        name = _within(ref, "uri" if kind == "ref/resource" else "name")
        calls.append(Call(kind, _text(name)))
    elif method == "subscriptions/listen":
        wanted = _within(params, "notifications")
        # The SDK reads both spellings.
        uris = [
            *_list(_within(wanted, "resourceSubscriptions")),
            *_list(_within(wanted, "resource_subscriptions")),
        ]
        if len(uris) > MAX_SUBSCRIPTIONS:
            raise MCPError(
                INVALID_PARAMS, f"one stream is for {MAX_SUBSCRIPTIONS} resources and no more"
            )
        calls += [Call("resources/subscribe", uri) for uri in dict.fromkeys(map(_text, uris))]
    return tuple(calls)


def _within(value: Any, *names: str) -> Any:
    """A member of a member …, None if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
