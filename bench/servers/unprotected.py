"""The same MCP server with no authorization at all: what Latchgate is held against."""

from bench.servers.calculator import calculator

app = calculator().streamable_http_app()
json_app = calculator().streamable_http_app(json_response=True)
"""As fast as the SDK can be made, by giving up every stream."""
