"""Two cores, one for what is measured and one for who measures; processes, ports, memory."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.http_client import Connection, Disconnected, request
from demo.start import free_port as free_port  # noqa: PLC0414 - the one way to find one

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60.0
PAUSE = 0.005
GRACE = 10.0

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


class NotStarted(Exception):
    """A server did not come up."""


@dataclass(frozen=True, slots=True)
class Program:
    """A server to start: what, with which environment, and what it answers when it is up."""

    command: Sequence[str]
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_path: str = "/"

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"


def pin_load() -> None:
    """Keep this process on the core of the load."""
    os.sched_setaffinity(0, {LOAD_CORE})


@contextmanager
def running(
    program: Program, folder: Path, cores: Collection[int] = (SERVER_CORE,)
) -> Iterator[subprocess.Popen[bytes]]:
    """The program in a process of its own on the servers' core, its log in the folder."""
    log = folder / f"{program.port}.log"
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("LATCHGATE_")
    }
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            [*program.command],
            cwd=folder,
            env=inherited | dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    try:
        os.sched_setaffinity(process.pid, cores)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def wait_until_ready(
    program: Program, process: subprocess.Popen[bytes], folder: Path
) -> float:
    """Ask until it answers; the moment it did. NotStarted if it ends or takes too long."""
    asked = request("GET", program.url + program.ready_path)
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE and process.poll() is None:
        try:
            connection = await Connection.to(program.url)
            answer = await connection.ask(asked)
            connection.close()
        except (OSError, Disconnected):
            await asyncio.sleep(PAUSE)
            continue
        if answer.status < 500:  # whatever it says, it answers
            return time.perf_counter()
    log = (folder / f"{program.port}.log").read_text(errors="replace")
    raise NotStarted(f"{' '.join(program.command)} did not come up:\n{log[-2000:]}")


def resident_mib(pid: int) -> float:
    """The memory of a process as the kernel counts it: resident, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def cpu_seconds(pids: Sequence[int]) -> float:
    """The time that these processes have had on a core, all their threads together."""
    spent = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9
