"""What only the SQLite store promises: the file outlives us, and others may use it meanwhile."""

import asyncio
import resource
import shutil
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from auth.credentials import digest
from auth.models import Grant, Rotation, Use
from auth.store import StoreUnavailable
from auth.store.sqlite import SqliteStore
from tests.store_backends import opened
from tests.store_records import (
    GRACE,
    GRANTED_UNTIL,
    NOW,
    VERIFIED,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    is_consumed,
    new_access_token,
    new_account,
    new_ban,
    new_code,
    new_event,
    new_session,
)


class Inspected(SqliteStore):
    """A store whose own connection can be asked and told things."""

    async def execute(self, statement: str) -> Any:
        """Perform a statement as a step; its first row."""
        return await self._write(lambda db: db.execute(statement).fetchone())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db"


@pytest.fixture
async def sqlite(path: Path) -> AsyncIterator[Inspected]:
    """An open store with one person in it."""
    store = Inspected(str(path), busy_timeout=0.05)
    await store.open()
    await add_people(store, "ada")
    yield store
    await store.close()


def connect(path: Path) -> closing[sqlite3.Connection]:
    """Another program at the file."""
    return closing(sqlite3.connect(path, timeout=0, isolation_level=None))


# What is there after a restart


async def test_every_kind_of_record_outlives_a_restart(path: Path) -> None:
    ada = new_account("ada", roles=("user", "night shift"), last_sign_in_at=NOW)
    use = Use("exchanged", calls=3, day=20_833, calls_on_day=2, last_used_at=NOW)
    async with opened(SqliteStore(str(path))) as store:
        assert await store.add_account(ada)
        assert await store.add_session(new_session(), VERIFIED)
        pending = await add_pending(store, "pending")
        exchanged = await add_exchanged(store, "exchanged")
        await store.revoke_grant((await add_exchanged(store, "revoked")).grant_id, NOW)
        assert await store.spend(digest("form"), NOW + 60, NOW)
        await store.record_uses([use])
        await store.ban_client("another", new_ban("another"))
        await store.add_event(new_event(), {"sign_in"}, 50)

    async with opened(SqliteStore(str(path))) as store:
        assert await store.list_accounts() == [ada]
        assert await store.find_session(new_session().digest, NOW) == new_session()
        assert await store.find_code(new_code(pending).digest, NOW) == (new_code(pending), pending)
        token = new_access_token(exchanged)
        assert await store.find_access_token(token.digest, NOW) == (token, exchanged)
        assert await store.find_grants("ada", NOW) == [exchanged]
        assert not await store.spend(digest("form"), NOW + 60, NOW)
        assert await store.find_uses("ada") == [use]
        assert await store.list_bans() == [new_ban("another")]
        assert await store.list_events("ada") == [new_event()]


async def test_what_was_acknowledged_is_in_the_files_at_that_moment(
    sqlite: SqliteStore, path: Path, tmp_path: Path
) -> None:
    grant = await add_exchanged(sqlite)

    # What kill -9 would leave behind: the file and its log, nobody having closed them.
    left = tmp_path / "left.db"
    shutil.copy(path, left)
    shutil.copy(f"{path}-wal", f"{left}-wal")

    async with opened(SqliteStore(str(left))) as store:
        assert await is_alive(store, grant)
        code = await store.find_code(new_code(grant).digest, NOW)
        assert code is not None
        assert code[0].is_spent


async def test_closing_commits_what_waits_and_empties_the_log(path: Path) -> None:
    store = SqliteStore(str(path))
    await store.open()
    await add_people(store, "ada")
    waiting = [asyncio.create_task(add_pending(store, f"grant {n}")) for n in range(20)]
    await asyncio.sleep(0)
    await store.close()
    grants = await asyncio.gather(*waiting)

    assert [file.name for file in path.parent.iterdir()] == ["store.db"]
    async with opened(SqliteStore(str(path))) as again:
        for grant in grants:
            assert await again.find_grant(grant.grant_id, NOW) == grant


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(str(path))
    await store.open()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.check()
    with pytest.raises(StoreUnavailable):
        await store.find_account("ada")


async def test_only_its_owner_may_read_the_files(sqlite: SqliteStore, path: Path) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("synchronous", "level"), [("NORMAL", 1), ("FULL", 2), ("EXTRA", 3)])
async def test_how_durable_a_commit_is_can_be_chosen(
    path: Path, synchronous: Any, level: int
) -> None:
    async with opened(store := Inspected(str(path), synchronous=synchronous)):
        assert await store.execute("PRAGMA synchronous") == (level,)


# Several processes at one file


@pytest.fixture
async def other(sqlite: SqliteStore, path: Path) -> AsyncIterator[SqliteStore]:
    """A second worker at the same file."""
    async with opened(other := SqliteStore(str(path))):
        yield other


async def test_of_two_workers_racing_for_one_code_exactly_one_request_wins(
    sqlite: SqliteStore, other: SqliteStore
) -> None:
    grant = await add_pending(sqlite)
    code = new_code(grant)
    tokens = [new_access_token(grant, n) for n in range(100)]
    racing = (
        is_consumed(store, code.digest, token, GRANTED_UNTIL, NOW)
        for store, token in zip((sqlite, other) * 50, tokens, strict=True)
    )
    wins = await asyncio.gather(*racing)

    assert wins.count(True) == 1
    # Who came second proved that one of the two was a thief.
    assert not any([await other.find_access_token(token.digest, NOW) for token in tokens])


async def test_of_two_workers_racing_to_refresh_one_rotates_and_the_others_repeat(
    sqlite: SqliteStore, other: SqliteStore
) -> None:
    grant = await add_exchanged(sqlite)
    racing = (
        store.rotate_refresh_token(
            grant.grant_id, 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
        )
        for store in (sqlite, other) * 25
    )
    outcomes = await asyncio.gather(*racing)

    assert outcomes.count(Rotation.ROTATED) == 1
    assert outcomes.count(Rotation.REPEATED) == 49


async def test_what_one_worker_revokes_is_dead_for_the_next_request_of_the_other(
    sqlite: SqliteStore, other: SqliteStore
) -> None:
    grant = await add_exchanged(sqlite)
    assert await is_alive(other, grant)
    await sqlite.revoke_grant(grant.grant_id, NOW)
    assert not await is_alive(other, grant)


async def test_a_store_that_was_closed_meanwhile_starts_from_what_is_there_now(
    path: Path,
) -> None:
    store = SqliteStore(str(path))
    async with opened(store):
        await add_people(store, "ada")
        grant = await add_exchanged(store)
    async with opened(store):
        assert await is_alive(store, grant)
    async with opened(other := SqliteStore(str(path))):
        await other.revoke_grant(grant.grant_id, NOW)
    async with opened(store):
        assert not await is_alive(store, grant)


async def test_a_worker_waits_for_the_other_while_the_loop_goes_on(path: Path) -> None:
    async with opened(store := SqliteStore(str(path))):
        with connect(path) as program:
            program.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.add_account(new_account()))
            assert await store.find_account("ada") is None
            assert not waiting.done()
            program.execute("ROLLBACK")
        assert await waiting


async def test_workers_that_start_at_once_make_the_tables_once(path: Path) -> None:
    stores = [SqliteStore(str(path)) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await add_people(stores[0], "ada")
    assert [await store.find_account("ada") for store in stores] == [new_account()] * 8
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_purge_lets_others_in_between_its_slices(sqlite: Inspected) -> None:
    await sqlite.execute("""
        INSERT INTO spent WITH RECURSIVE number(n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 2000)
        SELECT randomblob(32), 0 FROM number
    """)

    purge = asyncio.create_task(sqlite.purge(NOW, 1999))
    left = []
    while not purge.done():
        left.append(await sqlite.execute("SELECT count(*) FROM spent"))

    assert {(1500,), (1000,), (500,)} <= set(left)
    assert await purge == 1999
    assert await sqlite.execute("SELECT count(*) FROM spent") == (1,)


async def test_what_was_counted_of_a_grant_is_purged_with_it(sqlite: Inspected) -> None:
    grant = await add_exchanged(sqlite)
    await sqlite.record_uses([Use(grant.grant_id, 1, 20_833, 1, NOW)])
    await sqlite.purge(GRANTED_UNTIL, 100)
    assert await sqlite.execute("SELECT count(*) FROM uses") == (0,)


# Trouble with the disk


@pytest.mark.slow
async def test_a_full_disk_undoes_the_whole_step_and_recovers_by_itself(sqlite: Inspected) -> None:
    alive = await add_exchanged(sqlite, "alive")
    pending = [await add_pending(sqlite, f"pending {n}") for n in range(150)]
    (pages,) = await sqlite.execute("PRAGMA page_count")
    await sqlite.execute(f"PRAGMA max_page_count = {pages}")

    async def exchange(grant: Grant) -> bool:
        code, token = new_code(grant), new_access_token(grant)
        return await is_consumed(sqlite, code.digest, token, GRANTED_UNTIL, NOW)

    outcomes = await asyncio.gather(*map(exchange, pending), return_exceptions=True)
    refused = [
        grant
        for grant, outcome in zip(pending, outcomes, strict=True)
        if isinstance(outcome, StoreUnavailable)
    ]
    assert refused
    for grant in pending:
        found = await sqlite.find_code(new_code(grant).digest, NOW)
        assert found is not None
        assert found[0].is_spent is (grant not in refused)
        assert await is_alive(sqlite, grant) is (grant not in refused)
    assert await is_alive(sqlite, alive)

    await sqlite.execute(f"PRAGMA max_page_count = {10 * pages}")
    assert all(await asyncio.gather(*map(exchange, refused)))
    assert await is_alive(sqlite, refused[0])


@pytest.mark.parametrize("is_replaced", [True, False])
async def test_a_file_that_was_taken_away_is_the_stores_trouble(
    sqlite: SqliteStore, path: Path, *, is_replaced: bool
) -> None:
    kept = path.rename(path.with_name("kept.db"))
    if is_replaced:
        path.write_bytes(kept.read_bytes())
    for act in (sqlite.check, lambda: sqlite.purge(NOW, 10)):
        with pytest.raises(StoreUnavailable, match="replaced" if is_replaced else "No such file"):
            await act()
    kept.replace(path)
    await sqlite.check()


async def test_a_disk_that_takes_no_more_writes_is_the_stores_trouble(
    sqlite: SqliteStore, path: Path
) -> None:
    grant = await add_exchanged(sqlite)
    size = Path(f"{path}-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(StoreUnavailable, match=r"store\.db: "):
            await sqlite.revoke_grant(grant.grant_id, NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await is_alive(sqlite, grant)

    assert await sqlite.revoke_grant(grant.grant_id, NOW)


@pytest.mark.slow
async def test_however_many_wait_for_a_locked_file_they_wait_once(path: Path) -> None:
    async with opened(SqliteStore(str(path), busy_timeout=0.5)) as store:
        with connect(path) as program:
            program.execute("BEGIN EXCLUSIVE")
            began = time.monotonic()
            steps = (store.spend(bytes([n]), NOW + 60, NOW) for n in range(250))
            outcomes = await asyncio.gather(*steps, return_exceptions=True)
            # A group after the other would take 2 s: the first step, then a hundred at a time.
            assert time.monotonic() - began < 1.5
        assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
        assert await store.spend(b"after", NOW + 60, NOW)


@pytest.mark.slow
async def test_a_file_that_somebody_keeps_locked_is_trouble_for_writers_alone(
    sqlite: SqliteStore, path: Path
) -> None:
    grant = await add_exchanged(sqlite)
    with connect(path) as program:
        program.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await sqlite.check()
        with pytest.raises(StoreUnavailable, match="locked"):
            await sqlite.revoke_grant(grant.grant_id, NOW)
        assert await is_alive(sqlite, grant)
    await sqlite.check()
    assert await sqlite.revoke_grant(grant.grant_id, NOW)


async def test_a_file_that_is_gone_is_trouble_for_a_survey(sqlite: SqliteStore, path: Path) -> None:
    path.unlink()
    with pytest.raises(StoreUnavailable, match=r"store\.db"):
        await sqlite.list_accounts()
