"""What a request may cost before anybody looks at it: its head in bytes, its body in seconds."""

import asyncio
import json
from collections.abc import Awaitable
from itertools import chain
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_HEADERS = 100
MAX_HEAD = 32 * 1024
MAX_TARGET = 16 * 1024


class RequestLimits:
    """ASGI middleware: a head that is too large is refused, a body that does not come is given up.

    uvicorn has neither limit. Heads that do not end never get as far as this: `connection_limits`.
    The deadline is for the whole body, so that a byte now and then does not extend it.
    """

    def __init__(self, app: ASGIApp, body_timeout: float) -> None:
        self._app = app
        self._deadlines = _Deadlines(body_timeout)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request through, or answer 408, 414 or 431."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        if _target_length(scope) > MAX_TARGET:
            return _refuse(send, 414, "the URL is longer than 16 KiB")
        if _is_head_too_large(scope):
            return _refuse(send, 431, "the headers are larger than 32 KiB or more than 100")
        return _Exchange(receive, send, self._deadlines).run(self._app, scope)


class _Exchange:
    """One request: the wait for its body, and what becomes of the answer when that is over."""

    __slots__ = (
        *("_deadlines", "_is_late", "_is_over", "_is_read", "_is_started"),
        *("_reader", "_receive", "_send"),
    )

    def __init__(self, receive: Receive, send: Send, deadlines: "_Deadlines") -> None:
        self._receive = receive
        self._send = send
        self._deadlines = deadlines
        self._reader: asyncio.Task[Any] | None = None
        self._is_late = False
        self._is_read = False
        self._is_started = False
        self._is_over = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        self._deadlines.begin(self)
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            # It was told that the client has gone, and what it makes of that is no news.
            if not self._is_over:
                raise
        finally:
            self._deadlines.end(self)

    async def receive(self) -> Message:
        """The next part of the request; afterwards the wait for its end is not ours to limit."""
        if self._is_read:
            return await self._receive()
        if not self._is_late:
            self._reader = asyncio.current_task()
            try:
                message = await self._receive()
            except asyncio.CancelledError:
                if not self._was_only_expired():
                    raise
            else:
                self._is_read = not message.get("more_body", False)
                return message
            finally:
                self._reader = None
        await self._give_up()
        return {"type": "http.disconnect"}

    def expire(self) -> None:
        """The time for the body is over: whoever waits for it need not wait longer."""
        self._is_late = not self._is_read
        if self._reader is not None and self._is_late:
            self._reader.cancel()

    def _was_only_expired(self) -> bool:
        """Whether the cancellation that has arrived is our own, and no other's."""
        return self._is_late and self._reader is not None and self._reader.uncancel() == 0

    async def _give_up(self) -> None:
        if not self._is_over:
            self._is_over = True
            if not self._is_started:
                await _refuse(self._send, 408, "the body took too long to arrive")

    def send(self, message: Message) -> Awaitable[None]:
        if self._is_over:
            return _nothing()
        self._is_started = True
        return self._send(message)


class _Deadlines:
    """When the time for each body is over.

    Who begins first ends first, so that one timer does for all: one for each request would cost a
    call as much as its token does.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._ends: dict[_Exchange, float] = {}
        self._is_set = False

    def begin(self, exchange: _Exchange) -> None:
        """From now on its time runs."""
        loop = asyncio.get_running_loop()
        self._ends[exchange] = loop.time() + self._timeout
        if not self._is_set:
            self._is_set = True
            loop.call_later(self._timeout, self._look, loop)

    def end(self, exchange: _Exchange) -> None:
        """It is answered."""
        self._ends.pop(exchange, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for exchange in [exchange for exchange, end in self._ends.items() if end <= now]:
            self.end(exchange)
            exchange.expire()
        self._is_set = bool(self._ends)
        if self._ends:
            loop.call_at(next(iter(self._ends.values())), self._look, loop)


async def _nothing() -> None:
    """Send nothing."""


def _target_length(scope: Scope) -> int:
    return len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])


def _is_head_too_large(scope: Scope) -> bool:
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS:
        return True
    return sum(map(len, chain.from_iterable(headers))) > MAX_HEAD


async def _refuse(send: Send, status: int, description: str) -> None:
    """Answer in JSON and close: what is still to come is not worth reading."""
    body = json.dumps({"error": "invalid_request", "error_description": description}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
