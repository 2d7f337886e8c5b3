"""Answers that need not be read twice while nobody has committed anything."""

from collections.abc import Callable
from sqlite3 import Connection
from typing import Generic, TypeVar

Key = TypeVar("Key")
Answer = TypeVar("Answer")

MOST = 4_000
"""Some eight megabytes of grants."""


class Recent(Generic[Key, Answer]):
    """What one connection read since the last commit of any other, in whatever process.

    Every use asks the file itself whether it has changed (`PRAGMA data_version`), which costs a
    fraction of a look-up, so an answer is never older than the commit before the question.
    """

    def __init__(self) -> None:
        self._version: tuple[Connection, tuple[int]] | None = None
        self._answers: dict[Key, Answer] = {}

    def find(
        self, db: Connection, key: Key, look_up: Callable[[Connection, Key], Answer | None]
    ) -> Answer | None:
        """The answer to this key; None is not kept, since anybody can ask for what is not there."""
        # The number is the connection's own: after a restart of the store it may come again.
        version = (db, db.execute("PRAGMA data_version").fetchone())
        if version != self._version or len(self._answers) >= MOST:
            self._answers.clear()
            self._version = version
        answer = self._answers.get(key)
        if answer is None:
            answer = look_up(db, key)
            if answer is not None:
                self._answers[key] = answer
        return answer
