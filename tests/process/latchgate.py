"""Our server in processes of its own, which experiments end, kill and start again."""

import asyncio
import atexit
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import SystemRandom

import httpx2

from demo.start import ROOT
from tests.kit import PASSWORD

KEY = "the-key-of-the-experiments-of-thirty-two-characters"
PATIENCE = 40
GRACE = 10
SETTINGS = {
    "ADMIN_PASSWORD": PASSWORD,
    "PASSWORD_MEMORY_KIB": "8",
    "PASSWORD_ITERATIONS": "1",
    "SECRET_KEYS": KEY,
    # Everything comes from one address here, a thousand times as fast as from people.
    "SIGN_IN_LIMIT": "1000000/second",
    "SIGN_IN_ACCOUNT_LIMIT": "1000000/second",
    "SIGN_IN_ADDRESS_LIMIT": "1000000/second",
    "AUTHORIZATION_LIMIT": "1000000/second",
    "REGISTRATION_LIMIT": "1000000/second",
    "TOKEN_LIMIT": "1000000/second",
    "TOKEN_LOOKUP_LIMIT": "1000000/second",
    "STREAMS_PER_PERSON": "1000",
}


def lasting_port() -> int:
    """A free port that stays free while its server is down: none that outgoing connections get."""
    while True:
        port = SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


class Latchgate:
    """uvicorn with one application, on one port for all its lives; what it says is kept."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        *,
        application: str = "combined_app:app",
        workers: int = 1,
        port: int | None = None,
    ) -> None:
        self._folder = folder
        self._settings = {**SETTINGS, **settings}
        self._command = [
            *(sys.executable, "-m", "uvicorn", application, "--app-dir", str(ROOT)),
            *("--host", "127.0.0.1", "--port", str(port or lasting_port())),
            *("--no-access-log", "--timeout-graceful-shutdown", str(GRACE)),
            *(("--workers", str(workers)) if workers > 1 else ()),
        ]
        self._workers = workers
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said = asyncio.Condition()
        self.log = ""
        self.seconds_to_start = 0.0

    @property
    def origin(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._command[self._command.index("--port") + 1])

    @property
    def pid(self) -> int:
        """The process, or the one that watches over the workers."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until every worker serves. Raises AssertionError with its log."""
        began = time.monotonic()
        await self.launch()
        await self.says("Application startup complete", self._workers)
        await self.says("Uvicorn running on")
        self.seconds_to_start = time.monotonic() - began

    async def launch(self) -> None:
        """Start it, and wait for nothing."""
        assert self._has_ended(), "it runs already"
        self.log = ""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("LATCHGATE_")
        }
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._folder,
            env=inherited | {f"LATCHGATE_{name}": value for name, value in self._settings.items()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        # Also when the experiments are broken off.
        atexit.register(self._kill_group)
        self._reader = asyncio.create_task(self._read(self._process))

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until its log has these words."""
        async with asyncio.timeout(PATIENCE), self._said:
            await self._said.wait_for(lambda: self.log.count(words) >= times or self._has_ended())
        assert self.log.count(words) >= times, self.log

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it; a supervisor passes it on."""
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Wait until it has ended; its exit code (the negative number of a signal)."""
        assert self._process is not None
        assert self._reader is not None
        async with asyncio.timeout(PATIENCE):
            code = await self._process.wait()
            await self._reader
        atexit.unregister(self._kill_group)
        return code

    async def kill(self) -> None:
        """Kill -9, every process of it."""
        self._kill_group()
        await self.ended()

    async def terminate(self) -> int:
        """End it as a service manager does; its exit code."""
        self.send(signal.SIGTERM)
        return await self.ended()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        return self._reader is None or self._reader.done()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                await self._note(line.decode(errors="replace"))
        finally:
            await self._note("")

    async def _note(self, line: str) -> None:
        async with self._said:
            self.log += line
            self._said.notify_all()


@asynccontextmanager
async def running(
    folder: Path,
    *,
    application: str = "combined_app:app",
    workers: int = 1,
    port: int | None = None,
    **settings: str,
) -> AsyncIterator[Latchgate]:
    """A server that serves, and that is gone afterwards whatever happened."""
    server = Latchgate(folder, settings, application=application, workers=workers, port=port)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


async def seconds_until_ready(http: httpx2.AsyncClient) -> float:
    """How long it takes until it can serve everything."""
    began = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        # Another process becomes ready, and can only be asked.
        while (await http.get("/readyz")).status_code != httpx2.codes.OK:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return time.monotonic() - began


class _Shared(httpx2.AsyncBaseTransport):
    """Sockets that several clients use; they are closed by whoever opened them."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self.handle_async_request = transport.handle_async_request  # type: ignore[method-assign]


@asynccontextmanager
async def sockets(connections: int = 50) -> AsyncIterator[httpx2.AsyncBaseTransport]:
    """Sockets for any number of HTTP clients, each with cookies of its own."""
    limits = httpx2.Limits(max_connections=connections)
    async with httpx2.AsyncHTTPTransport(limits=limits, verify=False) as transport:
        yield _Shared(transport)


def new_client(transport: httpx2.AsyncBaseTransport, origin: str) -> httpx2.AsyncClient:
    """An HTTP client that follows no redirects and waits for half a minute."""
    return httpx2.AsyncClient(transport=transport, base_url=origin, timeout=30)
