"""Authlib: `authlib_client.py URL`. Confidential, with client_secret_basic."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from lines import Callback, Refused, Verbs, obey

PROTOCOL = "2026-07-28"
SCOPE = "user"
META = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Application:
    """What an application does around the library: register, authorize, ask for more."""

    def __init__(self, url: str, callback: Callback) -> None:
        self._url = url
        self._callback = callback
        self._metadata = AuthorizationServerMetadata()
        self._client: AsyncOAuth2Client | None = None

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        client = self._client = self._client or await self._register()
        if not client.token:
            await self._authorize(client, SCOPE)
        try:
            response = await self._post(client, tool, arguments)
        except OAuthError as error:  # its own refresh was refused
            if error.error != "invalid_grant":
                raise
            await self._authorize(client, SCOPE)
            response = await self._post(client, tool, arguments)
        if response.status_code in {401, 403}:
            await self._authorize(client, scope_of(response))
            response = await self._post(client, tool, arguments)
        result = response.raise_for_status().json()["result"]
        if result.get("isError"):
            raise Refused(str(result["content"]))
        return result["structuredContent"]

    async def introspect(self) -> Any:
        assert self._client
        token = self._client.token["access_token"]
        endpoint = self._metadata["introspection_endpoint"]
        return (await self._client.introspect_token(endpoint, token=token)).json()

    async def revoke(self) -> None:
        assert self._client
        token = self._client.token["refresh_token"]
        endpoint = self._metadata["revocation_endpoint"]
        (await self._client.revoke_token(endpoint, token=token)).raise_for_status()

    async def _register(self) -> AsyncOAuth2Client:
        async with httpx.AsyncClient() as http:
            document = await http.get(
                httpx.URL(self._url).join("/.well-known/oauth-protected-resource")
            )
            (issuer,) = document.json()["authorization_servers"]
            found = await http.get(get_well_known_url(issuer, external=True))
            self._metadata = AuthorizationServerMetadata(found.json())
            registered = await http.post(
                self._metadata["registration_endpoint"],
                json={
                    "client_name": "Authlib",
                    "redirect_uris": [self._callback.redirect_uri],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "token_endpoint_auth_method": "client_secret_basic",
                },
            )
        client = registered.raise_for_status().json()
        return AsyncOAuth2Client(
            client["client_id"],
            client["client_secret"],
            redirect_uri=self._callback.redirect_uri,
            code_challenge_method="S256",
            token_endpoint=self._metadata["token_endpoint"],
            leeway=0,
        )

    async def _authorize(self, client: AsyncOAuth2Client, scope: str) -> None:
        verifier = uuid.uuid4().hex + uuid.uuid4().hex
        url, state = client.create_authorization_url(
            self._metadata["authorization_endpoint"],
            code_verifier=verifier,
            scope=scope,
            resource=self._url,
        )
        await self._callback.open_browser(url)
        response = await self._callback.response()
        if response.get("iss") != self._metadata["issuer"] or response.get("state") != state:
            raise Refused("this response is not for us")
        client.token = await client.fetch_token(
            code=response["code"], code_verifier=verifier, resource=self._url
        )

    async def _post(
        self, client: AsyncOAuth2Client, tool: str, arguments: dict[str, Any]
    ) -> httpx.Response:
        params = {"name": tool, "arguments": arguments, "_meta": META}
        return await client.post(
            self._url,
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
            headers={
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": PROTOCOL,
                "Mcp-Method": "tools/call",
                "Mcp-Name": tool,
            },
        )


def scope_of(response: httpx.Response) -> str:
    """The scope that a challenge asks for (RFC 6750 §3)."""
    return response.headers["www-authenticate"].split('scope="')[1].split('"')[0]


@asynccontextmanager
async def connect(application: Application) -> AsyncIterator[Verbs]:
    yield {verb: getattr(application, verb) for verb in ("call", "introspect", "revoke")}


async def main(url: str) -> None:
    callback = Callback()
    await callback.listen()
    await obey(partial(connect, Application(url, callback)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
