"""The sessions that the memory store keeps, with whose they are."""

from collections.abc import Iterator
from operator import attrgetter

from auth.models import Digest, Session
from auth.store.memory.expiring import Expiring


class Sessions:
    """At most so many for each person, whose own oldest makes room.

    So nobody can sign anybody else out by signing in often.
    """

    def __init__(self, most_each: int) -> None:
        self._most_each = most_each
        self._by_digest: Expiring[Digest, Session] = Expiring(attrgetter("expires_at"))
        self._of: dict[str, dict[Digest, None]] = {}

    def add(self, session: Session) -> None:
        """Add one; the oldest of the person's goes if there are too many."""
        own = self._of.get(session.subject, {})
        if len(own) >= self._most_each:
            self.end(next(iter(own)))
        self._by_digest.add(session.digest, session)
        self._of.setdefault(session.subject, {})[session.digest] = None

    def find(self, digest: Digest) -> Session | None:
        """The session with this digest, expired or not."""
        return self._by_digest.get(digest)

    def change(self, session: Session) -> None:
        """Put a session in the place of the one with its digest."""
        self._by_digest[session.digest] = session

    def end(self, digest: Digest) -> None:
        """Forget one session, if it is there."""
        session = self._by_digest.pop(digest, None)
        if session is not None:
            self._unlist(session)

    def end_all(self, subject: str, keep: Digest | None = None) -> None:
        """Forget every session of a person but one."""
        for digest in tuple(self._of.get(subject, ())):
            if digest != keep:
                self.end(digest)

    def expired(self, now: int) -> Iterator[Session | None]:
        """As `Expiring.expired`."""
        for session in self._by_digest.expired(now):
            if session is not None:
                self._unlist(session)
            yield session

    def _unlist(self, session: Session) -> None:
        own = self._of[session.subject]
        del own[session.digest]
        if not own:
            del self._of[session.subject]
