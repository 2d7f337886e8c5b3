"""The standing clock of the tests: the one that users of the kit have."""

from latchgate_testing import Clock

__all__ = ("Clock", "LateInTheSecond")


class LateInTheSecond(Clock):
    """A clock that shows fractions, as the real one does."""

    fraction = 0.0

    def __call__(self) -> int:
        return super().__call__() + self.fraction  # type: ignore[return-value]
