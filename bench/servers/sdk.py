"""The SDK with its own embedded authorization server.

It leaves the storing to the user, so the storing is FastMCP's, in memory. Nobody signs in: who
asks is allowed.
"""

import os

from fastmcp.server.auth.providers.in_memory import InMemoryOAuthProvider
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions
from pydantic import AnyHttpUrl

from bench.servers.calculator import calculator

_URL = os.environ["BENCH_URL"]

app = calculator(
    auth_server_provider=InMemoryOAuthProvider(base_url=_URL),
    auth=AuthSettings(
        issuer_url=AnyHttpUrl(_URL),
        resource_server_url=AnyHttpUrl(f"{_URL}/mcp"),
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=["user"], default_scopes=["user"]
        ),
        required_scopes=["user"],
        validate_token_resource=False,  # its in-memory provider does not say what a token is for
    ),
).streamable_http_app()
