"""The tables of the SQLite store, and the way to them from every earlier version."""

import sqlite3
import time
from collections.abc import Callable, Sequence

APPLICATION_ID = 0x4C474154
"""`LGAT`, in the header of every file that is ours (`PRAGMA application_id`)."""

Migration = Sequence[str]

# Rows that are found by digest and small live in the index itself (WITHOUT ROWID): one descent.
# A grant outlives its tokens (`Store.find_access_token`), so nothing has to cascade to them.
VERSION_1: Migration = (
    """
    CREATE TABLE accounts (
        subject TEXT PRIMARY KEY,
        username TEXT NOT NULL,
        folded_username TEXT NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        roles TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        disabled_at INTEGER,
        last_sign_in_at INTEGER
    ) STRICT
    """,
    """
    CREATE TABLE sessions (
        digest BLOB PRIMARY KEY,
        subject TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        signed_in_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX sessions_by_subject ON sessions (subject)",
    "CREATE INDEX sessions_by_expiry ON sessions (expires_at)",
    """
    CREATE TABLE spent (
        digest BLOB PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX spent_by_expiry ON spent (expires_at)",
    """
    CREATE TABLE grants (
        grant_id TEXT PRIMARY KEY,
        subject TEXT NOT NULL,
        client_id TEXT NOT NULL,
        client_name TEXT NOT NULL,
        redirect_uri TEXT NOT NULL,
        resource TEXT NOT NULL,
        scope TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        rotated_at INTEGER NOT NULL,
        revoked_at INTEGER
    ) STRICT
    """,
    "CREATE INDEX grants_by_subject ON grants (subject)",
    "CREATE INDEX grants_by_client ON grants (client_id)",
    "CREATE INDEX grants_by_expiry ON grants (expires_at)",
    """
    CREATE TABLE codes (
        digest BLOB PRIMARY KEY,
        grant_id TEXT NOT NULL,
        client_id TEXT NOT NULL,
        redirect_uri TEXT NOT NULL,
        code_challenge TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        is_spent INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX codes_by_expiry ON codes (expires_at)",
    """
    CREATE TABLE access_tokens (
        digest BLOB PRIMARY KEY,
        grant_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at)",
    """
    CREATE TABLE uses (
        grant_id TEXT PRIMARY KEY REFERENCES grants ON DELETE CASCADE,
        calls INTEGER NOT NULL,
        day INTEGER NOT NULL,
        calls_on_day INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE bans (
        digest BLOB PRIMARY KEY,
        client_name TEXT NOT NULL,
        banned_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE events (
        event INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        client_id TEXT,
        grant_id TEXT,
        address TEXT,
        correlation_id TEXT,
        reason TEXT
    ) STRICT
    """,
    "CREATE INDEX events_by_subject ON events (subject)",
    f"PRAGMA application_id = {APPLICATION_ID}",
)

# Version 1 kept what happened under the name of somebody who had been removed.
VERSION_2: Migration = ("DELETE FROM events WHERE subject NOT IN (SELECT subject FROM accounts)",)

MIGRATIONS: Sequence[Migration] = (VERSION_1, VERSION_2)
"""What makes version n + 1 out of version n, oldest first; `PRAGMA user_version` counts them."""


class UnusableFile(Exception):
    """The file is not ours to write: something else's, damaged, or of a later Latchgate."""


def migrate(db: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a file to the latest version in one transaction: whole or not at all.

    The version is read under the write lock, so of two processes that open an empty file one makes
    the tables and the other finds them. Raises UnusableFile.
    """
    with db:
        db.execute("BEGIN IMMEDIATE")
        version = _pragma(db, "user_version")
        if version > len(migrations):
            raise UnusableFile(
                f"its schema is version {version} and this Latchgate knows {len(migrations)}: "
                "start the newer one that wrote it"
            )
        is_empty = db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
        if not is_empty and _pragma(db, "application_id") != APPLICATION_ID:
            raise UnusableFile("it is the database of another program")
        for number, migration in enumerate(migrations[version:], start=version + 1):
            for statement in migration:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def check_integrity(db: sqlite3.Connection) -> None:
    """Read the file once through (about a second per gigabyte). Raises UnusableFile."""
    (finding,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if finding != "ok":
        raise UnusableFile(f"it is damaged ({finding}): restore it from a backup")


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def use_wal(
    db: sqlite3.Connection, timeout: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Write ahead from now on. SQLite does not wait its busy timeout for this step, so we do."""
    give_up_at = time.monotonic() + timeout
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= give_up_at:
                raise
            sleep(0.01)
        else:
            return
