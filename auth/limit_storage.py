"""Where limits are counted: this process's memory, or the Valkey server of all replicas."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limits.aio.storage import MemoryStorage, RedisStorage

from valkey_urls import tls_options

MAX_KEYS = 10_000
KEY_PREFIX = "latchgate:1:limits"

_MAX_CONNECTIONS = 64
_TIMEOUT = 0.5


@dataclass(slots=True)
class _Window:
    """What was counted since `began_at`, and in the window of the same length before that."""

    began_at: float
    before: int = 0
    current: int = 0


class BoundedMemory(MemoryStorage):
    """The library's sliding windows on our clock, for the keys used last; a flood costs nothing.

    The library's own storage never forgets a key that nobody asks for again while it may grow.
    """

    def __init__(self, clock: Callable[[], float], max_keys: int = MAX_KEYS) -> None:
        super().__init__()
        self._clock = clock
        self._max_keys = max_keys
        self._counted: OrderedDict[str, _Window] = OrderedDict()

    def apart(self) -> "BoundedMemory":
        """Another of the same size: what fills the one makes the other forget nothing."""
        return BoundedMemory(self._clock, self._max_keys)

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Count, unless that is more than the limit; no `await` inside, so one atomic step."""
        now = self._clock()
        window = self._slide(key, expiry, now)
        if _weigh(window, expiry, now) + amount > limit:
            return False
        window.current += amount
        self._counted[key] = window
        self._counted.move_to_end(key)
        if len(self._counted) > self._max_keys:
            self._counted.popitem(last=False)
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """What was counted in the window before and how long it weighs, the same of this one."""
        now = self._clock()
        window = self._slide(key, expiry, now)
        left = window.began_at + expiry - now
        return window.before, left, window.current, left + expiry

    def _slide(self, key: str, expiry: int, now: float) -> _Window:
        """The window as of now; a clock that was set back begins anew and locks nobody out."""
        window = self._counted.get(key)
        if window is None or not 0 <= now - window.began_at < 2 * expiry:
            return _Window(now)
        if now - window.began_at < expiry:
            return window
        return _Window(window.began_at + expiry, before=window.current)


def _weigh(window: _Window, expiry: int, now: float) -> int:
    return int(window.before * (window.began_at + expiry - now) / expiry) + window.current


class SharedStorage(RedisStorage):
    """The same counted on a Valkey server, where each step is one script."""

    def __init__(self, url: str) -> None:
        from valkey.asyncio import BlockingConnectionPool  # noqa: PLC0415 - an extra, when named

        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=_TIMEOUT,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            **tls_options(url),
        )
        pool: dict[str, Any] = {"connection_pool": self._pool}
        super().__init__(
            url, wrap_exceptions=True, implementation="valkey", key_prefix=KEY_PREFIX, **pool
        )

    def apart(self) -> "SharedStorage":
        """The server forgets nothing before its time."""
        return self

    async def close(self) -> None:
        """Let go of every socket."""
        await self._pool.aclose()
