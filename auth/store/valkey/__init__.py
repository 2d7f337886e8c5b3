"""The store in Valkey (or Redis ≥ 7), for replicas: every step is one script on the server.

`valkey://[user:password@]host:port/db`, `valkeys://` for TLS; `redis://` and `rediss://` likewise.
One primary; not a Cluster, because one step touches a person's, a client's and a grant's keys, and
no Sentinel URL, because the client has none: point the host name at the primary, sockets to a
demoted one are dropped at its first READONLY.

The server must not evict (`maxmemory-policy noeviction`, checked) and should run with
`appendonly yes`: `everysec` may lose a second of acknowledged steps in a crash, `always` none. A
failover loses what was not replicated yet. StoreUnavailable on a write says that its answer did
not come, not that it did not happen; no write is sent twice.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from operator import attrgetter

from auth.credentials import digest as digest_of
from auth.models import (
    CLIENT_SUBJECT,
    AccessToken,
    Ban,
    Code,
    Consumption,
    Digest,
    Grant,
    Rotation,
    Use,
)
from auth.store import GRANTS_OF_A_CLIENT, UNUSED_GRANTS_EACH
from auth.store.valkey.connection import PAGE, Connection
from auth.store.valkey.people import People
from auth.store.valkey.records import dump, flat, load, load_flat

PREFIX = "latchgate:1:"
SLICE = 100
"""So many grants end or are forgotten in one step: a few milliseconds, then others get in."""


class ValkeyStore(People):
    """A `Store` for many processes; a call takes at most twice `timeout` seconds.

    The number in `prefix` is the schema's: replicas that disagree on it do not see each other.
    """

    is_shared = True

    def __init__(self, url: str, *, prefix: str = PREFIX, timeout: float = 0.5) -> None:
        super().__init__(Connection(url, prefix, timeout))

    async def open(self) -> None:
        await self._connection.open()

    async def close(self) -> None:
        await self._connection.close()

    async def check(self) -> None:
        await self._connection.check()

    async def purge(self, now: int, limit: int) -> int:
        """Forget expired grants, and with them where they are listed; the rest the server does."""
        left = limit
        while left and (forgotten := await self._forget(now, min(SLICE, left))):
            left -= forgotten
        return limit - left

    async def _forget(self, now: int, most: int) -> int:
        return int(await self._run("purge", now=now, limit=most))

    # Things that may be used once

    async def spend(self, digest: Digest, expires_at: int, now: int) -> bool:
        spent = await self._run("spend", digest=digest.hex(), expires_at=expires_at, now=now)
        return bool(spent)

    # Grants, codes and tokens

    async def add_grant(
        self, grant: Grant, issued: Code | AccessToken, session: Digest | None = None
    ) -> bool:
        is_client = grant.subject.startswith(CLIENT_SUBJECT)
        added = await self._run(
            "add_grant",
            grant_id=grant.grant_id,
            subject=grant.subject,
            session=session and session.hex(),
            is_client=is_client,
            client=digest_of(grant.client_id).hex(),
            grant=flat(grant),
            now=grant.created_at,
            expires_at=grant.expires_at,
            kind="code" if isinstance(issued, Code) else "token",
            digest=issued.digest.hex(),
            issued=flat(issued),
            issued_expires_at=issued.expires_at,
            most=GRANTS_OF_A_CLIENT if is_client else UNUSED_GRANTS_EACH,
        )
        return bool(added)

    async def find_grant(self, grant_id: str, now: int) -> Grant | None:
        found = await self._run("find_grant", grant_id=grant_id, now=now)
        return None if found is None else load_flat(Grant, json.loads(found))

    async def find_grants(
        self,
        subject: str,
        now: int,
        client_id: str | None = None,
        *,
        with_unexchanged: bool = False,
    ) -> Sequence[Grant]:
        of = {} if client_id is None else {"client": digest_of(client_id).hex()}
        stored = json.loads(await self._run("find_grants", subject=subject, now=now, **of))
        grants = [load_flat(Grant, fields) for fields in stored]
        found = [grant for grant in grants if grant and (grant.generation or with_unexchanged)]
        return sorted(found, key=attrgetter("created_at"), reverse=True)

    async def find_code(self, digest: Digest, now: int) -> tuple[Code, Grant] | None:
        found = await self._run("find_code", digest=digest.hex())
        if found is None:
            return None
        stored = json.loads(found)
        code, grant = load_flat(Code, stored[0]), load_flat(Grant, stored[1])
        return (code, grant) if code and grant and code.expires_at > now else None

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        consumption = await self._run(
            "consume_code",
            code=digest.hex(),
            expires_at=expires_at,
            now=now,
            **_issue(access_token),
        )
        return Consumption[consumption]

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
        rotation = await self._run(
            "rotate_refresh_token",
            grant_id=grant_id,
            generation=generation,
            expires_at=expires_at,
            now=now,
            grace=grace,
            superseded=[digest.hex() for digest in superseded],
            **_issue(access_token),
        )
        return Rotation[rotation]

    async def find_access_token(self, digest: Digest, now: int) -> tuple[AccessToken, Grant] | None:
        found = await self._run("find_access_token", digest=digest.hex(), now=now)
        if found is None:
            return None
        stored = json.loads(found)
        access_token, grant = load_flat(AccessToken, stored[0]), load_flat(Grant, stored[1])
        if access_token is None or grant is None or access_token.expires_at <= now:
            return None
        return access_token, grant

    async def revoke_access_token(self, digest: Digest) -> None:
        await self._run("revoke_access_token", digest=digest.hex())

    async def narrow_grant(self, grant_id: str, scopes: tuple[str, ...], now: int) -> bool:
        return bool(await self._run("narrow_grant", grant_id=grant_id, scopes=scopes, now=now))

    async def revoke_grant(self, grant_id: str, now: int) -> bool:
        return bool(await self._run("revoke_grant", grant_id=grant_id, now=now))

    async def revoke_grants(self, subject: str, now: int) -> int:
        return int(await self._run("revoke_grants", subject=subject, now=now))

    # How grants are used

    async def count_grants(self, now: int) -> int | None:  # noqa: ARG002 - Store's signature
        """Not known: revoked grants are listed among the others until they expire."""
        return None

    async def record_uses(self, uses: Iterable[Use]) -> None:
        await self._run("record_uses", uses=[asdict(use) for use in uses])

    async def find_uses(self, subject: str) -> Sequence[Use]:
        stored = json.loads(await self._run("find_grants", subject=subject))
        grants = (dict(zip(fields[::2], fields[1::2], strict=True)) for fields in stored)
        return [load(Use, grant) for grant in grants if "calls" in grant]

    # Clients that are shut out

    async def ban_client(self, client_id: str, ban: Ban) -> None:
        """The ban is one step, and counts from then on; the grants end in slices afterwards.

        In one step a client with very many would keep the server from everybody else.
        """
        del client_id
        await self._run("ban_client", client=ban.digest.hex(), ban=json.dumps(dump(ban)))
        await self._end_grants_of_client(ban)

    async def unban_client(self, digest: Digest) -> bool:
        ban = await self.find_ban(digest)
        if ban is None:
            return False
        # What a ban that was cut short has left stays ended.
        await self._end_grants_of_client(ban)
        return bool(await self._run("unban_client", client=digest.hex()))

    async def _end_grants_of_client(self, ban: Ban) -> None:
        arguments = {"client": ban.digest.hex(), "now": ban.banned_at, "most": SLICE}
        while int(await self._run("end_grants_of_client", **arguments)) == SLICE:
            pass

    async def find_ban(self, digest: Digest) -> Ban | None:
        stored = await self._run("find_ban", client=digest.hex())
        return None if stored is None else load(Ban, json.loads(stored))

    async def list_bans(self) -> Sequence[Ban]:
        bans = [load(Ban, json.loads(stored)) for stored in await self._run("list_bans")]
        return sorted(bans, key=attrgetter("banned_at"), reverse=True)

    async def list_clients(self, now: int) -> Sequence[tuple[str, str, int]]:
        digests = await self._run("list_client_digests")
        pages = (digests[start : start + PAGE] for start in range(0, len(digests), PAGE))
        counted = [
            client
            for page in pages
            for client in json.loads(await self._run("count_grants", clients=page, now=now))
        ]
        return [(client_id, name, number) for (client_id, name), number in counted]


def _issue(access_token: AccessToken) -> dict[str, object]:
    return {
        "token": access_token.digest.hex(),
        "access_token": flat(access_token),
        "token_expires_at": access_token.expires_at,
    }
