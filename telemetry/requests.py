"""Every request, as the operator sees it: counted when it is answered, and named."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from origins import MCP_PATH
from telemetry.correlation import HEADER, correlation_id, current_request
from telemetry.metrics import Metrics

OTHER = "other"
"""The route of every path that is not served: strangers choose those, and must not add labels."""

_ERROR = 400
_CALLS = (MCP_PATH, f"{MCP_PATH}/")


class ObserveRequests:
    """ASGI middleware, the outermost: counts requests by route and gives each its correlation id.

    The id is in X-Request-ID of every answer but that of a call to the MCP server that succeeds:
    there it would only cost.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._count = metrics.requests.add
        # A route with parameters has as many paths as strangers like.
        self._paths = {route.path for route in routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, and look at how its answer starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current_request.set(scope)
        route = scope["path"] if scope["path"] in self._paths else OTHER
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                status = message["status"]
                self._count(route, f"{status // 100}xx")
                if status >= _ERROR or route not in _CALLS:
                    named = (HEADER, correlation_id(scope).encode())
                    message = {**message, "headers": [*message["headers"], named]}
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception:
            if not is_answered:
                self._count(route, "5xx")  # whoever catches this answers so
            raise
