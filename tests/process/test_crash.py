"""Kill -9 at a random moment: what was acknowledged is there, nothing happened twice (X1, X2)."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from tests.process.conftest import Report
from tests.process.latchgate import Latchgate, new_client, running, sockets
from tests.process.minting import Mint, Program, each, minting, statuses

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

CODES = 1000
CHAINS = 200
HALF_DONE = """
    SELECT count(*) FROM codes JOIN grants USING (grant_id) WHERE is_spent AND generation = 0
"""


@dataclass
class Found:
    """What was wrong after a crash; every number has to be 0."""

    lost: int = 0
    used_twice: int = 0
    revoked_alive: int = 0
    half_done: int = 0
    corrupt: int = 0

    def add(self, other: "Found") -> None:
        """Count what was wrong after one more crash."""
        for each_ in fields(self):
            setattr(self, each_.name, getattr(self, each_.name) + getattr(other, each_.name))

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}".replace("_", " ") for name, value in vars(self).items())


@dataclass
class Acknowledged:
    """What clients were told before the crash."""

    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By code: the tokens that it gave."""
    revoked: set[str] = field(default_factory=set)
    """The codes whose grants were revoked."""
    doubtful: set[str] = field(default_factory=set)
    """The codes whose grants were being revoked when the server died."""

    @property
    def good(self) -> Sequence[dict[str, Any]]:
        """The tokens that have to be there."""
        ended = self.revoked | self.doubtful
        return [tokens for code, tokens in self.given.items() if code not in ended]


async def exchange_until_killed(
    server: Latchgate, mint: Mint, codes: Sequence[str], random: Random
) -> Acknowledged:
    """Exchange codes and revoke every tenth grant, until the server dies somewhere on the way."""
    told = Acknowledged()
    killed_after = random.randrange(len(codes) // 10, len(codes) * 9 // 10)

    async with sockets() as transport, new_client(transport, server.origin) as http:
        program = Program(http, mint.client)

        async def use(code: str) -> None:
            if len(told.given) >= killed_after:
                await server.kill()
                return
            try:
                answer = await program.exchange(code)
                assert answer.status_code == 200, answer.text
                told.given[code] = answer.json()
                if random.random() < 0.1:
                    told.doubtful.add(code)
                    answer = await program.revoke(told.given[code]["refresh_token"])
                    assert answer.status_code == 200, answer.text
                    told.revoked.add(code)
            except httpx2.TransportError:
                pass  # no answer came: nobody knows whether it happened

        await each(use, codes)
    return told


async def what_is_wrong(
    server: Latchgate, mint: Mint, codes: Sequence[str], told: Acknowledged, path: Path
) -> Found:
    """Compare what clients were told with what the server knows after its new start."""
    found = Found()
    with closing(sqlite3.connect(path)) as db:
        found.corrupt = int(db.execute("PRAGMA integrity_check").fetchone() != ("ok",))
        found.half_done = db.execute(HALF_DONE).fetchone()[0]
    async with sockets() as transport, new_client(transport, server.origin) as http:
        program = Program(http, mint.client)
        called = await statuses(program.call, [tokens["access_token"] for tokens in told.good])
        refreshed = await each(program.refresh, [tokens["refresh_token"] for tokens in told.good])
        found.lost = sum(
            pair != (200, 200)
            for pair in zip(called, [answer.status_code for answer in refreshed], strict=True)
        )
        ended = [told.given[code]["access_token"] for code in told.revoked]
        found.revoked_alive = sum(status != 401 for status in await statuses(program.call, ended))

        first = await statuses(program.exchange, codes)
        again = await statuses(program.exchange, codes)
        given = [code in told.given for code in codes]
        uses = zip(given, first, again, strict=True)
        found.used_twice = sum(
            told_before + (one == 200) + (two == 200) > 1 for told_before, one, two in uses
        )
        # Each of those codes was presented twice by somebody who could prove it was theirs.
        ended = [answer.json()["access_token"] for answer in refreshed if answer.is_success]
        found.revoked_alive += sum(status != 401 for status in await statuses(program.call, ended))
    return found


async def crash(folder: Path, random: Random, rounds: int, application: str) -> tuple[Found, str]:
    """Let it crash so many times; what was wrong, and how it went."""
    found, acknowledged, slowest = Found(), 0, 0.0
    path = folder / "store.db"
    url = f"sqlite:///{path}"
    async with (
        running(folder, application=application, STORE_URL=url) as server,
        sockets() as transport,
        new_client(transport, server.origin) as http,
        minting(http, url) as mint,
    ):
        for _ in range(rounds):
            codes = await mint.codes(CODES)
            told = await exchange_until_killed(server, mint, codes, random)
            await server.start()
            acknowledged += len(told.given)
            slowest = max(slowest, server.seconds_to_start)
            found.add(await what_is_wrong(server, mint, codes, told, path))
    return found, f"{acknowledged} acknowledged; {found}; ready in {slowest:.1f} s"


async def test_kill_9_in_the_middle_of_1000_exchanges(
    tmp_path: Path, random: Random, report: Report
) -> None:
    rounds = 3
    found, result = await crash(tmp_path, random, rounds, "combined_app:app")
    report(f"X1 kill -9 in {CODES} exchanges, {rounds} rounds", "sqlite", rounds * CODES, result)
    assert found == Found()


@pytest.mark.parametrize(("broken", "fault"), [("late", "lost"), ("two_steps", "half_done")])
async def test_a_broken_store_is_found_out_by_kill_9(
    tmp_path: Path, random: Random, report: Report, broken: str, fault: str
) -> None:
    found, result = await crash(tmp_path, random, 1, f"tests.process.broken:{broken}")
    report(f"X1 on a broken store, must fail: {broken}", "sqlite", CODES, result)
    assert getattr(found, fault) > 0


@dataclass
class Chain:
    """One family of tokens, as its client knows it."""

    tokens: dict[str, Any]
    rotations: int = 0


async def refresh_until_killed(
    server: Latchgate, mint: Mint, chains: Sequence[Chain], random: Random
) -> None:
    """Rotate every chain again and again, until the server dies somewhere on the way."""
    killed_after = random.randrange(CHAINS, 5 * CHAINS)
    async with sockets() as transport, new_client(transport, server.origin) as http:
        program = Program(http, mint.client)

        async def rotate(chain: Chain) -> None:
            while sum(chain.rotations for chain in chains) < killed_after:
                try:
                    answer = await program.refresh(chain.tokens["refresh_token"])
                except httpx2.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                chain.tokens = answer.json()
                chain.rotations += 1
            await server.kill()

        await each(rotate, chains)


async def broken_chains(server: Latchgate, mint: Mint, chains: Sequence[Chain]) -> tuple[int, int]:
    """How many chains do not go on, and how many have two ends."""
    async with sockets() as transport, new_client(transport, server.origin) as http:
        program = Program(http, mint.client)

        async def go_on(chain: Chain) -> tuple[bool, bool]:
            called = await program.call(chain.tokens["access_token"])
            one = await program.refresh(chain.tokens["refresh_token"])
            same = await program.refresh(chain.tokens["refresh_token"])
            if not (called.is_success and one.is_success and same.is_success):
                return True, False
            chain.tokens = one.json()
            two = await program.refresh(chain.tokens["refresh_token"])
            is_forked = one.json()["refresh_token"] != same.json()["refresh_token"]
            chain.tokens = two.json()
            return not two.is_success, is_forked

        ends = await each(go_on, chains)
    return sum(is_lost for is_lost, _ in ends), sum(is_forked for _, is_forked in ends)


async def crash_chains(
    folder: Path, url: str, random: Random, rounds: int, application: str = "combined_app:app"
) -> tuple[int, int, str]:
    """Let it crash so many times; the chains that were lost, those that forked, how it went."""
    lost, forked, rotations = 0, 0, 0
    async with (
        running(folder, application=application, STORE_URL=url) as server,
        sockets() as transport,
        new_client(transport, server.origin) as http,
        minting(http, url) as mint,
    ):
        codes = await mint.codes(CHAINS)
        answers = await each(Program(http, mint.client).exchange, codes)
        chains = [Chain(answer.json()) for answer in answers]
        for _ in range(rounds):
            await refresh_until_killed(server, mint, chains, random)
            await server.start()
            rotations += sum(chain.rotations for chain in chains)
            wrong = await broken_chains(server, mint, chains)
            lost, forked = lost + wrong[0], forked + wrong[1]
            for chain in chains:
                chain.rotations = 0
    return lost, forked, f"{rotations} acknowledged; {lost} chains lost, {forked} forked"


@pytest.mark.parametrize("store", ["sqlite", "valkey"])
async def test_kill_9_in_the_middle_of_refreshing(
    tmp_path: Path, valkey_url: str, random: Random, report: Report, store: str
) -> None:
    url = valkey_url if store == "valkey" else f"sqlite:///{tmp_path}/store.db"
    rounds = 3
    lost, forked, result = await crash_chains(tmp_path, url, random, rounds)
    report(f"X2 kill -9 in {CHAINS} refresh chains, {rounds} rounds", store, CHAINS, result)
    assert (lost, forked) == (0, 0)


async def test_a_store_that_writes_late_is_found_out_by_its_chains(
    tmp_path: Path, random: Random, report: Report
) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    lost, _, result = await crash_chains(tmp_path, url, random, 1, "tests.process.broken:late")
    report("X2 on a broken store, must fail: late", "sqlite", CHAINS, result)
    assert lost > 0
