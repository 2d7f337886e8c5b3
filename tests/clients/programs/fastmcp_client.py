"""FastMCP's client, which opens the browser itself: `fastmcp_client.py URL`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastmcp import Client
from fastmcp.client.auth import OAuth
from key_value.aio.stores.memory import MemoryStore
from lines import Verbs, obey


@asynccontextmanager
async def connect(url: str, auth: OAuth) -> AsyncIterator[Verbs]:
    async with Client(url, auth=auth) as client:

        async def call(tool: str, arguments: dict[str, Any]) -> Any:
            return (await client.call_tool(tool, arguments)).structured_content

        yield {"call": call}


def main(url: str) -> None:
    document = os.environ["CLIENT_METADATA_URL"] or None
    auth = OAuth(url, token_storage=MemoryStore(), client_metadata_url=document)
    asyncio.run(obey(partial(connect, url, auth)))


if __name__ == "__main__":
    main(sys.argv[1])
