"""An ASGI application asked in the same process, its answer read while it is still being given."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from starlette.types import ASGIApp, Message

PATIENCE = 10
"""Seconds after which a message that does not come fails a test instead of stopping it."""


def body(content: bytes) -> Message:
    """The whole body of a request."""
    return {"type": "http.request", "body": content, "more_body": False}


class Exchange:
    """One request to an application and what comes back, message by message."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any], *requests: Message) -> None:
        self._requests = list(requests)
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._gone = asyncio.Event()
        self.task = asyncio.create_task(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._messages.put_nowait(None)

    async def _receive(self) -> Message:
        if self._requests:
            return self._requests.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self._gone.is_set():
            self._messages.put_nowait(message)

    async def next(self) -> Message:
        """The next message of the answer; an error of the application is raised here."""
        async with asyncio.timeout(PATIENCE):
            message = await self._messages.get()
        if message is None:
            await self.task
            raise EOFError("the answer has ended")
        return message

    async def start(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of the answer."""
        message = await self.next()
        assert message["type"] == "http.response.start"
        return message["status"], {n.decode(): v.decode() for n, v in message["headers"]}

    async def rest(self) -> AsyncIterator[bytes]:
        """What is left of the answer, until it is complete."""
        is_complete = False
        while not is_complete:
            message = await self.next()
            is_complete = not message.get("more_body", False)
            yield message.get("body", b"")

    def go_away(self) -> None:
        """Be the client that closes the connection."""
        self._gone.set()

    async def disconnect(self) -> None:
        """Go away, and wait until the application has noticed."""
        self.go_away()
        await asyncio.gather(self.task, return_exceptions=True)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._exchange.rest():
            yield chunk

    async def aclose(self) -> None:
        await self._exchange.disconnect()


class StreamingTransport(httpx2.AsyncBaseTransport):
    """As httpx2.ASGITransport, for answers that do not end before the client has done something."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": request.method,
            "path": request.url.path,
            "raw_path": request.url.raw_path,
            "root_path": "",
            "scheme": request.url.scheme,
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        }
        exchange = Exchange(self._app, scope, body(await request.aread()))
        status, headers = await exchange.start()
        return httpx2.Response(status, headers=headers, stream=_Body(exchange))
