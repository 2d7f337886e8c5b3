"""How many answers that may stream are open at once: of one person, and in all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mcp.server.auth.provider import AccessToken

from resource_server.challenges import Refusal, refusal

RETRY_AFTER = 30


class StreamLimits:
    """Counts for one process, since it is the sockets of a process that run out."""

    def __init__(self, per_person: int, in_all: int) -> None:
        self._per_person = per_person
        self._in_all = in_all
        self._open: Counter[str] = Counter()
        self._total = 0
        self._refusal = refusal(
            429,
            "too_many_streams",
            "Too many streams are open: close one, or try again later.",
            retry_after=str(RETRY_AFTER),
        )

    @contextmanager
    def one_more(self, token: AccessToken) -> Iterator[Refusal | None]:
        """Count an answer while it is given; how to refuse it if it is one too many."""
        person = token.subject or token.client_id
        if self._open[person] >= self._per_person or self._total >= self._in_all:
            yield self._refusal
            return
        self._open[person] += 1
        self._total += 1
        try:
            yield None
        finally:
            self._total -= 1
            self._open[person] -= 1
            if not self._open[person]:
                del self._open[person]
