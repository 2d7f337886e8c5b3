"""The official Python SDK 2.x: `python_sdk_2.py URL auto|legacy`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
from lines import Callback, Refused, Verbs, obey
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl


class Memory:
    """A `TokenStorage` for as long as the program runs."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@asynccontextmanager
async def connect(url: str, mode: str, provider: OAuthClientProvider) -> AsyncIterator[Verbs]:
    async with (
        httpx2.AsyncClient(auth=provider, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):

        async def call(tool: str, arguments: dict[str, Any]) -> Any:
            result = await client.call_tool(tool, arguments)
            if result.is_error:
                raise Refused(str(result.content))
            return result.structured_content

        yield {"call": call}


async def main(url: str, mode: str) -> None:
    callback = Callback()
    await callback.listen()

    async def arrived() -> AuthorizationCodeResult:
        response = await callback.response()
        return AuthorizationCodeResult(
            code=response["code"], state=response["state"], iss=response["iss"]
        )

    metadata = OAuthClientMetadata(
        client_name="Python SDK 2.x", redirect_uris=[AnyUrl(callback.redirect_uri)]
    )
    provider = OAuthClientProvider(
        url,
        metadata,
        Memory(),
        callback.open_browser,
        arrived,
        client_metadata_url=os.environ["CLIENT_METADATA_URL"] or None,
    )
    await obey(partial(connect, url, mode, provider))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
