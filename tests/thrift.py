"""What is worked out once for all tests, because it comes out the same in each of them."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import pytest
from mcp.server.mcpserver.tools import Tool


@contextmanager
def thrift() -> Iterator[None]:
    """While this lasts, an application costs a third of what it costs a server at its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tool, "from_function", _remembering(Tool.from_function))
        if importlib.util.find_spec("sniffio") is None:
            # httpx2 looks for it with every request, through the whole path.
            patch.setitem(sys.modules, "sniffio", None)
        yield


def _remembering(from_function: Callable[..., Tool]) -> Callable[..., Tool]:
    """What the SDK derives from a function's signature, once for each place in a source."""
    known: dict[tuple[CodeType, str], Tool] = {}

    def remembered(function: Any, **options: Any) -> Tool:
        signature = function.__annotations__, function.__defaults__, function.__kwdefaults__
        key = function.__code__, repr((signature, options))
        if (tool := known.get(key)) is None:
            tool = known[key] = from_function(function, **options)
        return tool.model_copy(update={"fn": function})

    return remembered
