"""The grants of the SQLite store, with the codes and tokens that hang on them."""

from collections.abc import Sequence
from functools import cached_property
from sqlite3 import Connection
from typing import Any

from auth.credentials import digest as digest_of
from auth.models import CLIENT_SUBJECT, AccessToken, Code, Consumption, Digest, Grant, Rotation
from auth.store import UNUSED_GRANTS_EACH
from auth.store.sqlite.clients import forget_first_grants
from auth.store.sqlite.database import Database
from auth.store.sqlite.recent import Recent

Row = Sequence[Any]

GRANT = """
    SELECT grant_id, subject, client_id, client_name, redirect_uri, resource, scope, created_at,
        expires_at, ends_at, generation, rotated_at, revoked_at
    FROM grants
"""
LIVE = "WHERE grant_id = ? AND revoked_at IS NULL AND expires_at > ?"


class Grants(Database):
    """The verbs about grants, codes and tokens."""

    @cached_property
    def _recent(self) -> Recent[Digest, tuple[AccessToken, Grant]]:
        return Recent()

    async def add_grant(
        self, grant: Grant, issued: Code | AccessToken, session: Digest | None = None
    ) -> bool:
        insert = """
            INSERT INTO grants SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
            WHERE (?2 GLOB 'client:*'
                   OR EXISTS (SELECT 1 FROM accounts WHERE subject = ?2 AND disabled_at IS NULL))
                AND NOT EXISTS (SELECT 1 FROM bans WHERE digest = ?14)
                AND (?15 IS NULL OR EXISTS (
                    SELECT 1 FROM sessions WHERE digest = ?15 AND subject = ?2 AND expires_at > ?8))
        """
        row = (
            grant.grant_id,
            grant.subject,
            grant.client_id,
            grant.client_name,
            grant.redirect_uri,
            grant.resource,
            " ".join(grant.scopes),
            grant.created_at,
            grant.expires_at,
            grant.ends_at,
            grant.generation,
            grant.rotated_at,
            grant.revoked_at,
            digest_of(grant.client_id),
            session,
        )

        def step(db: Connection) -> bool:
            if db.execute(insert, row).rowcount == 0:
                return False
            if grant.subject.startswith(CLIENT_SUBJECT):
                forget_first_grants(db, grant.subject)
            else:
                forget_dispensable_grants(db, grant)
            if isinstance(issued, Code):
                add_code(db, issued)
            else:
                add_access_token(db, issued)
            return True

        return await self._write(step)

    async def find_grant(self, grant_id: str, now: int) -> Grant | None:
        select = GRANT + LIVE
        row = self._read(lambda db: db.execute(select, (grant_id, now)).fetchone())
        return row and to_grant(row)

    async def find_grants(
        self,
        subject: str,
        now: int,
        client_id: str | None = None,
        *,
        with_unexchanged: bool = False,
    ) -> Sequence[Grant]:
        select = f"""{GRANT}
            WHERE subject = ?1 AND revoked_at IS NULL AND expires_at > ?2
                AND client_id = coalesce(?3, client_id) AND (?4 OR generation > 0)
            ORDER BY created_at DESC, rowid DESC
        """
        asked = (subject, now, client_id, with_unexchanged)
        rows = self._read(lambda db: db.execute(select, asked).fetchall())
        return [to_grant(row) for row in rows]

    async def find_code(self, digest: Digest, now: int) -> tuple[Code, Grant] | None:
        select = """
            SELECT code.digest, grant_id, code.client_id, code.redirect_uri, code_challenge,
                code.expires_at, is_spent,
                grant_id, subject, held.client_id, client_name, held.redirect_uri, resource,
                scope, created_at, held.expires_at, ends_at, generation, rotated_at, revoked_at
            FROM codes AS code JOIN grants AS held USING (grant_id)
            WHERE code.digest = ? AND code.expires_at > ?
        """
        row = self._read(lambda db: db.execute(select, (digest, now)).fetchone())
        return row and (to_code(row[:7]), to_grant(row[7:]))

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        select = """
            SELECT grant_id, is_spent FROM codes JOIN grants USING (grant_id)
            WHERE digest = ?1 AND codes.expires_at > ?2
                AND revoked_at IS NULL AND grants.expires_at > ?2
        """
        update = "UPDATE codes SET is_spent = TRUE WHERE digest = ?"

        def step(db: Connection) -> Consumption:
            row = db.execute(select, (digest, now)).fetchone()
            if row is None:
                return Consumption.REFUSED
            grant_id, is_spent = row
            if is_spent:
                end_grant(db, grant_id, now)
                return Consumption.REPLAYED
            db.execute(update, (digest,))
            renew_grant(db, grant_id, 1, expires_at, now)
            add_access_token(db, access_token)
            return Consumption.CONSUMED

        return await self._write(step)

    async def rotate_refresh_token(
        self,
        grant_id: str,
        generation: int,
        access_token: AccessToken,
        expires_at: int,
        now: int,
        grace: int,
        *,
        superseded: Sequence[Digest] = (),
    ) -> Rotation:
        select = GRANT + LIVE
        delete = "DELETE FROM access_tokens WHERE digest = ?"

        def step(db: Connection) -> Rotation:
            row = db.execute(select, (grant_id, now)).fetchone()
            grant = row and to_grant(row)
            if grant is None or not 1 <= generation <= grant.generation:
                return Rotation.REFUSED
            if generation == grant.generation:
                renew_grant(db, grant_id, generation + 1, expires_at, now)
                add_access_token(db, access_token)
                db.executemany(delete, [(digest,) for digest in superseded])
                return Rotation.ROTATED
            if generation == grant.generation - 1 and now < grant.rotated_at + grace:
                return Rotation.REPEATED
            end_grant(db, grant_id, now)
            return Rotation.REPLAYED

        return await self._write(step)

    async def find_access_token(self, digest: Digest, now: int) -> tuple[AccessToken, Grant] | None:
        found = self._read(lambda db: self._recent.find(db, digest, find_access_token))
        if found is None or found[0].expires_at <= now or found[1].expires_at <= now:
            return None
        return found

    async def revoke_access_token(self, digest: Digest) -> None:
        delete = "DELETE FROM access_tokens WHERE digest = ?"
        await self._write(lambda db: db.execute(delete, (digest,)))

    async def narrow_grant(self, grant_id: str, scopes: tuple[str, ...], now: int) -> bool:
        select = GRANT + LIVE
        update = "UPDATE grants SET scope = ? WHERE grant_id = ?"

        def step(db: Connection) -> bool:
            row = db.execute(select, (grant_id, now)).fetchone()
            if row is None:
                return False
            remaining = " ".join(scope for scope in to_grant(row).scopes if scope in scopes)
            db.execute(update, (remaining, grant_id))
            return True

        return await self._write(step)

    async def revoke_grant(self, grant_id: str, now: int) -> bool:
        return await self._write(lambda db: end_grant(db, grant_id, now))

    async def revoke_grants(self, subject: str, now: int) -> int:
        return await self._write(lambda db: end_grants(db, subject, now))


def find_access_token(db: Connection, digest: Digest) -> tuple[AccessToken, Grant] | None:
    """The access token with this digest and its unrevoked grant, in one statement: one snapshot."""
    select = """
        SELECT token.digest, grant_id, token.scope, issued_at, token.expires_at,
            grant_id, subject, client_id, client_name, redirect_uri, resource,
            held.scope, created_at, held.expires_at, ends_at, generation, rotated_at, revoked_at
        FROM access_tokens AS token JOIN grants AS held USING (grant_id)
        WHERE token.digest = ? AND revoked_at IS NULL
    """
    row = db.execute(select, (digest,)).fetchone()
    return row and (to_access_token(row[:5]), to_grant(row[5:]))


def to_grant(row: Row) -> Grant:
    """A record from the columns of GRANT."""
    grant_id, subject, client_id, client_name, redirect_uri, resource, scope, *times = row
    return Grant(
        grant_id,
        subject,
        client_id,
        client_name,
        redirect_uri,
        resource,
        tuple(scope.split()),
        *times,
    )


def to_code(row: Row) -> Code:
    """A record from its columns."""
    digest, grant_id, client_id, redirect_uri, code_challenge, expires_at, is_spent = row
    return Code(
        digest, grant_id, client_id, redirect_uri, code_challenge, expires_at, bool(is_spent)
    )


def to_access_token(row: Row) -> AccessToken:
    """A record from its columns."""
    digest, grant_id, scope, issued_at, expires_at = row
    return AccessToken(digest, grant_id, tuple(scope.split()), issued_at, expires_at)


def add_code(db: Connection, code: Code) -> None:
    """Store a code."""
    row = (
        code.digest,
        code.grant_id,
        code.client_id,
        code.redirect_uri,
        code.code_challenge,
        code.expires_at,
        code.is_spent,
    )
    db.execute("INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def add_access_token(db: Connection, token: AccessToken) -> None:
    """Store an access token."""
    scope = " ".join(token.scopes)
    row = (token.digest, token.grant_id, scope, token.issued_at, token.expires_at)
    db.execute("INSERT INTO access_tokens VALUES (?, ?, ?, ?, ?)", row)


def renew_grant(db: Connection, grant_id: str, generation: int, expires_at: int, now: int) -> None:
    """Make this the generation of the refresh token that is valid now."""
    update = """
        UPDATE grants SET generation = ?, rotated_at = ?, expires_at = ? WHERE grant_id = ?
    """
    db.execute(update, (generation, now, expires_at, grant_id))


def forget_dispensable_grants(db: Connection, new: Grant) -> None:
    """Make room for a person's new grant if they have too many (`Store.add_grant`)."""
    delete = """
        DELETE FROM grants WHERE grant_id IN (
            SELECT grant_id FROM grants WHERE subject = ?1 AND grant_id != ?2
                AND NOT (generation > 0 AND revoked_at IS NULL AND expires_at > ?3)
            ORDER BY revoked_at IS NULL AND expires_at > ?3 DESC, client_id != ?4 DESC,
                created_at DESC, rowid DESC
            LIMIT -1 OFFSET ?5)
    """
    row = (new.subject, new.grant_id, new.created_at, new.client_id, UNUSED_GRANTS_EACH - 1)
    db.execute(delete, row)


def end_grant(db: Connection, grant_id: str, now: int) -> bool:
    """Revoke a grant, an expired one too: the clock may be set back. Whether it lived until now."""
    update = """
        UPDATE grants SET revoked_at = ?1 WHERE grant_id = ?2 AND revoked_at IS NULL
        RETURNING expires_at > ?1
    """
    return db.execute(update, (now, grant_id)).fetchall() == [(1,)]


def end_grants(db: Connection, subject: str, now: int) -> int:
    """Revoke every grant of a person, as `end_grant`; how many lived until now."""
    update = """
        UPDATE grants SET revoked_at = ?1 WHERE subject = ?2 AND revoked_at IS NULL
        RETURNING expires_at > ?1
    """
    return db.execute(update, (now, subject)).fetchall().count((1,))
