"""A load balancer that gives every request to a replica drawn at random, and so keeps no session.

What a replica refused to take, because it is ending, is offered to another one.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_UNAVAILABLE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Balancer:
    """One request a connection, on both sides."""

    port: int

    def __init__(self, ports: Sequence[int], random: Random) -> None:
        self._ports = ports
        self._random = random
        self.served: Counter[int] = Counter()
        self.retried = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        # A client may hang up at any moment.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            request = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body
            for port in self._random.sample(self._ports, len(self._ports)):
                if await self._served_by(port, request, writer):
                    self.served[port] += 1
                    break
                self.retried += 1
            else:
                writer.write(_UNAVAILABLE)
        self._writers.discard(writer)
        writer.close()

    def hang_up(self) -> None:
        """Close what clients opened and never used."""
        for writer in self._writers:
            writer.close()

    async def _served_by(self, port: int, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Pass the request on and its answer back; False if not a byte came back."""
        try:
            reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        has_begun = False
        try:
            upstream.write(request)
            while data := await reader.read(65_536):
                has_begun = True
                writer.write(data)
        except ConnectionError:
            pass  # if it had not begun, another replica is asked
        finally:
            upstream.close()
        return has_begun


@asynccontextmanager
async def balancing(ports: Sequence[int], random: Random) -> AsyncIterator[Balancer]:
    """A balancer on a free loopback port."""
    balancer = Balancer(ports, random)
    server = await asyncio.start_server(balancer.accept, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        balancer.hang_up()
        server.close()
        await server.wait_closed()
