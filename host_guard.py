"""The Host guard: whoever asks for a name that is not ours gets 421 (RFC 9110 §15.5.20)."""

import json
import logging
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from origins import Origins

EXEMPT_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines that know us by address only; they say nothing that depends on a name."""

_BODY = json.dumps(
    {
        "error": "misdirected_request",
        "error_description": (
            "This server does not answer for that host. If it should, its operator sets "
            "LATCHGATE_PUBLIC_URL to this URL or adds it to LATCHGATE_EXTRA_ORIGINS."
        ),
    }
).encode()
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"cache-control", b"no-store"),
]

logger = logging.getLogger("latchgate.host")


class HostGuard:
    """ASGI middleware: only requests whose one Host header names an origin of ours pass.

    It goes in front of every path, so that no other page on the machine or in the network can
    reach us under a name of its own (DNS rebinding) and no document is built for a foreign one.
    `refuse` answers 421 in another way than with JSON.
    """

    def __init__(self, app: ASGIApp, origins: Origins, refuse: ASGIApp | None = None) -> None:
        self._app = app
        self._origins = origins
        self._refuse = refuse
        # Once a name: a scanner must not fill the log.
        self._warn = lru_cache(maxsize=256)(self._log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 421."""
        if scope["type"] != "http" or scope["path"] in EXEMPT_PATHS:
            await self._app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and self._origins.select(hosts[0].decode("latin-1")):
            await self._app(scope, receive, send)
            return
        self._warn(b", ".join(hosts).decode("latin-1")[:256])
        if self._refuse is None:
            await answer_misdirected(send)
        else:
            await self._refuse(scope, receive, send)

    def _log(self, host: str) -> None:
        setting = "LATCHGATE_PUBLIC_URL" if self._origins.is_loopback else "LATCHGATE_EXTRA_ORIGINS"
        logger.warning("refused host %r; if it is ours, set %s=https://%s", host, setting, host)


async def answer_misdirected(send: Send) -> None:
    """Answer 421: this is not the server that the client means."""
    await send({"type": "http.response.start", "status": 421, "headers": [*_HEADERS]})
    await send({"type": "http.response.body", "body": _BODY})
