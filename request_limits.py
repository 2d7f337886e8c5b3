"""What a request may cost before anybody looks at it: its head in bytes, its body in seconds."""

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_HEADERS = 100
MAX_HEAD = 32 * 1024
MAX_TARGET = 16 * 1024


class RequestLimits:
    """ASGI middleware: a head that is too large is refused, a body that does not come is given up.

    uvicorn has neither limit. Slow *heads* never get as far as this: a proxy in front has to mind
    them. The deadline is for the whole body, so that a byte now and then does not extend it.
    """

    def __init__(self, app: ASGIApp, body_timeout: float) -> None:
        self._app = app
        self._timeout = body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer 408, 414 or 431."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _target_length(scope) > MAX_TARGET:
            await _refuse(send, 414, "the URL is longer than 16 KiB")
        elif _is_head_too_large(scope):
            await _refuse(send, 431, "the headers are larger than 32 KiB or more than 100")
        else:
            await _Exchange(receive, send, self._timeout).run(self._app, scope)


class _Exchange:
    """One request: the wait for its body, and what becomes of the answer when that is over."""

    def __init__(self, receive: Receive, send: Send, timeout: float) -> None:
        self._receive = receive
        self._send = send
        self._deadline = asyncio.get_running_loop().time() + timeout
        self._is_read = False
        self._is_started = False
        self._is_over = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            # It was told that the client has gone, and what it makes of that is no news.
            if not self._is_over:
                raise

    async def receive(self) -> Message:
        """The next part of the request; afterwards the wait for its end is not ours to limit."""
        if self._is_read:
            return await self._receive()
        if self._is_over:
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._is_over = True
            if not self._is_started:
                await _refuse(self._send, 408, "the body took too long to arrive")
            return {"type": "http.disconnect"}
        self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if not self._is_over:
            self._is_started = True
            await self._send(message)


def _target_length(scope: Scope) -> int:
    return len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])


def _is_head_too_large(scope: Scope) -> bool:
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS:
        return True
    size = 0
    for name, value in headers:
        size += len(name) + len(value)
    return size > MAX_HEAD


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
