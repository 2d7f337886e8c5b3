"""The people of the SQLite store: their accounts, their sessions and what happened to them."""

import json
from collections.abc import Collection, Sequence
from sqlite3 import Connection
from typing import Any

from auth.models import Account, Digest, Event, Session
from auth.store import SESSIONS_EACH
from auth.store.sqlite.database import Database
from auth.store.sqlite.grants import end_grants

ACCOUNT = """
    SELECT subject, username, password_hash, name, email, roles, created_at, disabled_at,
        last_sign_in_at
    FROM accounts
"""


class People(Database):
    """The verbs about people."""

    async def add_account(self, account: Account) -> bool:
        row = (
            account.subject,
            account.username,
            account.username.casefold(),
            account.password_hash,
            account.name,
            account.email,
            json.dumps(account.roles),
            account.created_at,
            account.disabled_at,
            account.last_sign_in_at,
        )
        insert = "INSERT OR IGNORE INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        return await self._write(lambda db: db.execute(insert, row).rowcount == 1)

    async def find_account(self, subject: str) -> Account | None:
        return self._read(lambda db: find_account(db, subject))

    async def find_account_by_username(self, username: str) -> Account | None:
        select = ACCOUNT + "WHERE folded_username = ?"
        row = self._read(lambda db: db.execute(select, (username.casefold(),)).fetchone())
        return row and to_account(row)

    async def list_accounts(self) -> Sequence[Account]:
        select = ACCOUNT + "ORDER BY folded_username"
        rows = await self._survey(lambda db: db.execute(select).fetchall())
        return [to_account(row) for row in rows]

    async def update_profile(
        self, subject: str, name: str | None, email: str | None
    ) -> Account | None:
        update = """
            UPDATE accounts SET name = ifnull(?, name), email = ifnull(?, email) WHERE subject = ?
        """

        def step(db: Connection) -> Account | None:
            db.execute(update, (name, email, subject))
            return find_account(db, subject)

        return await self._write(step)

    async def record_sign_in(self, subject: str, now: int) -> None:
        update = "UPDATE accounts SET last_sign_in_at = ? WHERE subject = ?"
        await self._write(lambda db: db.execute(update, (now, subject)))

    async def change_password(
        self,
        subject: str,
        password_hash: str,
        now: int,
        keep_session: Digest | None = None,
        verified: str | None = None,
    ) -> bool:
        update = """
            UPDATE accounts SET password_hash = ?1
            WHERE subject = ?2 AND password_hash = ifnull(?3, password_hash)
        """

        def step(db: Connection) -> bool:
            is_changed = db.execute(update, (password_hash, subject, verified)).rowcount == 1
            if is_changed:
                end_all(db, subject, now, keep_session)
            return is_changed

        return await self._write(step)

    async def replace_password_hash(self, subject: str, old: str, new: str) -> bool:
        update = "UPDATE accounts SET password_hash = ? WHERE subject = ? AND password_hash = ?"
        return await self._write(lambda db: db.execute(update, (new, subject, old)).rowcount == 1)

    async def disable_account(self, subject: str, now: int) -> bool:
        update = "UPDATE accounts SET disabled_at = ? WHERE subject = ?"

        def step(db: Connection) -> bool:
            end_all(db, subject, now)
            return db.execute(update, (now, subject)).rowcount == 1

        return await self._write(step)

    async def enable_account(self, subject: str) -> bool:
        update = "UPDATE accounts SET disabled_at = NULL WHERE subject = ?"
        return await self._write(lambda db: db.execute(update, (subject,)).rowcount == 1)

    async def remove_account(self, subject: str, now: int) -> bool:
        def step(db: Connection) -> bool:
            end_all(db, subject, now)
            db.execute("DELETE FROM events WHERE subject = ?", (subject,))
            return db.execute("DELETE FROM accounts WHERE subject = ?", (subject,)).rowcount == 1

        return await self._write(step)

    # Sessions of browsers

    async def add_session(self, session: Session, verified: str) -> bool:
        insert = """
            INSERT INTO sessions SELECT ?, subject, ?, ? FROM accounts
            WHERE subject = ? AND disabled_at IS NULL AND password_hash = ?
        """
        times = (session.signed_in_at, session.expires_at)
        row = (session.digest, *times, session.subject, verified)
        delete = """
            DELETE FROM sessions WHERE digest IN (
                SELECT digest FROM sessions WHERE subject = ? AND digest != ?
                ORDER BY signed_in_at DESC LIMIT -1 OFFSET ?)
        """

        def step(db: Connection) -> bool:
            is_added = db.execute(insert, row).rowcount == 1
            db.execute(delete, (session.subject, session.digest, SESSIONS_EACH - 1))
            return is_added

        return await self._write(step)

    async def find_session(self, digest: Digest, now: int) -> Session | None:
        select = """
            SELECT digest, subject, signed_in_at, expires_at FROM sessions
            WHERE digest = ? AND expires_at > ?
        """
        row = self._read(lambda db: db.execute(select, (digest, now)).fetchone())
        return row and Session(*row)

    async def extend_session(self, digest: Digest, expires_at: int) -> None:
        update = "UPDATE sessions SET expires_at = ? WHERE digest = ?"
        await self._write(lambda db: db.execute(update, (expires_at, digest)))

    async def revoke_session(self, digest: Digest) -> None:
        delete = "DELETE FROM sessions WHERE digest = ?"
        await self._write(lambda db: db.execute(delete, (digest,)))

    async def revoke_sessions(self, subject: str) -> None:
        await self._write(lambda db: end_sessions(db, subject))

    # What happened

    async def add_event(self, event: Event, alike: Collection[str], most: int) -> None:
        if event.subject is None:
            return
        insert = """
            INSERT INTO events SELECT NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
            WHERE EXISTS (SELECT 1 FROM accounts WHERE subject = ?3)
        """
        row = (
            event.at,
            event.kind,
            event.subject,
            event.client_id,
            event.grant_id,
            event.address,
            event.correlation_id,
            event.reason,
        )
        forget = """
            DELETE FROM events WHERE event IN (
                SELECT event FROM events
                WHERE subject = ? AND kind IN (SELECT value FROM json_each(?))
                ORDER BY event DESC LIMIT -1 OFFSET ?
            )
        """

        def step(db: Connection) -> None:
            db.execute(insert, row)
            db.execute(forget, (event.subject, json.dumps([*alike]), most))

        await self._write(step)

    async def list_events(self, subject: str) -> Sequence[Event]:
        select = """
            SELECT at, kind, subject, client_id, grant_id, address, correlation_id, reason
            FROM events WHERE subject = ? ORDER BY event DESC
        """
        rows = self._read(lambda db: db.execute(select, (subject,)).fetchall())
        return [Event(*row) for row in rows]


def find_account(db: Connection, subject: str) -> Account | None:
    """The person with this subject."""
    row = db.execute(ACCOUNT + "WHERE subject = ?", (subject,)).fetchone()
    return row and to_account(row)


def to_account(row: Sequence[Any]) -> Account:
    """A record from the columns of ACCOUNT."""
    subject, username, password_hash, name, email, roles, *times = row
    return Account(subject, username, password_hash, name, email, tuple(json.loads(roles)), *times)


def end_sessions(db: Connection, subject: str, keep: Digest | None = None) -> None:
    """End every session of a person but one."""
    delete = "DELETE FROM sessions WHERE subject = ? AND digest IS NOT ?"
    db.execute(delete, (subject, keep))


def end_all(db: Connection, subject: str, now: int, keep: Digest | None = None) -> None:
    """End a person's sessions but one, and all their grants."""
    end_sessions(db, subject, keep)
    end_grants(db, subject, now)
