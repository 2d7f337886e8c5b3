"""A question put to a deployment, and what was found."""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How good the answer is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer: what was asked, on whose behalf, what was seen and what to do about it."""

    question: str
    asked_by: str
    verdict: Verdict
    seen: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Something a client asks, and which clients do."""

    text: str
    asked_by: str = "every client"

    def ok(self, seen: str) -> Finding:
        """As it should be."""
        return Finding(self.text, self.asked_by, Verdict.OK, seen)

    def warning(self, seen: str, remedy: str) -> Finding:
        """It works for most."""
        return Finding(self.text, self.asked_by, Verdict.WARNING, seen, remedy)

    def failure(self, seen: str, remedy: str) -> Finding:
        """Those who ask this cannot connect."""
        return Finding(self.text, self.asked_by, Verdict.FAILURE, seen, remedy)

    def judge(self, *, holds: bool, seen: str, remedy: str, mild: bool = False) -> Finding:
        """As it should be or, if not, a failure; `mild`: only a warning."""
        if holds:
            return self.ok(seen)
        return self.warning(seen, remedy) if mild else self.failure(seen, remedy)
