"""The store in memory: dictionaries, and no `await` inside a step, so every step is atomic.

Nothing outlives the process. Every collection is bounded: what nobody ever used goes first when
one is full, and a live grant never.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
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
from auth.store import GRANTS_OF_A_CLIENT, SESSIONS_EACH, UNUSED_GRANTS_EACH
from auth.store.memory.expiring import Expiring, Pool
from auth.store.memory.grants import Grants, is_live
from auth.store.memory.people import People
from auth.store.memory.sessions import Sessions

SHARED_VALUES = 20_000


class MemoryStore(People):
    """A `Store` for one process. Accounts and bans are bounded by the operator who makes them."""

    is_shared = False

    def __init__(
        self,
        *,
        max_grants: int = 250_000,
        max_access_tokens: int = 500_000,
        max_spent: int = 500_000,
        max_sessions_each: int = SESSIONS_EACH,
    ) -> None:
        grants = Grants(max_grants, UNUSED_GRANTS_EACH, GRANTS_OF_A_CLIENT)
        super().__init__(Sessions(max_sessions_each), grants)
        self._max_access_tokens = max_access_tokens
        self._max_spent = max_spent
        self._bans: dict[Digest, Ban] = {}
        self._access_tokens: Expiring[Digest, AccessToken] = Expiring(attrgetter("expires_at"))
        self._spent: Expiring[Digest, int] = Expiring(int)
        self._pool = Pool(SHARED_VALUES)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def check(self) -> None:
        pass

    async def purge(self, now: int, limit: int) -> int:
        # A look at what was extended or is gone counts as one forgotten: it takes as long.
        return sum(1 for _ in islice(self._expired(now), limit))

    def _expired(self, now: int) -> Iterator[object]:
        yield from self._sessions.expired(now)
        yield from self._grants.expired(now)
        yield from self._access_tokens.expired(now)
        yield from self._spent.expired(now)

    # Things that may be used once

    async def spend(self, digest: Digest, expires_at: int, now: int) -> bool:
        if digest in self._spent or expires_at <= now:
            return False
        self._spent.make_room(self._max_spent, now)
        self._spent.add(digest, self._pool.share(expires_at))
        return True

    # Grants, codes and tokens

    async def add_grant(
        self, grant: Grant, issued: Code | AccessToken, session: Digest | None = None
    ) -> bool:
        is_welcome = grant.subject.startswith(CLIENT_SUBJECT) or self._admits(grant.subject)
        if not is_welcome or digest_of(grant.client_id) in self._bans:
            return False
        if session is not None:
            consented_in = await self.find_session(session, grant.created_at)
            if consented_in is None or consented_in.subject != grant.subject:
                return False
        share = self._pool.share
        shared = replace(
            grant,
            subject=share(grant.subject),
            client_id=share(grant.client_id),
            client_name=share(grant.client_name),
            redirect_uri=share(grant.redirect_uri),
            resource=share(grant.resource),
            scopes=share(grant.scopes),
            created_at=share(grant.created_at),
            expires_at=share(grant.expires_at),
            ends_at=share(grant.ends_at),
        )
        if isinstance(issued, Code):
            self._grants.add(shared, issued)
            return True
        self._access_tokens.make_room(self._max_access_tokens, grant.created_at)
        self._grants.add(shared, None)
        self._add_access_token(issued, shared)
        for forgotten in self._grants.forget_first_of(shared, issued.digest):
            self._access_tokens.pop(forgotten, None)
        return True

    async def find_grant(self, grant_id: str, now: int) -> Grant | None:
        grant = self._grants.find(grant_id)
        return grant if grant is not None and is_live(grant, now) else None

    async def find_grants(
        self,
        subject: str,
        now: int,
        client_id: str | None = None,
        *,
        with_unexchanged: bool = False,
    ) -> Sequence[Grant]:
        live = self._grants.live_of(subject, now)
        found = [grant for grant in live if client_id in {None, grant.client_id}]
        return [grant for grant in found if grant.generation or with_unexchanged]

    async def find_code(self, digest: Digest, now: int) -> tuple[Code, Grant] | None:
        return self._grants.find_code(digest, now)

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        found = self._grants.find_code(digest, now)
        if found is None or not is_live(found[1], now):
            return Consumption.REFUSED
        code, grant = found
        if code.is_spent:
            self._grants.end(grant, now)
            return Consumption.REPLAYED
        self._access_tokens.make_room(self._max_access_tokens, now)
        self._grants.spend_code(code)
        self._issue(grant, 1, access_token, expires_at, now)
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
        grant = self._grants.find(grant_id)
        if grant is None or not is_live(grant, now) or not 1 <= generation <= grant.generation:
            return Rotation.REFUSED
        if generation == grant.generation:
            for digest in superseded:
                self._access_tokens.pop(digest, None)
            self._access_tokens.make_room(self._max_access_tokens, now)
            self._issue(grant, generation + 1, access_token, expires_at, now)
            return Rotation.ROTATED
        if generation == grant.generation - 1 and now < grant.rotated_at + grace:
            return Rotation.REPEATED
        self._grants.end(grant, now)
        return Rotation.REPLAYED

    def _issue(
        self, grant: Grant, generation: int, access_token: AccessToken, expires_at: int, now: int
    ) -> None:
        self._grants.change(
            replace(
                grant,
                generation=generation,
                rotated_at=self._pool.share(now),
                expires_at=self._pool.share(expires_at),
            )
        )
        self._add_access_token(access_token, grant)

    def _add_access_token(self, access_token: AccessToken, grant: Grant) -> None:
        share = self._pool.share
        shared = replace(
            access_token,
            grant_id=grant.grant_id,
            scopes=share(access_token.scopes),
            issued_at=share(access_token.issued_at),
            expires_at=share(access_token.expires_at),
        )
        self._access_tokens.add(shared.digest, shared)

    async def find_access_token(self, digest: Digest, now: int) -> tuple[AccessToken, Grant] | None:
        access_token = self._access_tokens.get(digest)
        if access_token is None or access_token.expires_at <= now:
            return None
        grant = self._grants.find(access_token.grant_id)
        if grant is None or not is_live(grant, now):
            return None
        return access_token, grant

    async def revoke_access_token(self, digest: Digest) -> None:
        self._access_tokens.pop(digest, None)

    async def narrow_grant(self, grant_id: str, scopes: tuple[str, ...], now: int) -> bool:
        grant = self._grants.find(grant_id)
        if grant is None or not is_live(grant, now):
            return False
        remaining = tuple(scope for scope in grant.scopes if scope in scopes)
        self._grants.change(replace(grant, scopes=self._pool.share(remaining)))
        return True

    async def revoke_grant(self, grant_id: str, now: int) -> bool:
        grant = self._grants.find(grant_id)
        if grant is None or grant.revoked_at is not None:
            return False
        self._grants.end(grant, now)
        return is_live(grant, now)

    async def revoke_grants(self, subject: str, now: int) -> int:
        lived = len(self._grants.live_of(subject, now))
        self._grants.end_all(subject, now)
        return lived

    # How grants are used

    async def count_grants(self, now: int) -> int | None:  # noqa: ARG002 - purge knows the time
        return self._grants.count()

    async def record_uses(self, uses: Iterable[Use]) -> None:
        for use in uses:
            self._grants.add_use(use)

    async def find_uses(self, subject: str) -> Sequence[Use]:
        return self._grants.uses(subject)

    # Clients that are shut out

    async def ban_client(self, client_id: str, ban: Ban) -> None:
        self._bans[ban.digest] = ban
        for grant in self._grants:
            if grant.client_id == client_id and grant.revoked_at is None:
                self._grants.end(grant, ban.banned_at)

    async def unban_client(self, digest: Digest) -> bool:
        return self._bans.pop(digest, None) is not None

    async def find_ban(self, digest: Digest) -> Ban | None:
        return self._bans.get(digest)

    async def list_bans(self) -> Sequence[Ban]:
        return sorted(self._bans.values(), key=attrgetter("banned_at"), reverse=True)

    async def list_clients(self, now: int) -> Sequence[tuple[str, str, int]]:
        live = [grant for grant in self._grants if is_live(grant, now)]
        names = {grant.client_id: grant.client_name for grant in live}
        numbers = Counter(grant.client_id for grant in live)
        return [(client_id, names[client_id], number) for client_id, number in numbers.items()]
