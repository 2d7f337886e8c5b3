"""What arrives at the socket, before uvicorn has made a request of it (RFC 9112)."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
import uvicorn.config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.server import ServerState

import connection_limits
from connection_limits import LimitedProtocol
from tests.kit import HTML, World

pytestmark = pytest.mark.slow

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: text/plain\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PATIENCE = 10


class Hasty(LimitedProtocol):
    """Waits for nobody."""

    DEADLINE = 0.02


class Patient(LimitedProtocol):
    """Waits longer than any test does."""

    DEADLINE = 60


@asynccontextmanager
async def listening(config: uvicorn.Config) -> AsyncIterator[int]:
    """A port of this machine on which uvicorn's protocol answers, without its process."""
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        made: Any = config.http_protocol_class
        connection: asyncio.Protocol = made(config=config, server_state=state, app_state={})
        return connection

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in [*state.connections]:
            connection.transport.abort()


def serving(world: World, protocol: type[asyncio.Protocol] = Patient) -> uvicorn.Config:
    config = uvicorn.Config(world.app, http=protocol, log_config=None)
    config.load()
    return config


class Connection:
    """A client that says what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send each by itself; a server that has hung up hears nothing."""
        for piece in pieces:
            try:
                self._writer.write(piece)
                await self._writer.drain()
            except ConnectionError:
                return
            await asyncio.sleep(0)

    async def answer(self) -> bytes:
        """The next answer, whose body has a length."""
        async with asyncio.timeout(PATIENCE):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await self._reader.readexactly(int(length))
            return head

    async def rest(self) -> bytes:
        """Everything until the server hangs up."""
        received = bytearray()
        async with asyncio.timeout(PATIENCE):
            try:
                while piece := await self._reader.read(65_536):
                    received += piece
            except ConnectionError:
                pass
        return bytes(received)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


ENDLESS = {
    "one header": (HEAD + b"X: ", b"a"),
    "many headers": (HEAD, b"a: b\r\n"),
    "a name": (HEAD, b"a"),
    "a path": (b"GET /", b"a"),
    "empty lines": (b"", b"\r\n"),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end_is_cut_off(world: World, start: bytes, more: bytes) -> None:
    """Without it one socket costs a core and as much memory as it cares to send."""
    async with listening(serving(world)) as port, connected(port) as stranger:
        piece = more * (32_768 // len(more))
        await stranger.send(start, *[piece] * 100)
        received = await stranger.rest()
        assert received.startswith(b"HTTP/1.1 431 ") or not received


async def test_a_second_head_without_end_is_cut_off_too(world: World) -> None:
    """Without it the limit is gone with the first good request."""
    async with listening(serving(world)) as port, connected(port) as stranger:
        await stranger.send(HEAD + b"\r\n")
        assert b" 200 OK" in await stranger.answer()
        await stranger.send(HEAD + b"X: ", *[b"a" * 32_768] * 100)
        received = await stranger.rest()
        assert received.startswith(b"HTTP/1.1 431 ") or not received


async def test_what_follows_the_parts_of_a_body_is_cut_off(world: World) -> None:
    """Without it trailers are the head without end."""
    head = CHUNKED.replace(b"text/plain", b"application/x-www-form-urlencoded")
    async with listening(serving(world)) as port, connected(port) as stranger:
        await stranger.send(head, b"3\r\na=b\r\n", b"0\r\nX: ", *[b"a" * 32_768] * 100)
        assert b" 200 " not in await stranger.rest()


async def test_what_nobody_reads_any_more_is_cut_off(world: World) -> None:
    """Without it a refused request goes on for as long as its body does."""
    async with listening(serving(world)) as port, connected(port) as stranger:
        await stranger.send(CHUNKED)
        assert b" 400 " in await stranger.answer()
        part = b"8000\r\n" + b"a" * 32_768 + b"\r\n"
        await stranger.send(*[part] * 200)
        assert await stranger.rest() == b""


async def test_a_client_that_sends_its_body_after_the_answer_is_heard_again(world: World) -> None:
    """A client that was told 401 while it uploads must not lose its connection."""
    async with listening(serving(world)) as port, connected(port) as client:
        await client.send(POST + b"Content-Length: 200000\r\n\r\n")
        assert b" 400 " in await client.answer()
        await client.send(*[b"a" * 20_000] * 10, HEAD + b"\r\n")
        assert b" 200 OK" in await client.answer()


@pytest.mark.parametrize("begun", [b"", b"G", HEAD], ids=["nothing", "a letter", "half"])
async def test_a_head_that_does_not_come_is_given_up(world: World, begun: bytes) -> None:
    """Without it a thousand sockets that say nothing are all there are."""
    async with listening(serving(world, Hasty)) as port, connected(port) as stranger:
        await stranger.send(begun)
        assert await stranger.rest() == b""


@pytest.mark.parametrize(
    ("request_", "begun"), [(HEAD + b"\r\n", HEAD), (CHUNKED, b"1\r\n")], ids=["head", "body"]
)
async def test_neither_is_what_comes_too_slowly_after_an_answer(
    world: World, request_: bytes, begun: bytes
) -> None:
    """Without it a byte now and then keeps a socket for ever."""
    async with listening(serving(world, Hasty)) as port, connected(port) as stranger:
        await stranger.send(request_)
        assert await stranger.answer()
        await stranger.send(begun)
        assert await stranger.rest() == b""


async def test_a_head_in_small_pieces_is_a_head(world: World) -> None:
    """A slow network is no attack."""
    async with listening(serving(world)) as port, connected(port) as client:
        for _ in range(2):
            await client.send(*(bytes([byte]) for byte in HEAD + b"\r\n"))
            assert b" 200 OK" in await client.answer()


async def test_who_waits_for_an_answer_may_have_said_a_byte_too_many(world: World) -> None:
    """Without it an empty line after a body ends the stream that it opened."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await may_answer.wait()
        start = {"type": "http.response.start", "status": 200, "headers": LENGTH}
        await send(start)
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(slow, http=Hasty, log_config=None)
    config.load()
    async with listening(config) as port, connected(port) as client:
        await client.send(HEAD + b"\r\n")
        await asked.wait()
        await client.send(b"\r\n")
        await asyncio.sleep(2 * Hasty.DEADLINE)
        may_answer.set()
        assert b" 200 OK" in await client.answer()
        await client.send(HEAD + b"\r\n")
        assert b" 200 OK" in await client.answer()


LENGTH = [(b"content-length", b"0")]

SMUGGLED = {
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks by another name": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks twice": b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": b"Content-Length: +5\r\n\r\nhello",
    "a space before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a folded header": b"X: a\r\n b\r\n\r\n",
    "a bare line feed": b"X: a\nContent-Length: 5\r\n\r\nhello",
    "a bare carriage return": b"X: a\rContent-Length: 5\r\n\r\nhello",
    "a null byte": b"X: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("rest", SMUGGLED.values(), ids=SMUGGLED)
async def test_a_request_that_two_parsers_read_differently_is_refused_and_the_connection_closed(
    world: World, rest: bytes
) -> None:
    """Without it a proxy and we disagree where a request ends, and the next one is a stranger's."""
    async with listening(serving(world)) as port, connected(port) as stranger:
        await stranger.send(POST + rest + HEAD + b"\r\n")
        received = await stranger.rest()
        assert received.startswith(b"HTTP/1.1 400 ")
        assert received.count(b"HTTP/1.1 ") == 1


@pytest.fixture
def as_documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> uvicorn.Config:
    """What `uvicorn combined_app:app` makes of its arguments, loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["uvicorn", "combined_app:app"])
    # As uvicorn has it: another test may have started an application in this process.
    monkeypatch.setattr(uvicorn.config, "ProxyHeadersMiddleware", ProxyHeadersMiddleware)
    config = uvicorn.Config("combined_app:app", log_config=None)
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    config.load()
    root.handlers[:] = handlers
    root.setLevel(level)
    return config


async def test_the_plain_command_has_these_limits(as_documented: uvicorn.Config) -> None:
    """Without it they are for those who read the manual to its end."""
    made: Any = as_documented.http_protocol_class
    for name, value in vars(LimitedProtocol).items():
        assert name.startswith("__") or getattr(made, name) is value
    assert connection_limits.MAX_UNFINISHED < 100_000


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_the_plain_command_believes_no_header_about_addresses(
    as_documented: uvicorn.Config, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    """Without it whoever reaches us from this machine, or through a proxy on it, is anybody."""
    caplog.set_level(logging.INFO, "latchgate.audit")
    app = as_documented.loaded_app
    async with app.router.lifespan_context(app), listening(as_documented) as port:
        url = f"http://127.0.0.1:{port}"
        async with httpx2.AsyncClient(base_url=url, headers={header: "203.0.113.9"}) as http:
            page = await http.get("/oauth/sign-in", headers=HTML)
            form = page.text.partition('name="form" value="')[2].partition('"')[0]
            fields = {"form": form, "username": "admin", "password": "a guess"}
            await http.post("/oauth/sign-in", data=fields, headers=HTML | {"Origin": url})
    events = [json.loads(r.getMessage()) for r in caplog.records if r.name == "latchgate.audit"]
    assert [event["address"] for event in events] == ["127.0.0.1"]
