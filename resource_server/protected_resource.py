"""The MCP endpoint behind its bearer token: one ASGI application for `/mcp` and `/mcp/`.

In the order of a request: the page that sent it (browser_origins.py), the token (bearer.py), the
scopes of what it calls (here, before the MCP server sees it), the MCP server (responses.py).
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, cast

from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from origins import MCP_PATH, Origins
from resource_server.bearer import ORIGIN, RequireBearerToken
from resource_server.browser_origins import RequireKnownOrigin
from resource_server.calls import (
    BadMessage,
    Call,
    drop_last_event_id,
    read_calls,
    trim_header_values,
)
from resource_server.challenges import bad_message, insufficient_scope
from resource_server.economies import (
    TraceWhereTraced,
    compare_headers_where_wanted,
    trace_where_traced,
)
from resource_server.refusals import Refusals
from resource_server.registry import Registry, may_speak
from resource_server.responses import JsonWhereNothingStreams, Responses
from resource_server.scopes import ScopeGate, ScopesNeeded, union
from resource_server.session_limits import SessionLimits
from resource_server.stream_limits import StreamLimits
from resource_server.verifiers import VerifyToken
from settings import Settings
from telemetry.metrics import Metrics
from valkey_urls import is_valkey

PATHS = (MCP_PATH, f"{MCP_PATH}/")
"""Both spellings are served: a redirect between them costs clients their token."""

_ANSWERED_AT_ONCE = (
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
)
# The guards in front of us have looked at Host and Origin, and more closely.
_NO_SECOND_LOOK = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class ProtectedResource:
    """An MCP server that only answers to tokens; the server itself needs no change.

    `run()` has to surround the serving; `close_streams()` comes first when it is to end.
    """

    def __init__(
        self,
        mcp: MCPServer[Any],
        verify: VerifyToken,
        origins: Origins,
        required_scopes: Sequence[str],
        *,
        note_use: Callable[[AccessToken], None],
        metrics: Metrics,
        clock: Callable[[], float],
        refusals: Refusals,
        streams: StreamLimits,
        browser_origins: Sequence[str] = (),
        is_stateless: bool = False,
        is_hiding: bool = False,
    ) -> None:
        self._required = tuple(required_scopes)
        self._registry = Registry(mcp)
        self._needed = ScopesNeeded(self._registry)
        gate = ScopeGate(self._needed, self._required, is_hiding=is_hiding)
        mcp.middleware[:] = [*trace_where_traced(_others(mcp)), gate]
        self._routes = mcp.streamable_http_app(
            json_response=cast("bool", JsonWhereNothingStreams()),
            stateless_http=is_stateless,
            transport_security=_NO_SECOND_LOOK,
        ).routes
        self._sessions = mcp.session_manager
        self._session_limits = SessionLimits(mcp)
        compare_headers_where_wanted(mcp)
        self._answered_at_once = _answered_at_once(mcp)
        self._streams = streams
        self._note_refusal = metrics.note_refusal
        self._refused = refusals.note
        self._responses = Responses(self._sessions.handle_request, verify, clock, metrics)
        bearer = RequireBearerToken(
            self._serve,
            verify,
            origins,
            required_scopes,
            note_use=note_use,
            metrics=metrics,
            refusals=refusals,
        )
        self._app = RequireKnownOrigin(bearer, origins, browser_origins, metrics)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one HTTP request."""
        return self._app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Run the MCP server: its own lifespan, its sessions, its streams. Once an instance."""
        async with self._sessions.run(), self._responses.run():
            yield

    def close_streams(self) -> None:
        """End every open stream cleanly, so that the server need not wait for them to stop."""
        self._responses.close_streams()

    @property
    def routes(self) -> tuple[BaseRoute, ...]:
        """The endpoint at both its paths, and what the MCP server declared with `custom_route`."""
        declared = [route for route in self._routes if getattr(route, "path", "") != MCP_PATH]
        return (*(Route(path, self) for path in PATHS), *declared)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose token is good: challenge for what it calls, or let it through."""
        token: AccessToken = scope["user"].access_token
        trim_header_values(scope)
        try:
            calls, receive = await read_calls(scope, receive)
        except BadMessage as bad:
            refusal = bad_message(bad.request_id, bad.error.code, bad.error.message)
            await refusal(scope, receive, send)
            return
        needed = self._needed.by(calls)
        if needed and not set(needed).issubset(token.scopes):
            self._note_refusal("insufficient_scope", 403)
            self._refused(scope, "scope_denied", f"needs {' '.join(needed)}", token)
            refusal = insufficient_scope(scope[ORIGIN], union(self._required, token.scopes, needed))
            await refusal(scope, receive, send)
            return
        if self._is_answered_at_once(calls):
            await self._responses.give(scope, receive, send, token, is_json=True)
            return
        if scope["method"] == "GET":
            drop_last_event_id(scope)
        if too_many_sessions := self._session_limits.refuse(calls, token):
            self._note_refusal("too_many_sessions", 429)
            await too_many_sessions(scope, receive, send)
            return
        with self._streams.one_more(token) as too_many:
            if too_many:
                self._note_refusal("too_many_streams", 429)
                await too_many(scope, receive, send)
            else:
                await self._responses.give(scope, receive, send, token, is_json=False)

    def _is_answered_at_once(self, calls: Sequence[Call]) -> bool:
        """Whether nothing but the answer can come: no progress, no log, no question."""
        return (
            len(calls) == 1
            and calls[0].method in self._answered_at_once
            and not may_speak(self._registry.find(calls[0]))
        )


def is_stateless(settings: Settings) -> bool:
    """Whether the handshake versions go without sessions: these live in one process."""
    if settings.mcp_sessions == "auto":
        return is_valkey(settings.store_url)
    return settings.mcp_sessions == "stateless"


def _others(mcp: MCPServer[Any]) -> list[Any]:
    return [middleware for middleware in mcp.middleware if not isinstance(middleware, ScopeGate)]


def _is_the_sdks(middleware: Any) -> bool:
    is_its_tracing = isinstance(middleware, TraceWhereTraced)
    return is_its_tracing or type(middleware).__module__.startswith("mcp.")


def _answered_at_once(mcp: MCPServer[Any]) -> frozenset[str]:
    """The methods whose handlers are the SDK's own, behind nothing but the SDK's own middleware.

    An extension or a middleware may send something on the way that we cannot know of.
    """
    if not all(map(_is_the_sdks, _others(mcp))):
        return frozenset()
    server = mcp.session_manager.app
    handlers = {method: server.get_request_handler(method) for method in _ANSWERED_AT_ONCE}
    return frozenset(
        method
        for method, entry in handlers.items()
        if entry is not None and getattr(entry.handler, "__self__", None) in {mcp, server}
    )
