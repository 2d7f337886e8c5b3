"""The grants that the memory store keeps, with whose they are and how they were used."""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter

from auth.models import CLIENT_SUBJECT, Code, Digest, Grant, Use
from auth.store import StoreUnavailable
from auth.store.memory.expiring import SLICE, Expiring


def is_live(grant: Grant, now: int) -> bool:
    """Whether a grant is neither revoked nor expired."""
    return grant.revoked_at is None and grant.expires_at > now


class Grants:
    """A bounded number, with their codes: what can be done without goes first, a live one never."""

    def __init__(self, most: int, most_each: int, most_of_a_client: int) -> None:
        self._most = most
        self._most_each = most_each
        self._most_of_a_client = most_of_a_client
        self._by_id: Expiring[str, Grant] = Expiring(attrgetter("expires_at"))
        self._codes: Expiring[Digest, Code] = Expiring(attrgetter("expires_at"))
        self._of: dict[str, set[str]] = {}
        self._uses: dict[str, Use] = {}
        self._of_client: dict[str, deque[tuple[str, Digest]]] = {}
        self._unused_of: dict[str, set[str]] = {}
        self._unexchanged: OrderedDict[str, Digest] = OrderedDict()
        self._revoked: OrderedDict[str, None] = OrderedDict()

    def __iter__(self) -> Iterator[Grant]:
        return iter(tuple(self._by_id.values()))

    def count(self) -> int:
        """How many are here that were not revoked."""
        return len(self._by_id) - len(self._revoked)

    def add(self, grant: Grant, code: Code | None) -> None:
        """Add a grant, with its code if it has one; raises StoreUnavailable if all are alive."""
        self._make_room_of_their_own(grant)
        self._make_room(grant.created_at)
        self._by_id[grant.grant_id] = grant
        self._of.setdefault(grant.subject, set()).add(grant.grant_id)
        if code is None:
            self._by_id.note(grant.grant_id)
        else:
            # The grant is noted when its code expires: by then it has its own expiry.
            self._codes.add(code.digest, code)
            self._unexchanged[grant.grant_id] = code.digest
            self._unused_of.setdefault(grant.subject, set()).add(grant.grant_id)

    def forget_first_of(self, new: Grant, access_token: Digest) -> Iterator[Digest]:
        """Of too many of a client's own the first added: the digest of the token it gave."""
        own = self._of_client.setdefault(new.subject, deque())
        own.append((new.grant_id, access_token))
        while len(own) > self._most_of_a_client:
            grant_id, first = own.popleft()
            if grant_id in self._by_id:
                self._forget(grant_id)
            yield first

    def find(self, grant_id: str) -> Grant | None:
        """The grant with this id, alive or not."""
        return self._by_id.get(grant_id)

    def find_code(self, digest: Digest, now: int) -> tuple[Code, Grant] | None:
        """The unexpired code with this digest, and its grant, alive or not."""
        code = self._codes.get(digest)
        if code is None or code.expires_at <= now:
            return None
        grant = self._by_id.get(code.grant_id)
        return None if grant is None else (code, grant)

    def spend_code(self, code: Code) -> None:
        """Mark a code as spent: from now on its grant is in use."""
        self._codes[code.digest] = replace(code, is_spent=True)
        self._unexchanged.pop(code.grant_id, None)
        self._note_use(self._by_id[code.grant_id])

    def change(self, grant: Grant) -> None:
        """Put a grant in the place of the one with its id."""
        self._by_id[grant.grant_id] = grant

    def live_of(self, subject: str, now: int) -> Sequence[Grant]:
        """The live grants of a person, newest first, those whose code still waits included."""
        grants = (self._by_id[grant_id] for grant_id in self._of.get(subject, ()))
        live = [grant for grant in grants if is_live(grant, now)]
        return sorted(live, key=attrgetter("created_at"), reverse=True)

    def end_all(self, subject: str, now: int) -> None:
        """Revoke the grants of a person, expired ones too: the clock may be set back."""
        for grant_id in self._of.get(subject, ()):
            if self._by_id[grant_id].revoked_at is None:
                self.end(self._by_id[grant_id], now)

    def end(self, grant: Grant, now: int) -> None:
        """Revoke a grant; it stays here until it expires, so that a replay is still seen."""
        self._by_id[grant.grant_id] = replace(grant, revoked_at=now)
        self._revoked[grant.grant_id] = None
        self._unused_of.setdefault(grant.subject, set()).add(grant.grant_id)

    def add_use(self, use: Use) -> None:
        """Add to how a grant was used, if it is still here."""
        if use.grant_id not in self._by_id:
            return
        before = self._uses.get(use.grant_id, Use(use.grant_id, 0, use.day, 0, 0))
        counted = {before.day: before.calls_on_day}
        day = max(before.day, use.day)
        counted[use.day] = counted.get(use.day, 0) + use.calls_on_day
        self._uses[use.grant_id] = Use(
            grant_id=before.grant_id,
            calls=before.calls + use.calls,
            day=day,
            calls_on_day=counted[day],
            last_used_at=max(before.last_used_at, use.last_used_at),
        )

    def uses(self, subject: str) -> Sequence[Use]:
        """How the grants of a person were used, those that were never used left out."""
        ids = self._of.get(subject, ())
        return [self._uses[grant_id] for grant_id in ids if grant_id in self._uses]

    def expired(self, now: int) -> Iterator[Grant | Code | None]:
        """As `Expiring.expired`, for codes and grants."""
        for code in self._codes.expired(now):
            if code is not None:
                self._by_id.note(code.grant_id)
            yield code
        for grant in self._by_id.expired(now):
            if grant is not None:
                self._unlist(grant)
            yield grant

    def _make_room(self, now: int) -> None:
        if len(self._by_id) >= self._most:
            for _ in islice(self.expired(now), SLICE):
                pass
        if len(self._by_id) < self._most:
            return
        # To be unknown is to be as dead as it was: of a revoked one only its tombstone is lost.
        dispensable = next(iter(self._unexchanged or self._revoked), None)
        if dispensable is None:
            raise StoreUnavailable("the memory store is full of live grants")
        self._forget(dispensable)

    def _make_room_of_their_own(self, new: Grant) -> None:
        unused = self._unused_of.get(new.subject, set())
        if len(unused) < self._most_each or new.subject.startswith(CLIENT_SUBJECT):
            return

        def worth(grant: Grant) -> tuple[bool, bool, int]:
            is_alive = is_live(grant, new.created_at)
            return is_alive, grant.client_id != new.client_id, grant.created_at

        self._forget(min((self._by_id[grant_id] for grant_id in unused), key=worth).grant_id)

    def _note_use(self, grant: Grant) -> None:
        """It is not among the unused ones of its person, or not any more."""
        unused = self._unused_of.get(grant.subject, set())
        unused.discard(grant.grant_id)
        if not unused:
            self._unused_of.pop(grant.subject, None)

    def _forget(self, grant_id: str) -> None:
        if grant_id in self._unexchanged:
            self._codes.pop(self._unexchanged[grant_id], None)
        self._unlist(self._by_id.pop(grant_id))

    def _unlist(self, grant: Grant) -> None:
        own = self._of[grant.subject]
        own.discard(grant.grant_id)
        if not own:
            del self._of[grant.subject]
        self._note_use(grant)
        self._uses.pop(grant.grant_id, None)
        self._unexchanged.pop(grant.grant_id, None)
        self._revoked.pop(grant.grant_id, None)
