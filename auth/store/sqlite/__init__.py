"""The store in one SQLite file (3.37 or later): for one machine, through restarts and crashes.

Several processes may share the file: workers of one server, and the commands that manage accounts
and clients. What holds among them is the transaction; no lock of Python's is relied upon.

What was acknowledged was synced to the disk (write-ahead log, `synchronous=FULL`) and outlives
kill -9 and a power cut. At `NORMAL`, kill -9 still costs nothing, but a power cut may undo the last
acknowledged steps: a code could be used again, a revoked grant live on, and a rotated refresh token
look stolen, which signs that client out.

The pages of what was purged are used again: the file grows to its largest need and stays there.
"""

from auth.models import Digest
from auth.store.sqlite.clients import Clients
from auth.store.sqlite.grants import Grants
from auth.store.sqlite.people import People

SLICE = 500
"""So many records are purged in one transaction: some ten milliseconds, then others get in."""

# By primary key, since a table WITHOUT ROWID has nothing shorter.
PURGES = (
    """DELETE FROM sessions WHERE digest IN
        (SELECT digest FROM sessions WHERE expires_at <= ? LIMIT ?)""",
    """DELETE FROM spent WHERE digest IN
        (SELECT digest FROM spent WHERE expires_at <= ? LIMIT ?)""",
    """DELETE FROM codes WHERE digest IN
        (SELECT digest FROM codes WHERE expires_at <= ? LIMIT ?)""",
    """DELETE FROM access_tokens WHERE digest IN
        (SELECT digest FROM access_tokens WHERE expires_at <= ? LIMIT ?)""",
    """DELETE FROM grants WHERE grant_id IN
        (SELECT grant_id FROM grants WHERE expires_at <= ? LIMIT ?)""",
)


class SqliteStore(People, Grants, Clients):
    """A `Store` for every process of one machine."""

    async def purge(self, now: int, limit: int) -> int:
        self._check_place()
        left = limit
        for delete in PURGES:
            while left and (forgotten := await self._forget(delete, now, min(SLICE, left))):
                left -= forgotten
        return limit - left

    async def _forget(self, delete: str, now: int, most: int) -> int:
        return await self._write(lambda db: db.execute(delete, (now, most)).rowcount)

    async def spend(self, digest: Digest, expires_at: int, now: int) -> bool:
        if expires_at <= now:
            return False
        insert = "INSERT OR IGNORE INTO spent VALUES (?, ?)"
        return await self._write(lambda db: db.execute(insert, (digest, expires_at)).rowcount == 1)
