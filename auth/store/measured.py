"""A store whose verbs tell how long they took."""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, cast

from auth.store import Store

_VERBS = [name for name, verb in vars(Store).items() if iscoroutinefunction(verb)]
# The look-up of every authenticated call, which in memory takes less time than the measuring.
_UNMEASURED = {"open", "close", "find_access_token"}


def measured(store: Store, note: Callable[[str, float], None]) -> Store:
    """The same store; `note` is told the name of each verb and the seconds until its answer."""
    return cast("Store", _Measured(store, note))


class _Measured:
    def __init__(self, store: Store, note: Callable[[str, float], None]) -> None:
        self.is_shared = store.is_shared
        for name in _VERBS:
            verb = getattr(store, name)
            setattr(self, name, verb if name in _UNMEASURED else _timed(name, verb, note))


def _timed(
    name: str, verb: Callable[..., Awaitable[Any]], note: Callable[[str, float], None]
) -> Callable[..., Awaitable[Any]]:
    async def timed(*args: Any, **options: Any) -> Any:
        began = perf_counter()
        try:
            return await verb(*args, **options)
        finally:
            note(name, perf_counter() - began)

    return timed
