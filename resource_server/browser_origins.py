"""Which web pages may call the MCP endpoint (MCP streamable HTTP, "Security & Endpoint")."""

import logging
from collections.abc import Awaitable, Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from origins import Origins, is_loopback_host
from resource_server.challenges import refusal
from telemetry.metrics import Metrics

_FORBIDDEN = refusal(
    403,
    "origin_not_allowed",
    "Pages of this web origin may not call this server. If they should, its operator adds the "
    "origin to LATCHGATE_BROWSER_ORIGINS.",
)

logger = logging.getLogger("latchgate.origin")


class RequireKnownOrigin:
    """ASGI middleware: a request that a web page sent passes if the page is of a known origin.

    Known are our own origins, pages of this machine and those that the operator named; programs
    send no Origin. `null` is no origin that could be known.
    """

    def __init__(
        self,
        app: ASGIApp,
        origins: Origins,
        browser_origins: Sequence[str],
        metrics: Metrics,
    ) -> None:
        self._app = app
        self._known = {origin.url for origin in origins.configured} | set(browser_origins)
        self._note_refusal = metrics.note_refusal
        # Once an origin: a page that tries again and again must not fill the log.
        self._warn = lru_cache(maxsize=256)(_log)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request through, or answer 403."""
        for name, value in scope["headers"]:
            if name == b"origin" and not self._is_known(value.decode("latin-1")):
                self._warn(value.decode("latin-1")[:256])
                self._note_refusal("unknown_origin", 403)
                return _FORBIDDEN(scope, receive, send)
        return self._app(scope, receive, send)

    def _is_known(self, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        is_local = scheme in {"http", "https"} and is_loopback_host(host)
        return is_local or origin in self._known or "*" in self._known


def _log(origin: str) -> None:
    logger.warning(
        "refused a page of %r; if it is yours, add it to LATCHGATE_BROWSER_ORIGINS", origin
    )
