"""What to type, click or paste so that a client finds this server, one snippet for each client."""

import json
import re
import shlex
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class SetupSnippets:
    """Commands, deep links and JSON for one MCP URL; the words around them are in the templates."""

    name: str
    resource: str
    claude_code: str
    cursor_link: str
    cursor_json: str
    vscode_link: str
    vscode_command: str
    inspector: str
    mcp_remote_json: str


def setup_snippets(server_name: str, resource: str) -> SetupSnippets:
    """The snippets for the MCP endpoint at `resource`, under a name made from `server_name`."""
    name = re.sub(r"[^a-z0-9]+", "-", server_name.lower()).strip("-") or "mcp"
    url = shlex.quote(resource)
    vscode = _compact({"name": name, "type": "http", "url": resource})
    cursor = b64encode(_compact({"url": resource}).encode()).decode()
    return SetupSnippets(
        name=name,
        resource=resource,
        claude_code=f"claude mcp add --transport http {name} {url}",
        cursor_link="cursor://anysphere.cursor-deeplink/mcp/install?"
        + urlencode({"name": name, "config": cursor}),
        cursor_json=_indented({"mcpServers": {name: {"url": resource}}}),
        vscode_link="vscode:mcp/install?" + quote(vscode, safe=""),
        vscode_command=f"code --add-mcp {_quoted(vscode)}",
        inspector=f"npx @modelcontextprotocol/inspector --transport http --server-url {url}",
        mcp_remote_json=_indented(
            {"mcpServers": {name: {"command": "npx", "args": ["-y", "mcp-remote", resource]}}}
        ),
    )


def _quoted(value: str) -> str:
    r"""JSON as one word of a command line, of Windows' cmd too, which knows double quotes only.

    What means something within them in a shell or in cmd is spelt \\u….
    """
    spelt = re.sub(r"[$`!%]", lambda found: f"\\u{ord(found[0]):04x}", value)
    return '"' + spelt.replace('"', r"\"") + '"'


def _compact(value: dict[str, str]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _indented(value: dict[str, dict[str, dict[str, object]]]) -> str:
    return json.dumps(value, indent=2)
