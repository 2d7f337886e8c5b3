"""The standing clock of the tests: the one that users of the kit have."""

from latchgate_testing import Clock

__all__ = ("Clock",)
