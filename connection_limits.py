"""What a connection may cost before there is a request: uvicorn has no limit for it.

uvicorn collects a whole head before anybody is asked, and believes `X-Forwarded-For` of whoever
connects from this machine. Both are changed where uvicorn keeps them, so that the plain command
`uvicorn combined_app:app` is a safe one; tests over a socket fail when a new uvicorn keeps them
elsewhere. With `--http h11` the size of a head is uvicorn's own limit, and there is no deadline.
"""

from asyncio import BaseTransport, TimerHandle, Transport
from typing import Any, cast

import uvicorn.config
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_UNFINISHED = 64 * 1024
"""Bytes of a head, or of what surrounds the parts of a body, that may come and lead to nothing."""
MAX_UNREAD = 4 * 1024 * 1024
"""Bytes of a body that may still come after its request was answered."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
)
_made = HttpToolsProtocol.connection_made
_received = HttpToolsProtocol.data_received
_lost = HttpToolsProtocol.connection_lost


class LimitedProtocol(HttpToolsProtocol):
    """A connection on which something has to come of what is sent, and in time.

    What completes a head, is part of a body or ends one leads somewhere; all else is counted until
    something does again. A request that arrives in one piece costs two comparisons.
    """

    DEADLINE = 10.0
    """Seconds until a head is complete."""

    cycle: Any  # the request that was read last, None before the first
    _deadline: TimerHandle | None = None
    _unfinished = 0

    def connection_made(self, transport: BaseTransport) -> None:
        """From now on the time for the first head runs."""
        _made(self, cast("Transport", transport))
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is expected any more."""
        self._relax()
        _lost(self, exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and see whether that leads anywhere."""
        before = self.cycle
        is_awaited = before is not None and before.more_body
        length = len(before.body) if is_awaited else 0
        _received(self, data)
        if self.cycle is before and not (
            is_awaited and (len(before.body) > length or not before.more_body)
        ):
            self._count(len(data))
        elif self._deadline is not None or self._unfinished:
            self._relax()

    def _count(self, length: int) -> None:
        self._unfinished += length
        if self._deadline is None:
            self._expect()
        is_answered = self.cycle is not None and self.cycle.response_complete
        is_body = self.cycle is not None and self.cycle.scope is self.scope
        if self._unfinished <= (MAX_UNREAD if is_answered and is_body else MAX_UNFINISHED):
            return
        if self.cycle is None or (is_answered and not is_body):
            self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _expect(self) -> None:
        self._deadline = self.loop.call_later(self.DEADLINE, self._give_up)

    def _relax(self) -> None:
        self._unfinished = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        """Close, unless an answer is still being given: then what comes next begins anew."""
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def limit_connections() -> None:
    """Change uvicorn's own protocol: its configuration has chosen it before it asks for the app."""
    for name, value in vars(LimitedProtocol).items():
        if not name.startswith("__"):
            setattr(HttpToolsProtocol, name, value)


def believe_nobody() -> None:
    """Take uvicorn's middleware for forwarded headers out: only LATCHGATE_TRUSTED_PROXIES counts.

    It is on unless `--no-proxy-headers` is given, and hides the address that has connected.
    """
    vars(uvicorn.config)["ProxyHeadersMiddleware"] = _unchanged


def _unchanged(app: ASGIApp, trusted_hosts: object) -> ASGIApp:
    del trusted_hosts
    return app
