"""Every request, as the operator sees it: counted when it is answered, and named."""

from collections.abc import Awaitable, Iterable

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from origins import MCP_PATH
from telemetry.correlation import HEADER, correlation_id, current_request
from telemetry.metrics import Metrics

OTHER = "other"
"""The route of every path that is not served: strangers choose those, and must not add labels."""

_CALLS = (MCP_PATH, f"{MCP_PATH}/")


class ObserveRequests:
    """ASGI middleware, before all others: counts requests by route, gives each its correlation id.

    The id is in X-Request-ID of every answer, but at the MCP endpoint: that one counts by itself,
    and names only what it refuses, because a call cannot afford to have its answer looked at twice.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._count = metrics.requests.add
        # A route with parameters has as many paths as strangers like.
        self._paths = {route.path for route in routes if isinstance(route, Route)}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request through; as no coroutine of its own, which a call would pay for."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        current_request.set(scope)
        if scope["path"] in _CALLS:
            return self._app(scope, receive, send)
        return self._observe(scope, receive, send)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = scope["path"] if scope["path"] in self._paths else OTHER
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                self._count(route, f"{message['status'] // 100}xx")
                named = (HEADER, correlation_id(scope).encode())
                message = {**message, "headers": [*message["headers"], named]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            if not is_answered:
                self._count(route, "5xx")  # whoever catches this answers so
            raise
