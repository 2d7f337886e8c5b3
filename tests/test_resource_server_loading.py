"""The MCP server that LATCHGATE_MCP_SERVER names."""

import logging
from pathlib import Path

import pytest

from resource_server.loading import InvalidMcpServer, load_mcp_server
from tests.resource_server_kit import Records

MODULE = """
from mcp.server.mcpserver import MCPServer

mcp = MCPServer("instance")
number = 7

def without_people():
    return MCPServer("without people")

def with_people(people):
    return MCPServer(type(people).__name__)

def nothing():
    return None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"tools_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("mcp", "instance"),
        ("without_people", "without people"),
        ("with_people", "Records"),
    ],
)
def test_a_server_or_a_function_that_makes_one_is_loaded(
    module: str, attribute: str, name: str
) -> None:
    assert load_mcp_server(f"{module}:{attribute}", Records()).name == name


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (":missing", "cannot be imported"),
        (":number", "no MCPServer"),
        (":nothing", "no MCPServer"),
        ("_absent:mcp", "cannot be imported"),
        ("_broken:mcp", "no_such_module"),
        ("", "module:name"),
    ],
)
def test_what_cannot_be_served_is_said_with_the_setting(
    module: str, suffix: str, message: str
) -> None:
    with pytest.raises(InvalidMcpServer, match=f"LATCHGATE_MCP_SERVER=.*{message}"):
        load_mcp_server(f"{module}{suffix}", Records())


def test_how_we_log_stays_as_it_was(module: str) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        load_mcp_server(f"{module}:without_people", Records())
        assert (root.handlers, root.level) == ([], before[1])
    finally:
        root.handlers[:] = before[0]
