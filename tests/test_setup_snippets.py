"""What the home page offers to type, click and paste."""

import json
import shlex
from base64 import b64decode
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from auth.pages.setup_snippets import SetupSnippets, setup_snippets

URL = "https://mcp.example.com/mcp"


@pytest.fixture
def snippets() -> SetupSnippets:
    return setup_snippets("Latchgate", URL)


def test_commands_are_what_the_clients_take(snippets: SetupSnippets) -> None:
    assert snippets.claude_code == f"claude mcp add --transport http latchgate {URL}"
    assert snippets.inspector == (
        f"npx @modelcontextprotocol/inspector --transport http --server-url {URL}"
    )
    code, flag, server = shlex.split(snippets.vscode_command)
    assert (code, flag) == ("code", "--add-mcp")
    assert json.loads(server) == {"name": "latchgate", "type": "http", "url": URL}


def test_links_carry_the_server(snippets: SetupSnippets) -> None:
    cursor = urlsplit(snippets.cursor_link)
    assert f"{cursor.scheme}://{cursor.netloc}{cursor.path}" == (
        "cursor://anysphere.cursor-deeplink/mcp/install"
    )
    query = parse_qs(cursor.query, strict_parsing=True)
    assert query["name"] == ["latchgate"]
    assert json.loads(b64decode(query["config"][0])) == {"url": URL}
    prefix, _, server = snippets.vscode_link.partition("?")
    assert prefix == "vscode:mcp/install"
    assert json.loads(unquote(server)) == {"name": "latchgate", "type": "http", "url": URL}


def test_configurations_are_json(snippets: SetupSnippets) -> None:
    assert json.loads(snippets.cursor_json) == {"mcpServers": {"latchgate": {"url": URL}}}
    assert json.loads(snippets.mcp_remote_json) == {
        "mcpServers": {"latchgate": {"command": "npx", "args": ["-y", "mcp-remote", URL]}}
    }


@pytest.mark.parametrize(
    ("server_name", "name"),
    [("My Tools!", "my-tools"), ("文件", "mcp"), ("a'; rm -rf ~", "a-rm-rf"), ("--scope", "scope")],
)
def test_a_server_of_any_name_has_one_that_can_be_typed(server_name: str, name: str) -> None:
    assert shlex.split(setup_snippets(server_name, URL).claude_code)[-2:] == [name, URL]


def test_a_path_with_shell_characters_is_quoted() -> None:
    url = "https://h.example/$(id)/mcp"
    assert shlex.split(setup_snippets("x", url).inspector)[-1] == url


def test_the_command_for_vs_code_is_one_word_in_every_shell() -> None:
    url = "https://h.example/$(id)`id`!%PATH%/mcp"
    command = setup_snippets("x", url).vscode_command
    assert not set("'$`!%") & set(command)
    assert json.loads(shlex.split(command)[-1])["url"] == url
