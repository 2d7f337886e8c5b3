"""How often something may be tried: counted in memory, or in Valkey for all replicas together.

Everything that can be refused is refused with a time to wait, and nothing is ever locked: windows
slide, a refused attempt is not counted, and who has not failed is not limited by who has.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from math import ceil
from typing import NoReturn

from limits import RateLimitItem, parse_many
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from auth.credentials import digest
from auth.errors import TooManyRequests
from auth.limit_storage import BoundedMemory, SharedStorage
from auth.store import StoreUnavailable
from settings import Settings
from valkey_urls import is_valkey


class Limit:
    """At most so many of one kind of thing for each key, in every window of the notation."""

    def __init__(self, name: str, notation: str, storage: BoundedMemory | SharedStorage) -> None:
        # The longest window first: it is the one that is full for long.
        self._notation = notation
        self._items = sorted(parse_many(notation), key=RateLimitItem.get_expiry, reverse=True)
        self._name = name
        self._storage = storage
        self._windows = SlidingWindowCounterRateLimiter(storage)

    @cached_property
    def apart(self) -> "Limit":
        """The same limit for keys that anybody can make up: they push out none of the others."""
        return Limit(f"{self._name} apart", self._notation, self._storage.apart())

    async def take(self, *key: str) -> None:
        """Count one more, in one atomic step a window; TooManyRequests if that is one too many."""
        name = self._key(key)
        for position, item in enumerate(self._items):
            if not await self._hit(item, name):
                for taken in self._items[:position]:
                    await self._hit(taken, name, -1)
                await self._refuse(item, name)

    async def give_back(self, *key: str) -> None:
        """Take back what `take` counted: it was no failure."""
        for item in self._items:
            await self._hit(item, self._key(key), -1)

    async def note(self, *key: str) -> None:
        """Count a failure that has been answered already; the next `check` tells."""
        for item in self._items:
            await self._hit(item, self._key(key))

    async def check(self, *key: str) -> None:
        """Count nothing; TooManyRequests if one more would be too many."""
        name = self._key(key)
        for item in self._items:
            if await self._wait(item, name):
                await self._refuse(item, name)

    async def close(self) -> None:
        """Let go of the storage, which other limits may have let go of before."""
        if isinstance(self._storage, SharedStorage):
            await self._storage.close()

    def _key(self, key: tuple[str, ...]) -> str:
        # What people type is not kept, a password in the field for the name least of all.
        return f"{self._name}:{digest(chr(10).join(key)).hex()}"

    async def _hit(self, item: RateLimitItem, key: str, cost: int = 1) -> bool:
        try:
            return await self._windows.hit(item, key, cost=cost)
        except StorageError as error:
            raise StoreUnavailable(f"limits cannot be counted: {error!r}") from error

    async def _refuse(self, item: RateLimitItem, key: str) -> NoReturn:
        wait = await self._wait(item, key)
        raise TooManyRequests("too many attempts: wait", retry_after=max(1, wait))

    async def _wait(self, item: RateLimitItem, key: str) -> int:
        """Seconds until one more passes, 0 for now."""
        window = item.get_expiry()
        try:
            before, before_left, current, current_left = await self._storage.get_sliding_window(
                item.key_for(key), window
            )
        except StorageError as error:
            raise StoreUnavailable(f"limits cannot be counted: {error!r}") from error
        if int(before * before_left / window) + current < item.amount:
            return 0
        if current < item.amount:
            # What was counted before the current window began weighs less from second to second.
            return ceil(before_left - (item.amount - current) * window / before) + 1
        return ceil(current_left - window) + 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Every limit of the authorization server, named as its setting."""

    sign_in_limit: Limit
    sign_in_account_limit: Limit
    sign_in_address_limit: Limit
    authorization_limit: Limit
    registration_limit: Limit
    client_metadata_limit: Limit
    client_metadata_fetch_limit: Limit
    client_authentication_limit: Limit
    token_limit: Limit
    token_lookup_limit: Limit
    client_assertion_limit: Limit

    async def close(self) -> None:
        """Let go of the storages; one that all share does not mind being let go of again."""
        for field in fields(self):
            await getattr(self, field.name).close()


def open_limits(settings: Settings, clock: Callable[[], float]) -> Limits:
    """The limits of these settings, counted on Valkey if that is where the store is.

    In memory each has a storage of its own: a flood of keys of one limit must not make another
    forget what it counted.
    """
    is_shared = is_valkey(settings.store_url)
    shared = SharedStorage(settings.store_url) if is_shared else None

    def limit(name: str) -> Limit:
        return Limit(name, getattr(settings, name), shared or BoundedMemory(clock))

    return Limits(**{field.name: limit(field.name) for field in fields(Limits)})
