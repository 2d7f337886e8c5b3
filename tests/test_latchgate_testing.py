"""The kit for people's own tools, used as they would use it."""

from pathlib import Path

import pytest
from mcp import MCPError

from latchgate_testing import gated
from tests.tools_for_files import mcp


async def test_a_tool_answers_the_person_who_has_its_scope() -> None:
    async with gated(mcp) as gate:
        async with gate.as_user("alice", scopes=["user", "files:write"]) as client:
            result = await client.call_tool("save", {"path": "a", "text": "bc"})
            assert not result.is_error
        async with gate.as_user("bob") as client:
            assert not (await client.call_tool("read", {"path": "a"})).is_error
            with pytest.raises(MCPError):
                await client.call_tool("save", {"path": "a", "text": "bc"})


async def test_the_shipped_tools_know_the_person() -> None:
    async with gated() as gate, gate.as_user("alice") as client:
        result = await client.call_tool("get_user_data", {})
        assert result.structured_content
        assert result.structured_content["username"] == "alice"


async def test_a_token_lasts_as_long_as_it_was_minted_for() -> None:
    async with gated() as gate:
        other = await gate.mint_token("alice")
        token = await gate.mint_token("alice", ttl=10)
        assert token != other
        async with gate.http(Authorization=f"Bearer {token}") as http:
            assert (await http.get("/mcp")).status_code != 401
            gate.clock.advance(10)
            assert (await http.get("/mcp")).status_code == 401


async def test_settings_can_be_given() -> None:
    async with gated(required_scopes=("files",)) as gate, gate.http() as http:
        response = await http.post("/mcp")
        assert 'scope="files"' in response.headers["www-authenticate"]


async def test_the_environment_and_its_file_decide_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LATCHGATE_REQUIRED_SCOPES", "from:environment")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("LATCHGATE_REQUIRED_SCOPES=from:file\n")
    async with gated() as gate, gate.http() as http:
        response = await http.post("/mcp")
        assert 'scope="user"' in response.headers["www-authenticate"]


async def test_lists_leave_out_what_cannot_be_used_if_that_is_wanted() -> None:
    for lists, names in (("all", {"read", "save"}), ("usable", {"read"})):
        async with gated(mcp, mcp_lists=lists) as gate, gate.as_user("bob") as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == names
