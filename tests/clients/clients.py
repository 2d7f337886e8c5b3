"""The clients that are tried, how each is started, and what each is known not to do."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tests.clients.kit import (
    NODE,
    NODE_MODULES,
    PROGRAMS,
    PYTHON,
    PYTHON_SDK_1,
    Client,
    Inspector,
    Scene,
    program,
)

Start = Callable[[Scene], AbstractContextManager[Client]]


@dataclass(frozen=True)
class CannotStepUp:
    """What a client says when a call needs more scopes than it has, and why it gets no further."""

    says: str
    why: str


@dataclass(frozen=True)
class Kind:
    """A kind of client: its name in the table, and how it is started against a scene."""

    name: str
    start: Start
    step_up: CannotStepUp | None = None
    can_revoke: bool = False
    has_document: bool = True
    """Whether it has an option for a metadata document of its own."""


def _python(file: str, *arguments: str) -> Start:
    return lambda scene: program(scene, PYTHON, PROGRAMS / file, scene.server.url, *arguments)


def _node(file: str, *arguments: str) -> Start:
    return lambda scene: program(scene, NODE, PROGRAMS / file, scene.server.url, *arguments)


def _python_sdk_1(scene: Scene) -> AbstractContextManager[Client]:
    return program(scene, PYTHON_SDK_1, PROGRAMS / "python_sdk_1.py", scene.server.url)


def _mcp_remote(scene: Scene) -> AbstractContextManager[Client]:
    proxy = NODE_MODULES / "mcp-remote" / "dist" / "proxy.js"
    return program(scene, PYTHON, PROGRAMS / "mcp_remote.py", NODE, proxy, scene.server.url)


def _inspector(era: str) -> Start:
    return lambda scene: nullcontext(Inspector(scene, era))


_ONLY_REFRESHES = CannotStepUp(
    "auth() returned AUTHORIZED without authorization code",
    "refreshes instead of asking the person, and gives up",
)

KINDS = [
    Kind("Python SDK 2.x, 2026-07-28", _python("python_sdk_2.py", "auto")),
    Kind("Python SDK 2.x, 2025-11-25", _python("python_sdk_2.py", "legacy")),
    Kind("Python SDK 1.x", _python_sdk_1),
    Kind(
        "TypeScript SDK 1.x",
        _node("typescript_sdk_1.mjs"),
        CannotStepUp(
            "Server returned 403 after trying upscoping",
            "refreshes instead of asking the person, and gives up",
        ),
    ),
    Kind("TypeScript SDK 2.x, 2026-07-28", _node("typescript_sdk_2.mjs", "auto")),
    Kind("TypeScript SDK 2.x, 2025-11-25", _node("typescript_sdk_2.mjs", "legacy")),
    Kind("MCP Inspector CLI, 2026-07-28", _inspector("auto"), _ONLY_REFRESHES),
    Kind("MCP Inspector CLI, 2025-11-25", _inspector("legacy"), _ONLY_REFRESHES),
    Kind("mcp-remote", _mcp_remote),
    Kind("FastMCP client", _python("fastmcp_client.py")),
    Kind("openid-client", _node("openid_client.mjs"), can_revoke=True, has_document=False),
    Kind("oauth4webapi", _node("oauth4webapi.mjs"), can_revoke=True, has_document=False),
    Kind("Authlib", _python("authlib_client.py"), can_revoke=True, has_document=False),
]
