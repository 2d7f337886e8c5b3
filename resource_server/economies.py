"""What the SDK does at every call and most calls have no use for, left out of those."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcp.server._otel import OpenTelemetryMiddleware
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, get_tracer_provider

FindSchema = Callable[[str], Mapping[str, Any] | None]

_HEADER_KEYWORD = "x-mcp-header"
_RECORDS_NOTHING = (ProxyTracerProvider, NoOpTracerProvider)


class TraceWhereTraced:
    """MCP middleware: the SDK's tracing, passed by where nobody would record its span.

    Without an OpenTelemetry SDK that span is empty, and still a tenth of a call. One that the
    caller began is handed on all the same, since what a tool calls may be traced.
    """

    def __init__(self, tracing: OpenTelemetryMiddleware) -> None:
        self._tracing = tracing

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Trace one message, or only pass it on."""
        if isinstance(get_tracer_provider(), _RECORDS_NOTHING) and not _is_traced(ctx.meta):
            return await call_next(ctx)
        return await self._tracing(ctx, call_next)


def _is_traced(meta: Mapping[str, Any] | None) -> bool:
    return meta is not None and "traceparent" in meta


def trace_where_traced(middlewares: Sequence[Any]) -> list[Any]:
    """The same MCP middlewares, of which none traces for nobody."""
    return [
        TraceWhereTraced(middleware) if type(middleware) is OpenTelemetryMiddleware else middleware
        for middleware in middlewares
    ]


class SchemasWithHeaders:
    """Finds the schemas of those tools that want arguments repeated in headers (SEP-2243).

    The SDK compares these headers with the body and walks through the whole schema to find which
    there are; for a tool that wants none there is nothing to compare.
    """

    def __init__(self, find: FindSchema) -> None:
        self._find = find
        self._known: dict[str, tuple[Mapping[str, Any], bool]] = {}

    def __call__(self, name: str) -> Mapping[str, Any] | None:
        """The input schema of this tool, None if it wants no headers or there is no such tool."""
        schema = self._find(name)
        if schema is None:
            return None
        known = self._known.get(name)
        if known is None or known[0] is not schema:
            known = self._known[name] = (schema, _HEADER_KEYWORD in repr(schema))
        return schema if known[1] else None


def compare_headers_where_wanted(mcp: MCPServer[Any]) -> None:
    """Let the SDK look for arguments in headers only where a tool wants them there."""
    server = mcp.session_manager.app
    find = server.get_tool_input_schema
    if find is not None and not isinstance(find, SchemasWithHeaders):
        server.get_tool_input_schema = SchemasWithHeaders(find)
