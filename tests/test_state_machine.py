"""Codes, grants and refresh families on every backend, against a naive model (`tests/model.py`)."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from valkey import Valkey

from auth.store.memory import MemoryStore
from auth.store.sqlite import SqliteStore
from auth.store.valkey import ValkeyStore
from tests.state_machine import Backend, Machine


def memory(_request: pytest.FixtureRequest) -> Backend:
    return Backend(MemoryStore, survives_restart=False)


def sqlite(request: pytest.FixtureRequest) -> Backend:
    """A file each time; the tables are made once and copied, which is quicker."""
    folder: Path = request.getfixturevalue("tmp_path")
    made, used = folder / "made.db", folder / "used.db"

    async def make() -> None:
        store = SqliteStore(str(made))
        await store.open()
        await store.close()

    def empty() -> None:
        if not made.exists():
            asyncio.run(make())
        for leftover in folder.glob("used.db*"):
            leftover.unlink()
        shutil.copy(made, used)

    return Backend(lambda: SqliteStore(str(used), synchronous="NORMAL"), empty)


def valkey(request: pytest.FixtureRequest) -> Backend:
    url: str = request.getfixturevalue("valkey_url")

    def empty() -> None:
        with Valkey.from_url(url) as client:
            client.flushdb()

    return Backend(lambda: ValkeyStore(url), empty)


BACKENDS: dict[str, Callable[[pytest.FixtureRequest], Backend]] = {
    "memory": memory,
    "sqlite": sqlite,
    "valkey": valkey,
}


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("name", BACKENDS)
def test_whatever_is_done_the_model_agrees(
    name: str, request: pytest.FixtureRequest, runner: asyncio.Runner
) -> None:
    backend = BACKENDS[name](request)
    run_state_machine_as_test(
        partial(Machine, backend, runner),
        settings=settings(max_examples=int(__import__("os").environ.get("N", "20")), stateful_step_count=30, derandomize=True, deadline=None, phases=[Phase.generate, Phase.shrink] if "SHRINK" in __import__("os").environ else [Phase.generate]),
    )
