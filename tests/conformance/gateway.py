"""A proxy that adds a token to what is sent to the MCP endpoint: the runner cannot send one."""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from origins import MCP_PATH

END_OF_HEAD = b"\r\n\r\n"


class Gateway:
    """Passes bytes on as they come; one request a connection, so that only its head is read.

    The server sees the Host and the Origin that were sent to us: our address is its name.
    """

    def __init__(self, upstream: str) -> None:
        self.token: str | None = None
        self._upstream = urlsplit(upstream)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen on a free loopback port; gives the URL."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        # Who hangs up, and when, is the runner's and the server's business.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = self._with_token(await reader.readuntil(END_OF_HEAD))
            server_reader, server_writer = await asyncio.open_connection(
                self._upstream.hostname, self._upstream.port
            )
            server_writer.write(head)
            await asyncio.gather(_pass_on(reader, server_writer), _pass_on(server_reader, writer))

    def _with_token(self, head: bytes) -> bytes:
        request, *fields = head.removesuffix(END_OF_HEAD).split(b"\r\n")
        fields = [field for field in fields if not field.lower().startswith(b"connection:")]
        fields.append(b"Connection: close")
        if self.token and request.split(b" ")[1] == MCP_PATH.encode():
            fields.append(b"Authorization: Bearer " + self.token.encode())
        return b"\r\n".join([request, *fields]) + END_OF_HEAD


async def _pass_on(reader: StreamReader, writer: StreamWriter) -> None:
    """Everything that one side sends, to the other, and then its hanging up."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
