"""A clock that stands still until it is told to move."""


class Clock:
    """Seconds since the epoch, as `time.time` gives them; the first is in January 2027."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self._now = now

    def __call__(self) -> int:
        return self._now

    def advance(self, seconds: int) -> None:
        """Let time pass; negative seconds set the clock back."""
        self._now += seconds
