"""The way of a program to the MCP endpoint, past what only pages and people need."""

from collections.abc import Awaitable, Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from origins import Origins


class Shortcut:
    """ASGI middleware: what a program asks of these paths goes straight to their application.

    A page sends an Origin, and goes through what stands behind this; so does whoever names another
    host or sends a header twice, and is refused there if it must be.
    """

    def __init__(self, app: ASGIApp, origins: Origins, applications: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._origins = origins
        self._applications = applications

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Hand the request to its application, or on."""
        if scope["type"] == "http" and scope["path"] in self._applications:
            headers = dict(scope["headers"])
            is_plain = b"origin" not in headers and len(headers) == len(scope["headers"])
            if is_plain and self._origins.select(headers.get(b"host", b"").decode("latin-1")):
                return self._applications[scope["path"]](scope, receive, send)
        return self._app(scope, receive, send)
