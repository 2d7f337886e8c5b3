"""Test your own tools behind the gate, in this process: no browser, no port, no waiting.

from latchgate_testing import gated
from my_tools import mcp

async def test_saving_needs_its_scope():
    async with gated(mcp) as gate:
        async with gate.as_user("alice", scopes=["user", "files:write"]) as client:
            assert not (await client.call_tool("save", {"path": "a", "text": "b"})).is_error
        async with gate.as_user("bob") as client:
            with pytest.raises(MCPError):  # 403 insufficient_scope
                await client.call_tool("save", {"path": "a", "text": "b"})

docs/your-tools.md has the whole file, and the command that runs it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from pydantic_settings import PydanticBaseSettingsSource as Source
from starlette.applications import Starlette

from auth.accounts import new_account
from auth.credentials import digest, new_secret
from auth.models import AccessToken, Grant
from auth.store import Store
from auth.store.memory import MemoryStore
from auth.tokens import ACCESS_TOKEN_PREFIX
from combined_app import create_app
from settings import Settings

ORIGIN = "http://127.0.0.1:8000"


class Clock:
    """A clock that stands still until it is told to move; seconds since the epoch."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self._now = now

    def __call__(self) -> int:
        """The time."""
        return self._now

    def advance(self, seconds: int) -> None:
        """Let time pass; negative seconds set the clock back."""
        self._now += seconds


class GivenSettings(Settings):
    """Settings that are what they were given: no environment and no file is read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        """What was given is the only source."""
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Gate:
    """A running Latchgate, and people who have signed in to it and consented already."""

    app: Starlette
    store: Store
    clock: Clock

    async def mint_token(
        self, username: str, scopes: Sequence[str] = ("user",), ttl: int = 3600
    ) -> str:
        """An access token of this person, who is made if there is no such; `ttl` in seconds."""
        account = await self.store.find_account_by_username(username)
        if account is None:
            account = new_account(username, "no password", self.clock())
            await self.store.add_account(account)
        token, now = new_secret(ACCESS_TOKEN_PREFIX), self.clock()
        await self.store.record_sign_in(account.subject, now)
        grant = Grant(
            grant_id=new_secret("grant_"),
            subject=account.subject,
            client_id="test client",
            client_name="Test client",
            redirect_uri=f"{ORIGIN}/callback",
            resource=f"{ORIGIN}/mcp",
            scopes=tuple(scopes),
            created_at=now,
            expires_at=now + ttl,
            ends_at=now + ttl,
            generation=1,
        )
        issued = AccessToken(digest(token), grant.grant_id, grant.scopes, now, now + ttl)
        await self.store.add_grant(grant, issued)
        return token

    @asynccontextmanager
    async def as_user(
        self, username: str, scopes: Sequence[str] = ("user",), **options: Any
    ) -> AsyncIterator[Client]:
        """The SDK's client, connected as this person; `options` are `mcp.Client`'s."""
        token = await self.mint_token(username, scopes)
        async with self.http(Authorization=f"Bearer {token}") as http:
            transport = streamable_http_client(f"{ORIGIN}/mcp", http_client=http)
            async with Client(transport, **options) as client:
                yield client

    def http(self, **headers: str) -> httpx2.AsyncClient:
        """A plain HTTP client of the application; follows no redirects, keeps cookies."""
        transport = httpx2.ASGITransport(app=self.app)
        return httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)


@asynccontextmanager
async def gated(mcp: MCPServer[Any] | None = None, **settings: Any) -> AsyncIterator[Gate]:
    """Your MCP server (or the shipped one) behind the gate; `settings` as in `settings/model.py`.

    Nothing is read from the environment, and nothing is written to disk.
    """
    defaults: dict[str, Any] = {
        "secret_keys": (SecretStr("a key for tests, of thirty-two characters"),),
        "admin_password": SecretStr("a password for tests"),
        "password_memory_kib": 8,
        "password_iterations": 1,
    }
    store, clock = MemoryStore(), Clock()
    app = create_app(GivenSettings(**(defaults | settings)), store, clock, mcp)
    async with app.router.lifespan_context(app):
        yield Gate(app, store, clock)
