"""What replicas share of one MCP server: any of them serves any request of 2026-07-28."""

import json
from asyncio import timeout
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.request_state import AESGCMRequestStateCodec, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus
from mcp_types import InputRequiredResult
from pydantic import SecretStr
from valkey import Valkey

from auth.store.valkey import ValkeyStore
from resource_server.sharing import share_request_state, sharing_events
from tests.asgi_stream import StreamingTransport
from tests.clock import Clock
from tests.kit import ISSUER, KEY, World, new_settings, serving
from tests.resource_server_kit import modern, modern_headers, result, wire

pytestmark = pytest.mark.slow

NOTE = "note://shared"
NEW_KEY = "another key of the tests, of at least thirty-two characters"


def create_notes() -> MCPServer[Any]:
    """An existing server, made without a thought of replicas."""
    mcp: MCPServer[Any] = MCPServer("Notes")

    @mcp.tool()
    async def touch(ctx: Context[Any, Any]) -> str:
        """Say that the note has changed."""
        await ctx.notify_resource_updated(NOTE)
        return "touched"

    @mcp.tool()
    async def count(ctx: Context[Any, Any]) -> str | InputRequiredResult:
        """Count the rounds."""
        if ctx.request_state is None:
            return InputRequiredResult(request_state="one round")
        return f"after {ctx.request_state}"

    return mcp


class Replica(World):
    """One of several applications that share a store."""

    async def ask(self, token: str, method: str, **params: Any) -> httpx2.Response:
        """One request of 2026-07-28."""
        headers = wire(token, modern_headers(method, params.get("name")))
        return await self.http.post("/mcp", json=modern(method, **params), headers=headers)

    @asynccontextmanager
    async def listening(
        self, token: str, **notifications: Any
    ) -> AsyncIterator[AsyncIterator[Any]]:
        """The messages of an open `subscriptions/listen`, which has been acknowledged."""
        method = "subscriptions/listen"
        async with (
            httpx2.AsyncClient(transport=StreamingTransport(self.app), base_url=ISSUER) as http,
            http.stream(
                "POST",
                "/mcp",
                json=modern(method, notifications=notifications),
                headers=wire(token, modern_headers(method)),
            ) as answer,
        ):
            assert answer.status_code == 200
            messages = _messages(answer)
            acknowledged = await anext(messages)
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            yield messages


async def _messages(answer: httpx2.Response) -> AsyncIterator[Any]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


@asynccontextmanager
async def replicas(
    clock: Clock, url: str, *rings: Sequence[str]
) -> AsyncIterator[Sequence[Replica]]:
    """Applications over one Valkey, each with its key ring."""
    with Valkey.from_url(url) as client:
        client.flushdb()
    async with AsyncExitStack() as stack:
        worlds = [
            await stack.enter_async_context(
                serving(
                    clock,
                    new_settings(
                        store_url=url,
                        mcp_server="tests.test_sharing:create_notes",
                        secret_keys=tuple(map(SecretStr, ring)),
                    ),
                    ValkeyStore(url),
                )
            )
            for ring in rings
        ]
        yield [Replica(**vars(world)) for world in worlds]


@pytest.fixture
async def two(clock: Clock, valkey_url: str) -> AsyncIterator[Sequence[Replica]]:
    """Two replicas with the same keys."""
    async with replicas(clock, valkey_url, (KEY,), (KEY,)) as both:
        yield both


async def test_a_subscription_on_one_replica_hears_what_happens_on_the_other(
    two: Sequence[Replica],
) -> None:
    here, there = two
    token = (await here.tokens(await here.register()))["access_token"]
    async with there.listening(token, resourceSubscriptions=[NOTE]) as messages, timeout(5):
        assert result(await here.ask(token, "tools/call", name="touch", arguments={}))
        message = await anext(messages)
    assert (message["method"], message["params"]["uri"]) == (
        "notifications/resources/updated",
        NOTE,
    )


async def test_request_state_of_one_replica_is_good_on_the_other(two: Sequence[Replica]) -> None:
    here, there = two
    token = (await here.tokens(await here.register()))["access_token"]
    call = {"name": "count", "arguments": {}}
    asked = result(await here.ask(token, "tools/call", **call))
    assert asked["resultType"] == "input_required"
    assert "one round" not in asked["requestState"]
    again = await there.ask(token, "tools/call", **call, requestState=asked["requestState"])
    assert result(again)["content"][0]["text"] == "after one round"


async def test_request_state_outlives_a_change_of_keys(clock: Clock, valkey_url: str) -> None:
    rings = ((KEY,), (NEW_KEY, KEY), (NEW_KEY,))
    async with replicas(clock, valkey_url, *rings) as (old, both, new):
        token = (await old.tokens(await old.register()))["access_token"]
        call = {"name": "count", "arguments": {}}
        state = result(await old.ask(token, "tools/call", **call))["requestState"]
        assert result(await both.ask(token, "tools/call", **call, requestState=state))["content"]
        refused = await new.ask(token, "tools/call", **call, requestState=state)
        assert "requestState" in refused.json()["error"]["message"]


async def test_a_revocation_on_one_replica_is_a_401_on_the_other(two: Sequence[Replica]) -> None:
    here, there = two
    client = await here.register()
    tokens = await here.tokens(client)
    assert await there.calls(tokens["access_token"]) == 200
    form = {"token": tokens["refresh_token"], "client_id": client["client_id"]}
    assert (await here.http.post("/oauth/revoke", data=form)).status_code == 200
    assert await there.calls(tokens["access_token"]) == 401


async def test_what_a_server_brought_itself_stays(valkey_url: str) -> None:
    class Bus(InMemorySubscriptionBus):
        """A bus that leads elsewhere."""

        subscribed = 0

        def subscribe(self, listener: Any) -> Any:
            self.subscribed += 1
            return super().subscribe(listener)

    class Codec:
        """A codec with its keys elsewhere."""

        def seal(self, payload: bytes) -> str:
            return payload.hex()

        def unseal(self, token: str) -> bytes:
            return bytes.fromhex(token)

    codec = Codec()
    bus, security = Bus(), RequestStateSecurity(codec=codec)
    mcp: MCPServer[Any] = MCPServer("Own", subscriptions=bus, request_state_security=security)
    share_request_state(mcp, [KEY.encode()])
    async with sharing_events(mcp, valkey_url):
        assert bus.subscribed == 0
    assert security.codec is codec


def test_a_key_that_is_listed_twice_counts_once() -> None:
    security = RequestStateSecurity.ephemeral()
    mcp: MCPServer[Any] = MCPServer("Notes", request_state_security=security)
    share_request_state(mcp, [KEY.encode(), KEY.encode(), NEW_KEY.encode()])
    sealed = security.codec.seal(b"state")
    assert AESGCMRequestStateCodec([KEY.encode()]).unseal(sealed) == b"state"
