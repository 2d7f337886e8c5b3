"""SIGTERM while streams are open: they end cleanly, and the server in time (X14, X15)."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.process.conftest import Report
from tests.process.latchgate import (
    GRACE,
    Latchgate,
    lasting_port,
    new_client,
    running,
    sockets,
)
from tests.process.minting import Program, minting
from tests.resource_server_kit import (
    HANDSHAKE,
    INITIALIZE,
    modern,
    modern_headers,
    result,
    wire,
)

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]

STREAMS = 40
CALLS = 10
TOOLS = "tests.process.tools:create"
LISTEN = modern("subscriptions/listen", notifications={"toolsListChanged": True})

Opened = AbstractAsyncContextManager[httpx2.Response]


Served = tuple[Latchgate, httpx2.AsyncClient, str]
Serving = Callable[[Path], AbstractAsyncContextManager[Served]]


@asynccontextmanager
async def combined(folder: Path) -> AsyncIterator[Served]:
    """A server with a tool that takes its time, and a good token."""
    url = f"sqlite:///{folder}/store.db"
    async with (
        running(folder, STORE_URL=url, MCP_SERVER=TOOLS) as server,
        sockets(2 * STREAMS + CALLS) as transport,
        new_client(transport, server.origin) as http,
        minting(http, url) as mint,
    ):
        (code,) = await mint.codes(1)
        answer = await Program(http, mint.client).exchange(code)
        yield server, http, answer.json()["access_token"]


@asynccontextmanager
async def split(folder: Path) -> AsyncIterator[Served]:
    """The same, where the authorization server is another process."""
    url = f"sqlite:///{folder}/store.db"
    port = lasting_port()
    resource = f"http://127.0.0.1:{port}/mcp"
    both: dict[str, Any] = {
        "INTROSPECTION_CLIENT_ID": "resource-server",
        "INTROSPECTION_CLIENT_SECRET": "a-secret-of-the-two-halves",
    }
    ours: dict[str, Any] = {"STORE_URL": url, "RESOURCE_SERVER_URL": resource}
    async with (
        running(folder, application="auth.app:app", **ours, **both) as issuer,
        running(
            folder,
            application="resource_server.app:app",
            port=port,
            AUTHORIZATION_SERVER=issuer.origin,
            MCP_SERVER=TOOLS,
            **both,
        ) as server,
        sockets(2 * STREAMS + CALLS) as transport,
        new_client(transport, issuer.origin) as program,
        new_client(transport, server.origin) as http,
        minting(program, url) as mint,
    ):
        mint.resource = resource
        (code,) = await mint.codes(1)
        answer = await Program(program, mint.client).exchange(code)
        yield server, http, answer.json()["access_token"]


deployments = pytest.mark.parametrize("serving", [combined, split])


async def open_get(http: httpx2.AsyncClient, token: str) -> Opened:
    """The GET stream of a session of its own."""
    answer = await http.post("/mcp", json=INITIALIZE, headers=wire(token, {}))
    carried = {
        "Mcp-Session-Id": answer.headers["mcp-session-id"],
        "MCP-Protocol-Version": HANDSHAKE,
    }
    return http.stream("GET", "/mcp", headers=wire(token, carried))


async def open_listen(http: httpx2.AsyncClient, token: str) -> Opened:
    """A `subscriptions/listen`."""
    headers = wire(token, modern_headers("subscriptions/listen"))
    return http.stream("POST", "/mcp", json=LISTEN, headers=headers)


def wait(http: httpx2.AsyncClient, token: str, seconds: float) -> asyncio.Task[httpx2.Response]:
    """A call of the tool, under way."""
    call = modern("tools/call", name="wait", arguments={"seconds": seconds})
    headers = wire(token, modern_headers("tools/call", "wait"))
    return asyncio.create_task(http.post("/mcp", json=call, headers=headers))


async def rest(stream: httpx2.Response) -> str:
    """What still comes. Raises httpx2.RemoteProtocolError if the end is not a proper one."""
    return "".join([text async for text in stream.aiter_text()])


@deployments
@pytest.mark.parametrize("open_stream", [open_get, open_listen])
async def test_streams_end_cleanly_and_the_server_in_time(
    tmp_path: Path,
    report: Report,
    open_stream: Callable[[httpx2.AsyncClient, str], Opened],
    serving: Serving,
) -> None:
    async with serving(tmp_path) as (server, http, token), AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(await open_stream(http, token))  # type: ignore[misc]
            for _ in range(STREAMS)
        ]
        assert {stream.status_code for stream in streams} == {200}
        calls = [wait(http, token, 1) for _ in range(CALLS)]
        await server.says("waiting", CALLS)
        began = time.monotonic()
        server.send(signal.SIGTERM)
        ends = await asyncio.gather(*map(rest, streams))
        answers = await asyncio.gather(*calls)
        code = await server.ended()
        seconds = time.monotonic() - began
    answered = sum(result(answer)["content"][0]["text"] == "waited" for answer in answers)
    clean = sum("Error" not in end for end in ends)
    report(
        f"X14 SIGTERM with {STREAMS} streams ({open_stream.__name__.removeprefix('open_')}, "
        f"{serving.__name__})",
        "sqlite",
        STREAMS,
        f"{clean} ended cleanly, {answered}/{CALLS} calls answered, exit {code} "
        f"after {seconds:.1f} s",
    )
    assert (clean, answered) == (STREAMS, CALLS)
    assert code in {0, -signal.SIGTERM}
    assert seconds < GRACE
    assert "Traceback" not in server.log


@deployments
async def test_a_second_sigterm_ends_it_at_once(
    tmp_path: Path, report: Report, serving: Serving
) -> None:
    async with serving(tmp_path) as (server, http, token):
        call = wait(http, token, 60)
        await server.says("waiting")
        server.send(signal.SIGTERM)
        await server.says("Waiting for connections to close")
        began = time.monotonic()
        server.send(signal.SIGTERM)
        code = await server.ended()
        seconds = time.monotonic() - began
        with pytest.raises(httpx2.TransportError):
            await call
    report(
        f"X15 second SIGTERM, a call under way ({serving.__name__})",
        "sqlite",
        1,
        f"exit {code} after {seconds:.2f} s",
    )
    assert code == -signal.SIGTERM
    assert seconds < 1
