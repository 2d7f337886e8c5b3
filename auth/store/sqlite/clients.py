"""What the SQLite store knows of clients: who holds grants, how they are used, who is shut out."""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection

from auth.models import Ban, Digest, Use
from auth.store import GRANTS_OF_A_CLIENT
from auth.store.sqlite.database import Database


class Clients(Database):
    """The verbs about clients and the use they make of their grants."""

    async def count_grants(self, now: int) -> int | None:
        select = "SELECT count(*) FROM grants WHERE revoked_at IS NULL AND expires_at > ?"
        number: int = (await self._survey(lambda db: db.execute(select, (now,)).fetchone()))[0]
        return number

    async def record_uses(self, uses: Iterable[Use]) -> None:
        upsert = """
            INSERT INTO uses SELECT ?1, ?2, ?3, ?4, ?5
            WHERE EXISTS (SELECT 1 FROM grants WHERE grant_id = ?1)
            ON CONFLICT (grant_id) DO UPDATE SET
                calls = calls + excluded.calls,
                calls_on_day = (day <= excluded.day) * excluded.calls_on_day
                    + (day >= excluded.day) * calls_on_day,
                day = max(day, excluded.day),
                last_used_at = max(last_used_at, excluded.last_used_at)
        """
        rows = [
            (use.grant_id, use.calls, use.day, use.calls_on_day, use.last_used_at) for use in uses
        ]
        await self._write(lambda db: db.executemany(upsert, rows))

    async def find_uses(self, subject: str) -> Sequence[Use]:
        select = """
            SELECT grant_id, calls, day, calls_on_day, last_used_at
            FROM uses JOIN grants USING (grant_id) WHERE subject = ?
        """
        rows = self._read(lambda db: db.execute(select, (subject,)).fetchall())
        return [Use(*row) for row in rows]

    async def list_clients(self, now: int) -> Sequence[tuple[str, str, int]]:
        # Of a group's rows SQLite takes the other columns from the one with the max(): the newest.
        select = """
            SELECT client_id, client_name, count(*), max(created_at) FROM grants
            WHERE revoked_at IS NULL AND expires_at > ? GROUP BY client_id
        """
        rows = await self._survey(lambda db: db.execute(select, (now,)).fetchall())
        return [(client_id, name, number) for client_id, name, number, _ in rows]

    # Clients that are shut out

    async def ban_client(self, client_id: str, ban: Ban) -> None:
        replace = "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?)"
        end = "UPDATE grants SET revoked_at = ? WHERE client_id = ? AND revoked_at IS NULL"

        def step(db: Connection) -> None:
            db.execute(replace, (ban.digest, ban.client_name, ban.banned_at, ban.reason))
            db.execute(end, (ban.banned_at, client_id))

        await self._write(step)

    async def unban_client(self, digest: Digest) -> bool:
        delete = "DELETE FROM bans WHERE digest = ?"
        return await self._write(lambda db: db.execute(delete, (digest,)).rowcount == 1)

    async def find_ban(self, digest: Digest) -> Ban | None:
        select = "SELECT digest, client_name, banned_at, reason FROM bans WHERE digest = ?"
        row = self._read(lambda db: db.execute(select, (digest,)).fetchone())
        return row and Ban(*row)

    async def list_bans(self) -> Sequence[Ban]:
        select = """
            SELECT digest, client_name, banned_at, reason FROM bans
            ORDER BY banned_at DESC, rowid DESC
        """
        return [Ban(*row) for row in await self._survey(lambda db: db.execute(select).fetchall())]


def forget_first_grants(db: Connection, subject: str) -> None:
    """Make room for what a client is given for itself if that is too much (`Store.add_grant`)."""
    delete = """
        DELETE FROM grants WHERE rowid IN (
            SELECT rowid FROM grants WHERE subject = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)
    """
    db.execute(delete, (subject, GRANTS_OF_A_CLIENT))
