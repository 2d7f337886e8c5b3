"""Several workers on one SQLite file: any of them serves any request; on memory:// none start.

With `tests.process.counted:app` every answer says which worker gave it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from tests.process.conftest import Report
from tests.process.journeys import RACERS, journey, race_for_codes, race_to_refresh
from tests.process.latchgate import Latchgate, new_client, running, sockets
from tests.process.minting import Mint, Program, each, minting

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

WORKERS = 4
JOURNEYS = 100
AT_A_TIME = 20
RACES = 10


class OneRequestASocket(httpx2.AsyncBaseTransport):
    """Connects anew for every request, so that any worker may be the one; counts who was."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport
        self.served: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Connection"] = "close"
        response = await self._transport.handle_async_request(request)
        self.served[response.headers.get("x-worker", "")] += 1
        return response


@asynccontextmanager
async def racing(
    folder: Path, application: str, workers: int
) -> AsyncIterator[tuple[Program, Mint]]:
    """A client whose every request may come to any worker, and codes for it."""
    url = f"sqlite:///{folder}/store.db"
    async with (
        running(folder, application=application, workers=workers, STORE_URL=url) as server,
        sockets(RACERS) as transport,
        new_client(OneRequestASocket(transport), server.origin) as http,
        minting(http, url) as mint,
    ):
        yield Program(http, mint.client), mint


async def test_every_request_of_a_journey_may_come_to_any_worker(
    tmp_path: Path, report: Report
) -> None:
    async with (
        running(
            tmp_path,
            application="tests.process.counted:app",
            workers=WORKERS,
            STORE_URL=f"sqlite:///{tmp_path}/store.db",
        ) as server,
        sockets() as transport,
    ):
        counted = OneRequestASocket(transport)

        async def travel(_number: int) -> None:
            await journey(counted, server.origin)

        await each(travel, range(JOURNEYS), AT_A_TIME)
    shares = sorted(counted.served.values())
    requests = " + ".join(map(str, shares))
    report(
        f"journeys over {WORKERS} workers on one file",
        "sqlite",
        JOURNEYS,
        f"{JOURNEYS} complete; {requests} requests served",
    )
    assert len(shares) == WORKERS
    assert shares[-1] < sum(shares) * 0.9
    assert "Traceback" not in server.log


async def test_of_those_who_race_over_workers_one_wins(tmp_path: Path, report: Report) -> None:
    async with racing(tmp_path, "combined_app:app", WORKERS) as (program, mint):
        winners, errors = await race_for_codes([program], mint, RACES)
        result = f"{winners}/{RACES} rounds with one winner, {errors} errors"
        report(f"X5 {RACERS} with one code, {WORKERS} workers", "sqlite", RACES, result)
        families = await race_to_refresh([program], mint, RACES)
        result = f"{families}/{RACES} rounds with one family"
        report(f"X6 {RACERS} with one refresh token, {WORKERS} workers", "sqlite", RACES, result)
    assert (winners, errors, families) == (RACES, 0, RACES)


async def test_a_store_without_locks_is_found_out_by_a_race(tmp_path: Path, report: Report) -> None:
    async with racing(tmp_path, "tests.process.broken:unlocked", 1) as (program, mint):
        winners, _ = await race_for_codes([program], mint, RACES)
        result = f"{winners}/{RACES} rounds with one winner"
        report("X5 on a broken store, must fail: unlocked", "sqlite", RACES, result)
        families = await race_to_refresh([program], mint, RACES)
        result = f"{families}/{RACES} rounds with one family"
        report("X6 on a broken store, must fail: unlocked", "sqlite", RACES, result)
    assert winners < RACES
    assert families < RACES


async def test_several_workers_on_memory_are_refused(tmp_path: Path, report: Report) -> None:
    server = Latchgate(tmp_path, {}, workers=WORKERS)
    try:
        await server.launch()
        code = await server.ended()
    finally:
        await server.kill()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", server.port)
    is_said = "share a store: LATCHGATE_STORE_URL=sqlite:///" in server.log
    report(
        f"{WORKERS} workers on memory://",
        "memory",
        1,
        f"{'refused with the remedy' if is_said else 'not refused'}, exit {code}",
    )
    assert is_said
    assert "Traceback" not in server.log
    assert code == 0  # of the supervisor, which was told to end
