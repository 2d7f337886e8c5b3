"""How often grants are used: counted in memory on the call path, written down every few seconds."""

from auth.models import Use
from auth.store import Store

DAY = 24 * 60 * 60


class UseCounter:
    """Counts calls for one process. What a crash loses is a few seconds of counting, no right."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, int], int] = {}
        self._last: dict[str, int] = {}
        self._handed_over = 0

    def note(self, grant_id: str, now: int) -> None:
        """One call with a token of this grant."""
        key = (grant_id, now // DAY)
        self._calls[key] = self._calls.get(key, 0) + 1
        self._last[grant_id] = now

    async def total(self) -> int:
        """How many calls there were since the start."""
        return self._handed_over + sum(self._calls.values())

    async def write_to(self, store: Store) -> None:
        """Hand everything counted so far to the store; what it refuses is counted again later."""
        calls, self._calls = self._calls, {}
        last, self._last = self._last, {}
        if not calls:
            return
        number = sum(calls.values())
        self._handed_over += number
        try:
            await store.record_uses(
                Use(grant_id, count, day, count, last[grant_id])
                for (grant_id, day), count in calls.items()
            )
        except BaseException:
            for key, count in calls.items():
                self._calls[key] = self._calls.get(key, 0) + count
            self._last = last | self._last
            self._handed_over -= number
            raise
