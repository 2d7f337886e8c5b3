"""Files that the SQLite store opens, migrates or refuses."""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from auth.credentials import digest
from auth.models import Rotation
from auth.store import StoreUnavailable
from auth.store.sqlite import SqliteStore
from auth.store.sqlite.schema import MIGRATIONS, UnusableFile, migrate, use_wal
from tests.store_backends import opened
from tests.store_records import (
    GRACE,
    GRANTED_UNTIL,
    NOW,
    add_people,
    is_alive,
    new_access_token,
    new_account,
    new_ban,
    new_event,
    new_grant,
    new_session,
)

VERSION_1 = Path(__file__).with_name("sqlite_version_1.sql")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory of our own, where we are not root: root may write to what is read-only."""
    with tempfile.TemporaryDirectory() as directory:
        if os.geteuid() != 0:
            yield Path(directory)
            return
        nobody = 65534
        os.chown(directory, nobody, nobody)
        os.setresuid(nobody, nobody, 0)
        yield Path(directory)
        os.setresuid(0, 0, 0)


def connect(path: Path) -> closing[sqlite3.Connection]:
    """Another program at the file."""
    return closing(sqlite3.connect(path, timeout=0, isolation_level=None))


async def test_a_read_only_file_is_refused_at_the_start(unprivileged: Path) -> None:
    path = unprivileged / "store.db"
    async with opened(store := SqliteStore(str(path))):
        await add_people(store, "ada")
    path.chmod(0o400)
    with pytest.raises(StoreUnavailable, match=r"store\.db: .*read-only"):
        await SqliteStore(str(path)).open()

    path.chmod(0o600)
    async with opened(SqliteStore(str(path))) as again:
        assert await again.find_account("ada") == new_account()


async def test_a_directory_that_cannot_be_made_is_named(unprivileged: Path) -> None:
    unprivileged.chmod(0o500)
    with pytest.raises(StoreUnavailable, match="state"):
        await SqliteStore(str(unprivileged / "state" / "store.db")).open()


# Files that are not ours to write


def write_text(path: Path) -> None:
    path.write_text("Dear diary, " * 100)


def cut_short(path: Path) -> None:
    version_1(path)
    path.write_bytes(path.read_bytes()[:-4096])


def damage(path: Path) -> None:
    version_1(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * 4096 + whole[8192:])


def belong_to_another_program(path: Path) -> None:
    with connect(path) as db:
        db.execute("CREATE TABLE moz_places (url TEXT)")


def come_from_the_future(path: Path) -> None:
    version_1(path)
    with connect(path) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")


def version_1(path: Path) -> None:
    """A file as the first schema wrote it."""
    with connect(path) as db:
        db.executescript(VERSION_1.read_text())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (write_text, "not a database"),
        (cut_short, "damaged|malformed"),
        (damage, "damaged|malformed"),
        (belong_to_another_program, "another program"),
        (come_from_the_future, "newer"),
        (Path.mkdir, "unable to open"),
    ],
)
async def test_a_file_that_cannot_be_used_is_named_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "store.db"
    make(path)
    before = path.is_file() and path.read_bytes()
    with pytest.raises(StoreUnavailable, match=rf"store\.db: .*({message})"):
        await SqliteStore(str(path)).open()
    assert (path.is_file() and path.read_bytes()) == before


# Versions of the schema


async def test_what_version_1_wrote_is_still_good(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    version_1(path)
    async with opened(SqliteStore(str(path))) as store:
        ada = await store.find_account_by_username("ADA")
        assert ada == new_account()
        assert await store.find_session(new_session().digest, NOW) == new_session()
        grant = new_grant(generation=1, rotated_at=NOW, expires_at=GRANTED_UNTIL)
        assert await is_alive(store, grant)
        assert not await store.spend(digest("form"), NOW + 60, NOW)
        assert await store.find_ban(digest("another")) == new_ban("another")
        assert [use.calls for use in await store.find_uses("ada")] == [3]
        assert await store.list_events("ada") == [new_event()]
        outcome = await store.rotate_refresh_token(
            "grant", 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
        )
        assert outcome is Rotation.ROTATED


async def test_what_happened_to_somebody_who_was_removed_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    version_1(path)
    with connect(path) as db:
        db.execute(
            "INSERT INTO events (at, kind, subject) VALUES (?, 'sign_in', 'removed')", (NOW,)
        )
    async with opened(SqliteStore(str(path))) as store:
        assert list(await store.list_events("removed")) == []
        assert await store.list_events("ada") == [new_event()]


def test_a_migration_is_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    version_1(path)
    further = ["ALTER TABLE accounts ADD COLUMN locale TEXT"]
    with connect(path) as db:
        with pytest.raises(sqlite3.OperationalError):
            migrate(db, [*MIGRATIONS, [*further, "ALTER TABLE acounts ADD COLUMN zone TEXT"]])
        with pytest.raises(sqlite3.OperationalError):
            db.execute("SELECT locale FROM accounts")

        migrate(db, [*MIGRATIONS, further])
        migrate(db, [*MIGRATIONS, further])
        assert db.execute("SELECT username, locale FROM accounts").fetchall() == [("ada", None)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        with pytest.raises(UnusableFile, match=f"version {len(MIGRATIONS) + 1}"):
            migrate(db)


def test_a_worker_waits_for_another_that_is_just_starting(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with (
        closing(sqlite3.connect(path, timeout=0)) as other,
        closing(sqlite3.connect(path, timeout=0)) as db,
    ):
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(db, timeout=0)
        use_wal(db, timeout=60, sleep=lambda _seconds: other.rollback())
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
