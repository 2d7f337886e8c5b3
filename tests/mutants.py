"""Faults to be planted into the running code, one at a time, to see that the tests find them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import getsource
from textwrap import dedent
from types import FunctionType
from typing import Any

import pytest


@dataclass(frozen=True, slots=True)
class Mutant:
    """In a function's source, or in a module's constant or script, one text becomes another."""

    name: str
    target: Callable[..., Any] | tuple[Any, str]
    old: str
    new: str
    backend: str = "memory"

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The fault is there until the block ends; fails if the text is not there exactly once."""
        with pytest.MonkeyPatch.context() as patch:
            if isinstance(self.target, tuple):
                owner, name = self.target
                patch.setattr(owner, name, self._changed(getattr(owner, name)))
            else:
                assert isinstance(self.target, FunctionType)
                source = self._changed(dedent(getsource(self.target)))
                namespace = dict(self.target.__globals__)
                exec(source, namespace)  # noqa: S102 - our own source
                # The code alone, so that whoever has imported the function runs it too.
                patch.setattr(self.target, "__code__", namespace[self.target.__name__].__code__)
            yield

    def _changed(self, text: str) -> str:
        assert text.count(self.old) == 1, f"{self.old!r} is there {text.count(self.old)} times"
        return text.replace(self.old, self.new)
