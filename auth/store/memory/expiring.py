"""What the memory store is made of: records that expire, and equal values kept once."""

from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import TypeVar

from auth.store import StoreUnavailable

MINUTE = 60
SLICE = 100
"""How many records to look at, at most, when one that is added needs room."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T", bound=Hashable)


class Expiring(dict[K, V]):
    """A dictionary of records that expire, with a note of which to look at in which minute.

    A note costs 8 bytes, and forgetting never scans: it takes up the notes that are due. A record
    that was extended since keeps its one note, which moves when it is looked at.
    """

    def __init__(self, expires_at: Callable[[V], int]) -> None:
        super().__init__()
        self._expires_at = expires_at
        self._notes: dict[int, list[K]] = {}
        self._minutes: list[int] = []

    def add(self, key: K, record: V) -> None:
        """Put in a new record and note it; one that is here already is changed with `[key] =`."""
        self[key] = record
        self.note(key)

    def note(self, key: K) -> None:
        """Note when to look at a record, if it is here."""
        if key not in self:
            return
        minute = self._expires_at(self[key]) // MINUTE + 1
        keys = self._notes.get(minute)
        if keys is None:
            keys = self._notes[minute] = []
            heappush(self._minutes, minute)
        keys.append(key)

    def make_room(self, most: int, now: int) -> None:
        """Forget some that expired if `most` are here; StoreUnavailable if that does not help."""
        if len(self) >= most:
            for _ in islice(self.expired(now), SLICE):
                pass
        if len(self) >= most:
            raise StoreUnavailable("the memory store is full")

    def expired(self, now: int) -> Iterator[V | None]:
        """Look at what is due, one by one: an expired record, taken out, or None if it is not.

        Whoever stops half-way has lost nothing. A record is due in the minute after its expiry.
        """
        while self._minutes and self._minutes[0] <= now // MINUTE:
            keys = self._notes[self._minutes[0]]
            while keys:
                yield self._look_at(keys.pop(), now)
            del self._notes[heappop(self._minutes)]

    def _look_at(self, key: K, now: int) -> V | None:
        record = self.get(key)
        if record is None:
            return None
        if self._expires_at(record) > now:
            self.note(key)
            return None
        return self.pop(key)


class Pool:
    """One object for equal values: thousands of grants name the same client, scopes and second."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._values: dict[Hashable, Hashable] = {}

    def share(self, value: T) -> T:
        """The first object that was equal to this one, if it is still known."""
        if len(self._values) >= self._capacity:
            # Starting over costs only memory: what is shared already stays shared.
            self._values.clear()
        return self._values.setdefault(value, value)  # type: ignore[return-value]  # equal: one type
