"""An HTTP/1.1 client that costs little: it must not be what is measured.

One connection asks one thing at a time, and answers are bytes until somebody reads them.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSING = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"


class Disconnected(Exception):
    """The server closed the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, head and body; the body of a chunked answer still has its chunks' lengths in it."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, empty if there is none."""
        found = re.search(rb"\r\n%s: *([^\r]*)" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode() if found else ""

    def cookies(self) -> dict[str, str]:
        """What it wants to be kept."""
        found = re.findall(rb"\r\nset-cookie: *([^=;]+)=([^;\r]*)", self.head, re.IGNORECASE)
        return {name.decode(): value.decode() for name, value in found}

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One connection to a server, kept alive."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._received = b""
        self._head_end = -1
        self._length: int | None = None

    @classmethod
    async def to(cls, url: str) -> "Connection":
        """Connect to the host and port of a URL."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, parts.hostname or "", parts.port or 80)
        return connection

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer; Disconnected if none comes."""
        if self._transport is None or self._transport.is_closing():
            raise Disconnected
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def send(self, data: bytes) -> None:
        """Send part of a request, for those who behave badly."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember how to write."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - Protocol's
        """Tell whoever waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Disconnected())

    def data_received(self, data: bytes) -> None:
        """Collect, and hand out the answer when it is whole."""
        received = self._received = self._received + data if self._received else data
        if self._head_end < 0:
            self._head_end = received.find(_END_OF_HEAD) + len(_END_OF_HEAD)
            if self._head_end < len(_END_OF_HEAD):
                self._head_end = -1
                return
            length = _LENGTH.search(received, 0, self._head_end)
            self._length = int(length[1]) if length else None
            if length is None and not _CHUNKED.search(received, 0, self._head_end):
                self._length = 0
        if self._length is None:
            is_whole = received.endswith(_LAST_CHUNK)
        else:
            is_whole = len(received) - self._head_end >= self._length
        if is_whole and self._waiting is not None and not self._waiting.done():
            head, body = received[: self._head_end], received[self._head_end :]
            self._received, self._head_end = b"", -1
            if _CLOSING.search(head) and self._transport is not None:
                self._transport.close()
            self._waiting.set_result(Answer(int(head[9:12]), head, body))


def request(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """A request as it goes over the wire."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Client:
    """Asks any server, over one kept connection to each host; not two things at a time.

    `headers` go with every request.
    """

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})
        self._connections: dict[str, Connection] = {}

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request and wait for its answer."""
        return await self.send(
            url, request(method, url, {**self._headers, **(headers or {})}, body)
        )

    async def send(self, url: str, asked: bytes) -> Answer:
        """The same with a request that is made already; once more if the connection had died."""
        try:
            return await (await self.connection(url)).ask(asked)
        except Disconnected:
            return await (await self.connection(url)).ask(asked)

    async def connection(self, url: str) -> Connection:
        """The connection to the host of this URL."""
        host = urlsplit(url).netloc
        connection = self._connections.get(host)
        if connection is None or not connection.is_open:
            connection = self._connections[host] = await Connection.to(url)
        return connection

    def close(self) -> None:
        """Hang up everywhere."""
        for connection in self._connections.values():
            connection.close()
