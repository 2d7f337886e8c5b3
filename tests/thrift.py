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
    """The schemas of the tools that come along, which every application makes anew."""
    known: dict[CodeType, Tool] = {}

    def remembered(function: Any, **options: Any) -> Tool:
        if function.__module__ != "resource_server.server":
            return from_function(function, **options)
        if (tool := known.get(function.__code__)) is None:
            tool = known[function.__code__] = from_function(function, **options)
        return tool.model_copy(update={"fn": function})

    return remembered
