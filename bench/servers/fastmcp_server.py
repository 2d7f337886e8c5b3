"""FastMCP with its in-memory provider: as `run()` starts it, and tuned as far as it goes."""

import os

from fastmcp import FastMCP
from fastmcp.server.auth.auth import ClientRegistrationOptions
from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider

from bench.servers.calculator import add, text

_URL = os.environ["BENCH_URL"]


def _create() -> FastMCP:
    registration = ClientRegistrationOptions(
        enabled=True, valid_scopes=["user"], default_scopes=["user"]
    )
    auth = InMemoryOAuthProvider(
        base_url=_URL, client_registration_options=registration, required_scopes=["user"]
    )
    server = FastMCP("Calculator", auth=auth)
    server.tool(add)
    server.resource("bench://text")(text)
    return server


tuned = _create().http_app(json_response=True)
"""JSON answers, which gives up every stream; the loop and the parser are uvicorn's best anyway."""

if __name__ == "__main__":
    port = int(_URL.rpartition(":")[2])
    _create().run(transport="http", host="127.0.0.1", port=port, show_banner=False)
