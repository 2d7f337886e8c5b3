"""The MCP server that a setting names."""

import contextlib
import importlib
import inspect
import logging
from collections.abc import Iterator
from typing import Any

from mcp.server.mcpserver import MCPServer

from resource_server.people import People


class InvalidMcpServer(ValueError):
    """LATCHGATE_MCP_SERVER names nothing that could be served; the message says what is wrong."""


def load_mcp_server(name: str, people: People) -> MCPServer[Any]:
    """Import `module:name`: an MCPServer, or a function (of `People` or nothing) that makes one."""
    module_name, _, attribute = name.partition(":")
    with _root_logger_kept():
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidMcpServer(
                f"LATCHGATE_MCP_SERVER={name} cannot be imported ({error}): write module:name, "
                "such as my_tools:mcp, and start where the module can be found"
            ) from error
        if inspect.isfunction(found):
            found = found(people) if inspect.signature(found).parameters else found()
    if not isinstance(found, MCPServer):
        raise InvalidMcpServer(
            f"LATCHGATE_MCP_SERVER={name} is no MCPServer of the mcp package (2.3 or newer) but a "
            f"{type(found).__module__}.{type(found).__qualname__}"
        )
    return found


@contextlib.contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Undo what making an MCPServer does to the root logger: how we log is ours to say."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
