"""One thread that writes: steps that wait together share one transaction, and so one sync."""

import sqlite3
from asyncio import to_thread, wrap_future
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, NamedTuple, TypeVar

Answer = TypeVar("Answer")

MAX_GROUP = 100
"""So many steps share a transaction at most: other processes want their turn."""


class _Step(NamedTuple):
    act: Callable[[sqlite3.Connection], Any]
    outcome: Future[Any]


class Writer:
    """Performs steps on a connection in the order they came; each is answered after its commit.

    A step may be performed twice, the first time rolled back: it must be nothing but a function
    of its connection.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._waiting: list[_Step] = []
        self._is_open = True
        self._changed = Condition()
        # A daemon: who forgets stop() loses what was not acknowledged, and the process still ends.
        self._thread = Thread(target=self._work, name="sqlite writer", daemon=True)
        self._thread.start()

    async def perform(self, act: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """What `act` returned, once it is committed; or what it raised, and it left no trace."""
        outcome: Future[Answer] = Future()
        with self._changed:
            if not self._is_open:
                raise sqlite3.ProgrammingError("the store is closed")
            self._waiting.append(_Step(act, outcome))
            self._changed.notify()
        return await wrap_future(outcome)

    async def stop(self) -> None:
        """Perform what waits, then end the thread."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        await to_thread(self._thread.join)

    def _work(self) -> None:
        while group := self._next_group():
            self._commit(_wanted(group))

    def _next_group(self) -> Sequence[_Step]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._is_open)
            return self._take(MAX_GROUP)

    def _take(self, most: int | None = None) -> Sequence[_Step]:
        with self._changed:
            taken = self._waiting[:most]
            del self._waiting[:most]
            return taken

    def _commit(self, group: Sequence[_Step]) -> None:
        """Answer every step of a group.

        What is wrong with the file is wrong for the whole group. What is wrong with one step must
        not undo the others: each is performed again on its own. This takes the place of a SAVEPOINT
        for each, which would cost every step two statements more, and survives what a savepoint
        does not: SQLite rolling back the transaction by itself.

        While another process keeps the lock everybody waits for it once, not group after group.
        """
        try:
            answers = self._transact(group)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever awaits the step
            if _is_locked(error):
                group = [*group, *_wanted(self._take())]
            if len(group) == 1 or isinstance(error, sqlite3.OperationalError):
                for step in group:
                    step.outcome.set_exception(error)
            else:
                for step in group:
                    self._commit([step])
        else:
            for step, answer in zip(group, answers, strict=True):
                step.outcome.set_result(answer)

    def _transact(self, group: Sequence[_Step]) -> list[Any]:
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            return [step.act(self._db) for step in group]


def _wanted(steps: Sequence[_Step]) -> Sequence[_Step]:
    """Those that nobody cancelled while they waited, as when a client hung up."""
    return [step for step in steps if step.outcome.set_running_or_notify_cancel()]


def _is_locked(error: Exception) -> bool:
    return (
        isinstance(error, sqlite3.OperationalError)
        and error.sqlite_errorcode == sqlite3.SQLITE_BUSY
    )
