"""What is left out of calls that have no use for it, and kept for those that have."""

from typing import Annotated, Any

import pytest
from mcp.server.mcpserver import MCPServer
from opentelemetry.trace import format_trace_id, get_current_span
from pydantic import Field

from resource_server.economies import SchemasWithHeaders
from tests.clock import Clock
from tests.resource_server_kit import modern, modern_headers, result, serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
City = Annotated[str, Field(json_schema_extra={"x-mcp-header": "City"})]


def new_mcp() -> MCPServer[Any]:
    mcp: MCPServer[Any] = MCPServer("Weather")

    @mcp.tool()
    async def trace() -> str:
        return format_trace_id(get_current_span().get_span_context().trace_id)

    @mcp.tool()
    async def forecast(city: City) -> str:
        return f"Rain in {city}"

    @mcp.tool()
    async def echo(city: str) -> str:
        return city

    return mcp


async def test_a_trace_that_the_caller_began_reaches_the_tool(clock: Clock) -> None:
    meta = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    async with serving(clock, new_mcp()) as gate:
        traced = await gate.ask("tools/call", name="trace", arguments={}, _meta=meta)
        untraced = await gate.ask("tools/call", name="trace", arguments={})
    assert result(traced)["content"][0]["text"] == TRACE
    assert result(untraced)["content"][0]["text"] != TRACE


@pytest.mark.parametrize(
    ("tool", "header", "status"),
    [
        ("forecast", "Oslo", 200),
        ("forecast", "Rome", 400),
        ("forecast", None, 400),
        ("echo", None, 200),
        ("echo", "Rome", 200),
    ],
)
async def test_arguments_in_headers_are_compared_where_a_tool_wants_them_there(
    clock: Clock, tool: str, header: str | None, status: int
) -> None:
    message = modern("tools/call", name=tool, arguments={"city": "Oslo"})
    headers = modern_headers("tools/call", tool)
    if header:
        headers["Mcp-Param-City"] = header
    async with serving(clock, new_mcp()) as gate:
        answers = [await gate.post(message, **headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status] * 2


async def test_a_tool_that_changes_is_looked_at_again() -> None:
    plain = {"properties": {"city": {"type": "string"}}}
    wanting = {"properties": {"city": {"type": "string", "x-mcp-header": "City"}}}
    schemas = {"forecast": plain}
    find = SchemasWithHeaders(schemas.get)
    assert find("forecast") is None
    schemas["forecast"] = wanting
    assert find("forecast") is find("forecast") is wanting
    assert find("unknown") is None


async def test_a_server_may_be_protected_again(clock: Clock) -> None:
    mcp = new_mcp()
    for _ in range(2):
        async with serving(clock, mcp) as gate:
            answer = await gate.ask("tools/call", name="echo", arguments={"city": "Oslo"})
        assert result(answer)["content"][0]["text"] == "Oslo"
    assert [type(layer).__name__ for layer in mcp.middleware].count("TraceWhereTraced") == 1
