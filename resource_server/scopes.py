"""Which scopes a tool, resource or prompt needs (RFC 6749 §3.3; MCP authorization, step-up).

@mcp.tool()
@requires("files:write")
def save(path: str, text: str) -> str: ...
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST

from resource_server.calls import NAMES, NAMES_WITHIN, Call, calls_of
from resource_server.registry import Registered, Registry, function_of, label_of
from settings.values import SCOPE_TOKEN

SCOPES_META = "latchgate/scopes"
"""The `_meta` key under which lists name the scopes that each entry needs."""

_ATTRIBUTE = "__latchgate_scopes__"
_LISTS = {
    "tools/list": ("tools", "name", "tools/call"),
    "prompts/list": ("prompts", "name", "prompts/get"),
    "resources/list": ("resources", "uri", "resources/read"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate", "resources/templates/list"),
}
"""Of each list method: the member with the entries, what names an entry, what calls it."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def union(*groups: Iterable[str]) -> tuple[str, ...]:
    """The scopes of all the groups, each once, in the order in which they are first named."""
    return tuple(dict.fromkeys(scope for group in groups for scope in group))


def requires(*scopes: str) -> Callable[[_Function], _Function]:
    """Say which scopes a function needs; stands above or below the decorator that registers it."""
    wrong = [scope for scope in scopes if not SCOPE_TOKEN.fullmatch(scope)]
    if wrong or not scopes:
        raise ValueError(f"requires() takes scopes such as 'files:write', not {wrong or 'nothing'}")

    def mark(function: _Function) -> _Function:
        setattr(function, _ATTRIBUTE, union(scopes, getattr(function, _ATTRIBUTE, ())))
        return function

    return mark


def _scopes_of(registered: Registered | None) -> tuple[str, ...]:
    function = function_of(registered)
    if hasattr(function, "__wrapped__"):
        # The SDK wraps prompts and resources in a validating function of its own.
        function = inspect.unwrap(function, stop=lambda inner: hasattr(inner, _ATTRIBUTE))
    scopes: tuple[str, ...] = getattr(function, _ATTRIBUTE, ())
    return scopes


class ScopesNeeded:
    """The scopes that each call needs, besides those that every call needs."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def by(self, calls: Sequence[Call]) -> tuple[str, ...]:
        """Every scope that these calls need."""
        groups = [_scopes_of(self._registry.find(call)) for call in calls]
        return groups[0] if len(groups) == 1 else union(*groups)


def scopes_needed(mcp: MCPServer[Any]) -> dict[str, tuple[str, ...]]:
    """Every scope that tools, resources and prompts need, with what those are called."""
    needed: dict[str, tuple[str, ...]] = {}
    for registered in Registry(mcp).all():
        for scope in _scopes_of(registered):
            needed[scope] = union(needed.get(scope, ()), [label_of(registered)])
    return needed


class ScopeGate:
    """MCP middleware: checks a call again where it is dispatched, and says in lists what is needed.

    The challenge was decided from what the request said of itself; here it is what the SDK read,
    so nothing that the two read differently can pass. `is_hiding` leaves out of the lists what the
    caller may not use.
    """

    def __init__(
        self, needed: ScopesNeeded, required: tuple[str, ...], *, is_hiding: bool = False
    ) -> None:
        self._needed = needed
        self._required = required
        self._is_hiding = is_hiding

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Check one message, or complete the list that answers it."""
        if ctx.method in NAMES or ctx.method in NAMES_WITHIN:
            self._check(calls_of(ctx.method, ctx.params))
            return await call_next(ctx)
        result = await call_next(ctx)
        if ctx.method in _LISTS and isinstance(result, dict):
            self._annotate(ctx.method, result)
        return result

    def _check(self, calls: Sequence[Call]) -> None:
        needed = self._needed.by(calls)
        if needed and not set(needed).issubset(_held()):
            scope = " ".join(union(self._required, needed))
            raise MCPError(INVALID_REQUEST, "insufficient_scope", {"scope": scope})

    def _annotate(self, method: str, result: dict[str, Any]) -> None:
        member, key, call_method = _LISTS[method]
        held = _held() if self._is_hiding else frozenset()
        entries = []
        for entry in result.get(member, ()):
            own = self._needed.by([Call(call_method, entry[key])])
            if self._is_hiding and not held.issuperset(own):
                continue
            scopes = [*union(self._required, own)]
            annotations: dict[str, Any] = {SCOPES_META: scopes}
            annotated = {**entry}
            if method == "tools/list":
                # What ChatGPT reads, with its mirror (OpenAI Apps SDK, "Authentication").
                schemes = [{"type": "oauth2", "scopes": scopes}]
                annotated["securitySchemes"] = annotations["securitySchemes"] = schemes
            annotated["_meta"] = {**entry.get("_meta", {}), **annotations}
            entries.append(annotated)
        result[member] = entries
        if self._is_hiding and "cacheScope" in result:
            # MCP caching: what depends on the token must not be shared between tokens.
            result["cacheScope"] = "private"


def _held() -> frozenset[str]:
    token = get_access_token()
    return frozenset(token.scopes if token else ())
