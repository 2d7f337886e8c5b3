"""What processes share so that any of them can serve any request of one MCP server (2026-07-28).

The SDK takes it when a server is made; here it is given to a server that is there already.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.request_state import AESGCMRequestStateCodec, RequestStateBoundary
from mcp.server.subscriptions import InMemorySubscriptionBus

from valkey_urls import is_valkey


def share_request_state(mcp: MCPServer[Any], keys: Sequence[bytes]) -> None:
    """Seal `requestState` under these keys, newest first, not under one of this process alone.

    Lifetime, audience and principal stay as the server has them, and so does a codec of its own.
    """
    for middleware in mcp.middleware:
        if isinstance(middleware, RequestStateBoundary):
            security = middleware._security  # noqa: SLF001 - nothing else leads to it
            if type(security.codec) is AESGCMRequestStateCodec:
                security.codec = AESGCMRequestStateCodec([*dict.fromkeys(keys)])


@contextlib.asynccontextmanager
async def sharing_events(mcp: MCPServer[Any], store_url: str) -> AsyncGenerator[None]:
    """Let listeners on every replica hear this one's events, if the store is one of replicas.

    A server that brought a bus of its own keeps it.
    """
    local = mcp._subscriptions  # noqa: SLF001 - nothing else leads to it
    if not (is_valkey(store_url) and type(local) is InMemorySubscriptionBus):
        yield
        return
    from resource_server.shared_subscriptions import (  # noqa: PLC0415 - an extra, when needed
        SharedSubscriptionBus,
    )

    exchange = asyncio.create_task(SharedSubscriptionBus(store_url, local=local).run())
    try:
        yield
    finally:
        exchange.cancel()
        await asyncio.wait([exchange])
