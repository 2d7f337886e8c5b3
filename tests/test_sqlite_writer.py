"""The writer's thread: steps that wait together share a commit, and no step harms another."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from auth.store.sqlite.writer import MAX_GROUP, Writer


@pytest.fixture
def log() -> list[str]:
    """The statements that were executed."""
    return []


@pytest.fixture
async def writer(tmp_path: Path, log: list[str]) -> AsyncIterator[Writer]:
    """A writer at a file with one table of numbers."""
    db = sqlite3.connect(tmp_path / "db", isolation_level=None, check_same_thread=False)
    db.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    db.set_trace_callback(log.append)
    writer = Writer(db)
    yield writer
    await writer.stop()
    db.close()


def add(*numbers: int) -> Callable[[sqlite3.Connection], None]:
    """A step that adds these numbers, one statement each."""

    def step(db: sqlite3.Connection) -> None:
        for number in numbers:
            db.execute("INSERT INTO numbers VALUES (?)", (number,))

    return step


def numbers(db: sqlite3.Connection) -> list[int]:
    """A step that reads them."""
    return [n for (n,) in db.execute("SELECT n FROM numbers ORDER BY n")]


@asynccontextmanager
async def held(writer: Writer) -> AsyncIterator[None]:
    """Keep the writer at a first step, so that those of the block wait together."""
    has_begun, is_free = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def step(_: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(has_begun.set)
        is_free.wait()

    first = asyncio.create_task(writer.perform(step))
    await has_begun.wait()
    yield
    await asyncio.sleep(0)
    is_free.set()
    await first


async def test_steps_that_wait_together_share_a_commit(writer: Writer, log: list[str]) -> None:
    async with held(writer):
        steps = [asyncio.create_task(writer.perform(add(n))) for n in range(MAX_GROUP)]
    await asyncio.gather(*steps)

    assert log.count("COMMIT") == 2
    assert await writer.perform(numbers) == list(range(MAX_GROUP))


async def test_so_many_steps_share_a_commit_and_no_more(writer: Writer, log: list[str]) -> None:
    async with held(writer):
        steps = [asyncio.create_task(writer.perform(add(n))) for n in range(2 * MAX_GROUP + 1)]
    await asyncio.gather(*steps)

    assert log.count("COMMIT") == 4


@pytest.mark.parametrize(
    ("faulty", "error"),
    [
        (add(100, 1), sqlite3.IntegrityError),
        (add(100, 2**64), OverflowError),
        (lambda db: db.execute("INSERT OR ROLLBACK INTO numbers VALUES (1)"), sqlite3.Error),
    ],
    ids=["half done", "not SQLite's", "the transaction is gone"],
)
async def test_a_step_that_fails_leaves_no_trace_and_the_others_alone(
    writer: Writer, faulty: Callable[[sqlite3.Connection], Any], error: type[Exception]
) -> None:
    async with held(writer):
        before = asyncio.create_task(writer.perform(add(1)))
        failing = asyncio.create_task(writer.perform(faulty))
        after = asyncio.create_task(writer.perform(add(3)))
    await asyncio.gather(before, after)

    with pytest.raises(error):
        await failing
    assert await writer.perform(numbers) == [1, 3]


async def test_who_hangs_up_while_waiting_is_passed_over(writer: Writer) -> None:
    async with held(writer):
        gone = asyncio.create_task(writer.perform(add(1)))
        stays = asyncio.create_task(writer.perform(add(2)))
        await asyncio.sleep(0)
        gone.cancel()
    await stays
    assert await writer.perform(numbers) == [2]
