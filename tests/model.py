"""The rules of codes and tokens, read naively: everything that ever happened is kept in lists.

A second authorization server, for the tests to compare the first with. It shares no code with it,
forgets nothing, stores no expiry that could be computed, and answers each question by reading its
lists again. Times are seconds, `now` is the caller's.
"""

from dataclasses import dataclass, field

CODE_TTL = 60
ACCESS_TTL = 3600
DAY = 86_400
IDLE_TTL = 30 * DAY
LIFE = 90 * DAY
GRACE = 120
LIVE_ANSWERS = 8

Scopes = tuple[str, ...]
Outcome = int | str
"""Which of a family's answers a request is given, counted from 1; or the error that it is told."""


@dataclass
class Answer:
    """An access token and a refresh token that were given together."""

    at: int
    scopes: Scopes
    is_revoked: bool = False
    """Whether the access token was revoked by itself."""


@dataclass
class Family:
    """A person's yes to a client, its code, and every answer that came of it."""

    person: str
    client: str
    scopes: Scopes
    born_at: int
    answers: list[Answer] = field(default_factory=list)
    is_ended: bool = False

    @property
    def newest(self) -> int:
        """The number of the newest answer, 0 before the first."""
        return len(self.answers)

    def access_token_ends_at(self, number: int) -> int:
        """An hour after it was given, but no token outlives the ninety days of its family."""
        return min(self.answers[number - 1].at + ACCESS_TTL, self.born_at + LIFE)

    def ends_at(self) -> int:
        """With its code; once that was exchanged, thirty days unused or ninety in all."""
        if not self.answers:
            return self.born_at + CODE_TTL
        return min(self.answers[-1].at + IDLE_TTL, self.born_at + LIFE)

    def lives(self, now: int) -> bool:
        """Whether anything of it may still work."""
        return not self.is_ended and now < self.ends_at()

    def accepts(self, number: int, now: int) -> Scopes | None:
        """What the access token of an answer is good for; None if it is good for nothing."""
        answer = self.answers[number - 1]
        if number <= self.newest - LIVE_ANSWERS or now >= self.access_token_ends_at(number):
            return None
        if answer.is_revoked or not self.lives(now):
            return None
        return tuple(scope for scope in answer.scopes if scope in self.scopes)

    def good_for(self, number: int, now: int) -> tuple[Scopes | None, Scopes | None]:
        """What the two tokens of an answer are good for: of refresh tokens only the newest is."""
        is_newest = number == self.newest and self.lives(now)
        return self.accepts(number, now), self.scopes if is_newest else None

    def exchange(self, now: int, *, is_proved: bool, is_for_us: bool) -> Outcome:
        """A code: once, within its minute, for whoever proves that it is theirs."""
        if now >= self.born_at + CODE_TTL or not is_proved:
            return "invalid_grant"
        if not is_for_us:
            return "invalid_target"
        if self.answers or self.is_ended:
            self.is_ended = True
            return "invalid_grant"
        return self._give(now, self.scopes)

    def refresh(
        self, number: int, now: int, *, is_own: bool, asked: Scopes, is_for_us: bool
    ) -> Outcome:
        """The newest refresh token; the one before for a while; an older one was stolen."""
        if not self.lives(now) or not is_own:
            return "invalid_grant"
        scopes = tuple(scope for scope in self.scopes if not asked or scope in asked)
        if asked and not scopes:
            return "invalid_scope"
        if not is_for_us:
            return "invalid_target"
        if number == self.newest:
            return self._give(now, scopes)
        successor = self.answers[number]
        if number == self.newest - 1 and now < successor.at + GRACE:
            # Given again as it was or not at all, and no harm done.
            return self.newest if self.accepts(self.newest, now) == scopes else "invalid_grant"
        self.is_ended = True
        return "invalid_grant"

    def _give(self, now: int, scopes: Scopes) -> Outcome:
        self.answers.append(Answer(now, scopes))
        return self.newest

    def revoke(self, now: int) -> None:
        """A refresh token is revoked by its client: the whole family ends, if it lives."""
        self.is_ended = self.is_ended or self.lives(now)

    def revoke_access_token(self, number: int, now: int) -> None:
        """One access token is revoked by its client, if it is good for anything."""
        if self.accepts(number, now) is not None:
            self.answers[number - 1].is_revoked = True

    def narrow(self, scopes: Scopes, now: int) -> None:
        """The person takes scopes away; what is not there is not added."""
        if self.lives(now):
            self.scopes = tuple(scope for scope in self.scopes if scope in scopes)


@dataclass
class Model:
    """Everybody's families, and who is shut out."""

    families: list[Family] = field(default_factory=list)
    disabled: set[str] = field(default_factory=set)
    banned: set[str] = field(default_factory=set)

    def allow(self, person: str, client: str, scopes: Scopes, now: int) -> Family | None:
        """A person says yes; None if the person or the client is shut out."""
        if person in self.disabled or client in self.banned:
            return None
        family = Family(person, client, scopes, now)
        self.families.append(family)
        return family

    def end(self, family: Family, ending: str) -> None:
        """Somebody takes back this yes or all of theirs, or is shut out."""
        person, client = family.person, family.client
        if ending == "revoke":
            family.is_ended = True
        for other in self.families:
            if ending in {"revoke all", "change password", "disable"} and other.person == person:
                other.is_ended = True
            if ending == "ban" and other.client == client:
                other.is_ended = True
        if ending == "disable":
            self.disabled.add(person)
        elif ending == "ban":
            self.banned.add(client)
