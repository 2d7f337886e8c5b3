"""mcp-remote, behind a client that knows local servers only: `mcp_remote.py NODE PROXY URL`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from lines import Refused, Verbs, obey
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client


@asynccontextmanager
async def connect(node: str, proxy: str, url: str) -> AsyncIterator[Verbs]:
    document = os.environ["CLIENT_METADATA_URL"]
    arguments = [proxy, url, *(["--client-metadata-url", document] if document else [])]
    server = StdioServerParameters(command=node, args=arguments, env=dict(os.environ))
    async with Client(stdio_client(server), mode="legacy") as client:

        async def call(tool: str, arguments: dict[str, Any]) -> Any:
            result = await client.call_tool(tool, arguments)
            if result.is_error:
                raise Refused(str(result.content))
            return result.structured_content

        yield {"call": call}


if __name__ == "__main__":
    asyncio.run(obey(partial(connect, *sys.argv[1:])))
