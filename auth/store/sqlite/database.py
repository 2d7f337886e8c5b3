"""One SQLite file: read on the event loop, written by a thread."""

import os
import sqlite3
from asyncio import to_thread
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Literal, TypeVar

from auth.store import StoreUnavailable
from auth.store.sqlite.schema import UnusableFile, check_integrity, migrate, use_wal
from auth.store.sqlite.writer import Writer

Answer = TypeVar("Answer")
Query = Callable[[sqlite3.Connection], Answer]
Synchronous = Literal["NORMAL", "FULL", "EXTRA"]


class Database:
    """The file and the three ways to it: `_read`, `_survey` and `_write`."""

    is_shared = True

    def __init__(
        self, path: str, *, synchronous: Synchronous = "FULL", busy_timeout: float = 5.0
    ) -> None:
        self._path = Path(path).absolute()
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout

    async def open(self) -> None:
        """Make or migrate the file. Raises StoreUnavailable, which names it."""
        try:
            await to_thread(self._open)
        except (OSError, sqlite3.Error, UnusableFile) as error:
            raise self._unavailable(error) from error

    async def close(self) -> None:
        """Commit what waits; the last process to close the file empties its write-ahead log."""
        await self._writer.stop()
        await to_thread(self._connections.close)

    async def check(self) -> None:
        """Commit nothing, which needs the file, its write lock and the thread."""
        self._check_place()
        await self._write(lambda _: None)

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Ours alone to read; SQLite gives -wal and -shm the same mode. A file that is there is not
        # opened even for a moment: closing it would drop this process's locks on it (fcntl).
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
        # SQLite would open it all the same, and leave a read-only log behind.
        if not os.access(self._path, os.W_OK):
            raise UnusableFile("it is read-only")
        with ExitStack() as connections:
            writing = connections.enter_context(closing(self._connect("rw", self._busy_timeout)))
            check_integrity(writing)
            migrate(writing)
            use_wal(writing, self._busy_timeout)
            writing.execute(f"PRAGMA synchronous = {self._synchronous}")
            writing.execute("PRAGMA foreign_keys = ON")
            # In WAL mode a reader waits for nobody, and should it ever have to, not on the loop.
            self._reading = connections.enter_context(closing(self._connect("ro", 0)))
            self._connections = connections.pop_all()
        self._file = _identity(self._path)
        self._writer = Writer(writing)

    def _check_place(self) -> None:
        """Raise StoreUnavailable if what is open is no longer what the next start would open."""
        try:
            is_same = _identity(self._path) == self._file
        except OSError as error:
            raise self._unavailable(error) from error
        if not is_same:
            raise self._unavailable(
                UnusableFile("it was replaced under the running server: stop it first")
            )

    def _connect(self, mode: Literal["ro", "rw"], busy_timeout: float) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self._path.as_uri()}?mode={mode}",
            uri=True,
            timeout=busy_timeout,
            isolation_level=None,
            check_same_thread=False,
        )

    def _read(self, query: Query[Answer]) -> Answer:
        """Look something up in an index, on the loop: that costs less than the way to a thread."""
        try:
            return query(self._reading)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    async def _survey(self, query: Query[Answer]) -> Answer:
        """Read a whole table, beside the loop and on a connection of its own."""

        def survey() -> Answer:
            with closing(self._connect("ro", self._busy_timeout)) as db:
                return query(db)

        try:
            return await to_thread(survey)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    async def _write(self, step: Query[Answer]) -> Answer:
        """Change something, in a transaction that is committed when this returns."""
        try:
            return await self._writer.perform(step)
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{self._path}: {error}")


def _identity(path: Path) -> tuple[int, int]:
    """Which file this is, whatever its name."""
    status = path.stat()
    return status.st_dev, status.st_ino
