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
from mcp_types import PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import Message, Receive, Scope

NAMES = {**NAME_BEARING_METHODS, "resources/subscribe": "uri"}
"""Where in its parameters a method names the tool, prompt or resource that it is about."""

NAMES_WITHIN = frozenset({"completion/complete", "subscriptions/listen"})
"""The methods that name some deeper in their parameters, and in no header."""


class Call(NamedTuple):
    """A JSON-RPC message: its method, and the tool, prompt or resource it names, else "".

    What a message names within is a call of its own: `ref/prompt`, `ref/resource` (a completion)
    or `resources/subscribe` (a subscription).
    """

    method: str
    name: str


class HeaderMismatch(Exception):
    """The body is of a protocol version that the MCP-Protocol-Version header does not name.

    `request_id` is that of the message, for the answer.
    """

    def __init__(self, request_id: str | int | None) -> None:
        super().__init__(request_id)
        self.request_id = request_id


def trim_header_values(scope: Scope) -> None:
    """Take white space off the ends of header values (RFC 9110 §5.5): httptools leaves it there.

    The SDK compares these values with the body, byte for byte.
    """
    headers = scope["headers"]
    if any(value[-1:].isspace() or value[:1].isspace() for _, value in headers):
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in headers]


async def read_calls(scope: Scope, receive: Receive) -> tuple[tuple[Call, ...], Receive]:
    """The calls of a request, and the `receive` with which the application can read it (again).

    Raises HeaderMismatch.
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


def _calls_in_body(body: bytes, *, is_handshake: bool) -> tuple[Call, ...]:
    """The calls in a JSON-RPC message or batch; none if it is neither: the SDK refuses it then."""
    try:
        decoded = pydantic_core.from_json(body)
    except ValueError:
        return ()
    if is_handshake and isinstance(decoded, dict) and _is_stateless(decoded):
        # The SDK would take it for a request that lost its session, and tell the client so.
        request_id = decoded.get("id")
        raise HeaderMismatch(request_id if isinstance(request_id, str | int) else None)
    messages = decoded if isinstance(decoded, list) else [decoded]
    return tuple(
        call
        for message in messages
        if isinstance(message, dict) and "method" in message
        for call in calls_of(str(message["method"]), message.get("params"))
    )


def _is_stateless(message: Mapping[str, Any]) -> bool:
    """Whether a message is of a version without handshake: it says so in its `_meta`."""
    version = _within(message, "params", "_meta", PROTOCOL_VERSION_META_KEY)
    return isinstance(version, str) and version not in HANDSHAKE_PROTOCOL_VERSIONS


def calls_of(method: str, params: Any) -> tuple[Call, ...]:
    """The calls that a method and its parameters are: itself, and one for all it names within."""
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
        for member in ("resourceSubscriptions", "resource_subscriptions"):
            uris = _list(_within(wanted, member))
            calls += [Call("resources/subscribe", _text(uri)) for uri in uris]
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
