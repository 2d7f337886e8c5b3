"""What the client programs in Python share: orders on standard input, a callback, the browser.

An order is a line of JSON, {"do": "call", "with": […]}; so is the answer to it, {"result": …} or
{"error": …}, with the number of sessions opened so far. Nothing here but the standard library: each
program runs in an environment of its own.
"""

import asyncio
import json
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Verbs = dict[str, Callable[..., Awaitable[Any]]]
"""What a client can do: `call` a tool, and whatever else."""


class Refused(Exception):
    """The tool answered with an error."""


async def obey(connect: Callable[[], AbstractAsyncContextManager[Verbs]]) -> None:
    """Carry out orders until there are no more.

    A session that served and then fails is replaced by a new one, once, as applications do.
    """
    order, sessions = await _next_order(), 0
    while order:
        answered = 0
        try:
            async with connect() as verbs:
                sessions += 1
                while order:
                    result = await verbs[order["do"]](*order["with"])
                    answered += 1
                    _tell(result=result, sessions=sessions)
                    order = await _next_order()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to hear of it
            if not answered:
                _tell(error=_words(error), sessions=sessions)
                order = await _next_order()


class Callback:
    """A loopback redirect URI (RFC 8252 §7.3), and the browser that comes back to it."""

    def __init__(self) -> None:
        self.redirect_uri = ""
        self._arrivals: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def listen(self) -> None:
        """Take a free port."""
        listener = await asyncio.start_server(self._receive, "127.0.0.1", 0)
        self.redirect_uri = f"http://localhost:{listener.sockets[0].getsockname()[1]}/callback"

    async def open_browser(self, url: str) -> None:
        """Open the person's browser, whichever $BROWSER names."""
        await asyncio.to_thread(webbrowser.open, url)

    async def response(self) -> dict[str, str]:
        """The parameters with which the browser came back."""
        return await self._arrivals.get()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self._arrivals.put_nowait(dict(parse_qsl(urlsplit(target).query)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


async def _next_order() -> dict[str, Any]:
    line = await asyncio.to_thread(sys.stdin.readline)
    order: dict[str, Any] = json.loads(line) if line else {}
    return order


def _tell(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)  # noqa: T201 - that is how it speaks


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
