"""How long a purge keeps everybody else from the event loop."""

from asyncio import create_task, sleep
from gc import freeze, unfreeze
from time import thread_time

from auth.store import Store

SLICE = 1000
"""What the server purges at a time (`auth.app.purge`)."""


async def purge_all(store: Store, now: int, limit: int = SLICE) -> tuple[int, float]:
    """Purge until there is nothing left: how many, and the seconds that others waited at most.

    Counted is the processor's time in this thread: what else the machine does is no fault.
    """
    freeze()
    forgotten, longest, is_last = 0, 0.0, False
    while not is_last:
        purging = create_task(store.purge(now, limit))
        while not purging.done():
            began = thread_time()
            # No shorter, or asking would keep the interpreter from the thread that purges.
            await sleep(0.001)
            longest = max(longest, thread_time() - began)
        forgotten += purging.result()
        is_last = purging.result() < limit
    unfreeze()
    return forgotten, longest
