"""What is counted: plain numbers, so that counting costs a request next to nothing.

`exposition.py` makes of them what Prometheus reads, when it asks.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

BUCKETS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)


class Tally:
    """A number for each combination of labels, that only grows; the values are from short lists."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.counts: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def add(self, *values: str) -> None:
        """One more of these."""
        self.counts[values] += 1


class Durations:
    """How long things took, in seconds: how many fell into each bucket, and the sum."""

    def __init__(self, name: str, documentation: str, label: str) -> None:
        self.name = name
        self.documentation = documentation
        self.label = label
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))

    def note(self, value: str, seconds: float) -> None:
        """One that took so long."""
        self.sums[value] += seconds
        self.buckets[value][bisect_left(BUCKETS, seconds)] += 1


@dataclass(frozen=True, slots=True)
class Reading:
    """A number that somebody else keeps, read when it is asked for; None: not known."""

    kind: Literal["counter", "gauge"]
    name: str
    documentation: str
    read: Callable[[], Awaitable[int | None]]


class Metrics:
    """What one application counts. Names are bounded: none is chosen by whoever sends a request."""

    def __init__(self) -> None:
        self.requests = Tally(
            "latchgate_requests", "Requests, by path and class of status.", "route", "status"
        )
        self.refusals = Tally("latchgate_refusals", "Requests refused, by reason.", "reason")
        self.sign_ins = Tally("latchgate_sign_ins", "Sign-ins, by outcome.", "outcome")
        self.tokens = Tally(
            "latchgate_tokens", "What became of codes, tokens and grants.", "kind", "event"
        )
        self.store_seconds = Durations(
            "latchgate_store_seconds", "How long the store took, by verb.", "verb"
        )
        self.mcp_answers = [0] * 6
        """How many answers of each class of status the MCP endpoint gave; first those not given."""
        self.readings: list[Reading] = []

    def note_refusal(self, reason: str, status: int) -> None:
        """The MCP endpoint refused a request."""
        self.refusals.add(reason)
        self.mcp_answers[status // 100] += 1
