"""A full disk, a locked file: 503 until it is over, nothing half done, no new start (X7, X8)."""

import resource
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.process.conftest import Report
from tests.process.latchgate import (
    Latchgate,
    new_client,
    running,
    seconds_until_ready,
    sockets,
)
from tests.process.minting import Mint, Program, each, minting, statuses

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform != "linux", reason="limits a running process: prlimit"),
]

CODES = 100
REQUESTS = 500
BUSY_TIMEOUT = 5.0
"""Seconds that a step waits for the lock of another process."""


@contextmanager
def full_disk(server: Latchgate) -> Iterator[None]:
    """No file of the server may grow or be written: what a full disk answers, but EFBIG."""
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process writes, and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


@dataclass
class World:
    """A server with live tokens and unused codes."""

    server: Latchgate
    path: Path
    http: httpx2.AsyncClient
    mint: Mint
    tokens: list[dict[str, Any]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    @property
    def program(self) -> Program:
        """The client."""
        return Program(self.http, self.mint.client)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A server with live tokens and unused codes."""
    path = tmp_path / "store.db"
    url = f"sqlite:///{path}"
    async with (
        running(tmp_path, STORE_URL=url) as server,
        sockets(CODES) as transport,
        new_client(transport, server.origin) as http,
        minting(http, url) as mint,
    ):
        world = World(server, path, http, mint)
        answers = await each(world.program.exchange, await mint.codes(CODES))
        world.tokens = [answer.json() for answer in answers]
        world.codes = [*await mint.codes(CODES)]
        yield world


async def write(world: World, requests: int) -> tuple[Counter[str], list[int]]:
    """Steps that have to be written: what the token endpoint answers; and what /mcp answers."""
    errors: Counter[str] = Counter()
    called = []

    async def step(number: int) -> None:
        pair = world.tokens[number % CODES]
        if number % 2:
            answer = await world.program.exchange(world.codes[number % CODES])
        else:
            answer = await world.program.refresh(pair["refresh_token"])
        has_advice = "retry-after" in answer.headers
        errors[f"{answer.status_code} {answer.json().get('error')} {has_advice}"] += 1
        called.append((await world.program.call(pair["access_token"])).status_code)

    await each(step, range(requests), CODES)
    return errors, called


async def goes_on(world: World) -> tuple[float, int, int]:
    """Seconds until it is ready; refresh tokens and codes that are good, and codes good twice."""
    recovery = await seconds_until_ready(world.http)
    refreshed = await statuses(
        world.program.refresh, [pair["refresh_token"] for pair in world.tokens]
    )
    exchanged = await statuses(world.program.exchange, world.codes)
    again = await statuses(world.program.exchange, world.codes)
    return recovery, (refreshed + exchanged).count(200), again.count(200)


@asynccontextmanager
async def _unchanged_process(world: World) -> AsyncIterator[None]:
    """It recovers by itself, and has not said anything that looks like a fault of ours."""
    pid = world.server.pid
    yield
    assert world.server.pid == pid
    assert "Traceback" not in world.server.log


async def test_a_full_disk_is_503_for_writes_and_nothing_for_reads(
    world: World, report: Report
) -> None:
    async with _unchanged_process(world):
        with full_disk(world.server):
            errors, called = await write(world, REQUESTS)
        recovery, good, twice = await goes_on(world)
    refused = errors["503 temporarily_unavailable True"]
    report(
        "X7 full disk",
        "sqlite",
        REQUESTS,
        f"{refused}/{REQUESTS} writes 503, {called.count(200)}/{REQUESTS} reads 200; "
        f"recovered in {recovery:.2f} s, {good}/{2 * CODES} good, {twice} twice",
    )
    assert errors == {"503 temporarily_unavailable True": REQUESTS}
    assert set(called) == {200}
    assert (good, twice) == (2 * CODES, 0)
    assert recovery < 2


async def test_a_locked_file_is_503_after_five_seconds(world: World, report: Report) -> None:
    began = time.monotonic()
    async with _unchanged_process(world):
        with locked(world.path):
            errors, called = await write(world, CODES)
            waited = time.monotonic() - began
        recovery, good, twice = await goes_on(world)
    refused = errors["503 temporarily_unavailable True"]
    report(
        "X8 file locked by another process",
        "sqlite",
        CODES,
        f"{refused}/{CODES} writes 503 after {waited:.1f} s, {called.count(200)}/{CODES} reads "
        f"200; recovered in {recovery:.2f} s, {good}/{2 * CODES} good, {twice} twice",
    )
    assert errors == {"503 temporarily_unavailable True": CODES}
    assert set(called) == {200}
    assert waited < BUSY_TIMEOUT + 3
    assert (good, twice) == (2 * CODES, 0)
    assert recovery < 2
