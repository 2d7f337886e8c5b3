"""What tests of the resource server share: tokens that a dictionary knows, a gate, its clients."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.types import ASGIApp

from cors import CrossOrigin
from host_guard import HostGuard
from origins import Origins
from resource_server.people import Activity, Profile, ProfileUnchanged
from resource_server.protected_resource import PATHS, ProtectedResource
from resource_server.refusals import Refusals
from resource_server.server import create_mcp_server
from resource_server.stream_limits import StreamLimits
from resource_server.verifiers import VerifierUnavailable
from telemetry.metrics import Metrics
from tests.asgi_stream import StreamingTransport
from tests.clock import Clock

ISSUER = "http://127.0.0.1:8000"
RESOURCE = f"{ISSUER}/mcp"
METADATA = f"{ISSUER}/.well-known/oauth-protected-resource/mcp"
GOOD, WRITING = "mcp_at_good", "mcp_at_writing"
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
ERAS = {MODERN: MODERN, HANDSHAKE: "legacy"}
ACCEPT = "application/json, text/event-stream"
EXPIRES_IN = 3600


def new_token(token: str = GOOD, **changes: Any) -> AccessToken:
    """Alice's token for this resource with the scope `user`, but for the changes."""
    values: dict[str, Any] = {
        "token": token,
        "client_id": "client_1",
        "scopes": ["user"],
        "resource": RESOURCE,
        "subject": "person_1",
        "expires_at": Clock()() + EXPIRES_IN,
        "claims": {"iss": ISSUER},
    }
    return AccessToken(**(values | changes))


@dataclass
class Tokens:
    """The tokens that are good; calling it verifies one."""

    clock: Clock
    by_value: dict[str, AccessToken] = field(default_factory=dict)
    failure: Exception | None = None
    asked: int = 0
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, token: str) -> AccessToken | None:
        self.asked += 1
        if self.failure is not None:
            self.failed.set()
            raise self.failure
        found = self.by_value.get(token)
        return found if found and (found.expires_at or 0) > self.clock() else None

    def add(self, token: str = GOOD, **changes: Any) -> AccessToken:
        """One more good token."""
        self.by_value[token] = new_token(token, **changes)
        return self.by_value[token]

    def revoke(self, token: str = GOOD) -> None:
        """One good token less."""
        del self.by_value[token]

    def break_down(self) -> None:
        """From now on nobody can say which tokens are good."""
        self.failure = VerifierUnavailable("the store is away", retry_after=7)


@dataclass
class Records:
    """People on record: Alice and Bob."""

    people: dict[str, Profile] = field(
        default_factory=lambda: {
            "person_1": Profile(
                "person_1", "alice", "Alice", "a@example.com", ("admin", "user"), 60
            ),
            "person_2": Profile("person_2", "bob", "Bob", "b@example.com", ()),
        }
    )

    async def find_profile(self, subject: str) -> Profile | None:
        return self.people.get(subject)

    async def find_activity(self, subject: str) -> Activity:
        return Activity(3, 120) if subject == "person_1" else Activity()

    async def update_profile(self, subject: str, name: str | None, email: str | None) -> Profile:
        old = self.people[subject]
        if email and "@" not in email:
            raise ProfileUnchanged("That is no e-mail address.")
        self.people[subject] = Profile(
            subject, old.username, name or old.name, email or old.email, old.roles
        )
        return self.people[subject]


@dataclass
class Gate:
    """A running protected resource."""

    app: ASGIApp
    resource: ProtectedResource
    tokens: Tokens
    http: httpx2.AsyncClient

    async def post(self, message: Any, token: str | None = GOOD, **headers: str) -> httpx2.Response:
        """POST a JSON-RPC message; an underscore in a header's name stands for a hyphen."""
        return await self.http.post("/mcp", json=message, headers=wire(token, headers))

    async def ask(self, method: str, token: str | None = GOOD, **params: Any) -> httpx2.Response:
        """One request of 2026-07-28."""
        name = params.get("name", params.get("uri"))
        return await self.post(modern(method, **params), token, **modern_headers(method, name))

    async def open_session(self, token: str = GOOD) -> dict[str, str]:
        """A session of a handshake version; what its requests carry."""
        answer = await self.post(INITIALIZE, token)
        assert answer.status_code == 200, answer.text
        carried = {
            "Mcp-Session-Id": answer.headers["mcp-session-id"],
            "MCP-Protocol-Version": HANDSHAKE,
        }
        await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, token, **carried)
        return carried

    @asynccontextmanager
    async def client(self, era: str, token: str = GOOD, **options: Any) -> AsyncIterator[Client]:
        """The SDK's client, which speaks this protocol version."""
        async with httpx2.AsyncClient(
            transport=StreamingTransport(self.app), headers=wire(token, {})
        ) as http:
            transport = streamable_http_client(RESOURCE, http_client=http)
            async with Client(transport, mode=ERAS[era], **options) as client:
                yield client


def wire(token: str | None, headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request with this token."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    return {"Accept": ACCEPT} | bearer | given


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def rpc(method: str, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def modern(method: str, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request of 2026-07-28."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        **params.pop("_meta", {}),
    }
    return rpc(method, **params, _meta=meta)


def modern_headers(method: str, name: str | None = None) -> dict[str, str]:
    """The headers that a request of 2026-07-28 carries."""
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    if name is not None:
        is_plain = name.isascii() and name.isprintable()
        encoded = base64.b64encode(name.encode()).decode()
        headers["Mcp-Name"] = name if is_plain else f"=?base64?{encoded}?="
    return headers


def events(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The JSON-RPC messages in an answer, whether it is JSON or a stream."""
    if answer.headers["content-type"].startswith("application/json"):
        return [answer.json()]
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def result(answer: httpx2.Response) -> dict[str, Any]:
    """The result that an answer ends with."""
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = events(answer)[-1]["result"]
    return found


@asynccontextmanager
async def serving(
    clock: Clock, mcp: MCPServer[Any] | None = None, origins: Origins | None = None, **options: Any
) -> AsyncIterator[Gate]:
    """A protected resource with one good token of Alice's, inside its lifespan."""
    tokens = Tokens(clock)
    tokens.add(GOOD)
    tokens.add(WRITING, scopes=["user", "user:write"])
    chosen = origins or Origins(())
    given: dict[str, Any] = {
        "note_use": lambda _token: None,
        "metrics": Metrics(),
        "clock": clock,
        "refusals": Refusals(clock),
        "streams": StreamLimits(32, 1000),
    }
    resource = ProtectedResource(
        mcp or create_mcp_server(Records()), tokens, chosen, ("user",), **(given | options)
    )
    app = CrossOrigin(HostGuard(Starlette(routes=[*resource.routes]), chosen), PATHS)
    async with (
        resource.run(),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ISSUER) as http,
    ):
        yield Gate(app, resource, tokens, http)


def asgi_scope(method: str = "POST", **headers: str) -> dict[str, Any]:
    """An ASGI scope for `/mcp`."""
    named = {"Host": "127.0.0.1:8000"} | headers
    return {
        "type": "http",
        "method": method,
        "path": "/mcp",
        "raw_path": b"/mcp",
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(n.lower().replace("_", "-").encode(), v.encode()) for n, v in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
