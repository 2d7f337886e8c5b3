"""The functions behind the names of an MCP server.

The SDK (2.3) shows what it tells clients, not the functions, so this file, and no other, looks
into its managers.
"""

from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.resources import FunctionResource, Resource, ResourceTemplate
from mcp.server.mcpserver.resources.templates import ResourceSecurityError
from mcp.server.mcpserver.tools import Tool

from resource_server.calls import Call

Registered = Tool | Prompt | Resource | ResourceTemplate

_MADE_OF_A_FUNCTION = (Tool, Prompt, FunctionResource, ResourceTemplate)


class Registry:
    """Finds what a call is about, as the SDK will find it: tools may come and go while it runs."""

    def __init__(self, mcp: MCPServer[Any]) -> None:
        self._tools = mcp._tool_manager  # noqa: SLF001 - see above
        self._prompts = mcp._prompt_manager  # noqa: SLF001 - see above
        self._resources = mcp._resource_manager  # noqa: SLF001 - see above

    def find(self, call: Call) -> Registered | None:
        """The tool, prompt, resource or template that this call will run, None if there is none."""
        match call.method:
            case "tools/call":
                return self._tools.get_tool(call.name)
            case "prompts/get" | "ref/prompt":
                return self._prompts.get_prompt(call.name)
            case "resources/read" | "resources/subscribe":
                return self._find_resource(call.name)
            case "resources/templates/list":
                return self._find_template(call.name)
            case "ref/resource":
                return self._find_template(call.name) or self._find_resource(call.name)
        return None

    def _find_template(self, uri_template: str) -> ResourceTemplate | None:
        return self._resources._templates.get(uri_template)  # noqa: SLF001 - see above

    def _find_resource(self, uri: str) -> Resource | ResourceTemplate | None:
        resource = self._resources._resources.get(uri)  # noqa: SLF001 - see above
        return resource or next(filter(_matching(uri), self._resources.list_templates()), None)

    def all(self) -> tuple[Registered, ...]:
        """Everything that is registered now."""
        return (
            *self._tools.list_tools(),
            *self._resources.list_resources(),
            *self._resources.list_templates(),
            *self._prompts.list_prompts(),
        )


def _matching(uri: str) -> Callable[[ResourceTemplate], bool]:
    def matches(template: ResourceTemplate) -> bool:
        try:
            return template.matches(uri) is not None
        except ResourceSecurityError:
            return True  # The SDK stops looking here, too, and refuses.

    return matches


def function_of(registered: Registered | None) -> Any:
    """The function that was registered, None if there is none (a file is a resource too)."""
    return registered.fn if isinstance(registered, _MADE_OF_A_FUNCTION) else None


def label_of(registered: Registered) -> str:
    """What a person is to call it."""
    return registered.title or registered.name or ""


def may_speak(registered: Registered | None) -> bool:
    """Whether it could send the client something before its answer: only a Context lets it."""
    if isinstance(registered, Tool):
        return registered.context_kwarg is not None or bool(registered.resolved_params)
    if isinstance(registered, Prompt | ResourceTemplate):
        return registered.context_kwarg is not None
    return False
