"""A relay in front of a server, for tests of what happens when the network misbehaves."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Passes bytes both ways, unless told to keep the answers or to hang up instead of them."""

    port: int

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        self._dead: set[asyncio.StreamWriter] = set()
        self.keeps_answers = False
        self.hang_ups = 0
        """How many answers from now on are replaced by the end of the connection."""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._upstream)
        self._writers += (writer, upstream_writer)
        await asyncio.gather(
            self._pass_on(reader, upstream_writer),
            self._pass_on(upstream_reader, writer, are_answers=True),
        )

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        are_answers: bool = False,
    ) -> None:
        while data := await reader.read(65_536):
            if are_answers and self.hang_ups:
                self.hang_ups -= 1
                break
            if not (are_answers and (self.keeps_answers or writer in self._dead)):
                writer.write(data)
        writer.close()

    def let_die(self) -> None:
        """Give no answer any more on the connections that there are."""
        self._dead.update(self._writers)

    def close(self) -> None:
        """Hang up on everybody."""
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def relay_to(
    host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Relay]:
    """A relay on a free loopback port; with `tls` it speaks TLS to those who call it."""
    relay = Relay(host, port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0, ssl=tls)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.close()
        server.close()
        await server.wait_closed()
