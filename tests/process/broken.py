"""Stores that are broken on purpose: an experiment is worth something if it sees the difference.

`tests.process.broken:late`, `:two_steps` and `:unlocked` are applications with one of them each.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.applications import Starlette

from auth.models import AccessToken, Consumption, Digest, Rotation
from auth.store.sqlite import SqliteStore
from auth.store.sqlite.grants import add_access_token, renew_grant
from combined_app import create_app
from startup import start

SPEND = "UPDATE codes SET is_spent = TRUE WHERE digest = ? AND NOT is_spent"


class Late(SqliteStore):
    """Answers at once, and writes when there is time."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._writes: set[asyncio.Task[Any]] = set()

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        found = await self.find_code(digest, now)
        if found is None or found[0].is_spent:
            return Consumption.REFUSED
        self._write_later(super().consume_code(digest, access_token, expires_at, now))
        return Consumption.CONSUMED

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
        self._write_later(
            super().rotate_refresh_token(
                grant_id, generation, access_token, expires_at, now, grace, superseded=superseded
            )
        )
        return Rotation.ROTATED

    def _write_later(self, step: Coroutine[Any, Any, Any]) -> None:
        async def write() -> None:
            await asyncio.sleep(0.1)
            await step

        task = asyncio.create_task(write())
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)


class TwoSteps(SqliteStore):
    """A crash between its steps leaves a code that is spent for nothing."""

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        if not await self._write(lambda db: db.execute(SPEND, (digest,)).rowcount):
            return Consumption.REFUSED
        await asyncio.sleep(0.05)
        await self._write(lambda db: renew_grant(db, access_token.grant_id, 1, expires_at, now))
        await self._write(lambda db: add_access_token(db, access_token))
        return Consumption.CONSUMED


class Unlocked(SqliteStore):
    """Of those who look at the same moment, all may act."""

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        found = await self.find_code(digest, now)
        if found is None or found[0].is_spent:
            return Consumption.REFUSED
        await super().consume_code(digest, access_token, expires_at, now)
        return Consumption.CONSUMED

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
        grant = await self.find_grant(grant_id, now)
        if grant is None or grant.generation != generation:
            return await super().rotate_refresh_token(
                grant_id, generation, access_token, expires_at, now, grace, superseded=superseded
            )
        await self._write(lambda db: add_access_token(db, access_token))
        await self._write(lambda db: renew_grant(db, grant_id, generation + 1, expires_at, now))
        return Rotation.ROTATED


def __getattr__(name: str) -> Starlette:
    """An application with one of these stores, made when uvicorn asks for it."""
    stores = {"late": Late, "two_steps": TwoSteps, "unlocked": Unlocked}
    if name not in stores:
        raise AttributeError(name)
    return start(
        lambda settings: create_app(
            settings, stores[name](settings.store_url.removeprefix("sqlite:///"))
        )
    )
