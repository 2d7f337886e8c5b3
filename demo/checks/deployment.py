"""A deployment as the first look shows it: what the checks go on from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from demo.conversation import exchange, json_object
from demo.discovery import (
    authorization_server_metadata_urls,
    bearer_challenge,
    origin_of,
    protected_resource_metadata_urls,
    split_url,
)
from demo.first_request import HANDSHAKE, FirstRequest
from demo.narration import StepFailed, abridge
from origins import is_loopback_host

INSPECTOR = "http://localhost:6274"
"""The origin of the MCP Inspector's page: the browser client that everybody tries."""

USUAL_PATH = "/mcp"

HOST_REFUSED = (
    "the server, or what stands before it, refuses this Host or Origin: add the name to its "
    "allowed hosts, or set its public URL to the address that clients use"
)

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One MCP server, its challenge and its metadata as far as they could be found."""

    url: str
    http: httpx2.AsyncClient
    now: Callable[[], float]
    refusal: httpx2.Response
    challenge: Mapping[str, str] | None
    resource: Document | None
    issuer: str
    server: Document | None

    @property
    def origin(self) -> str:
        """Scheme, host and port of the MCP endpoint."""
        return split_url(self.url)[0]

    @property
    def path(self) -> str:
        """The path of the MCP endpoint."""
        return split_url(self.url)[1]

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback_host(self.origin.partition("://")[2])

    async def ask(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """One request, no redirect followed. Raises StepFailed when no answer comes."""
        return await exchange(self.http, method, url, **request)

    async def ask_for_mcp(
        self,
        url: str | None = None,
        first: FirstRequest = HANDSHAKE,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """The first request of an MCP client, without a token unless the headers have one."""
        return await self.ask(
            "POST", url or self.url, json=first.message, headers=first.headers | dict(headers or {})
        )

    def endpoint(self, name: str) -> str | None:
        """An endpoint that the authorization server's metadata names."""
        url = (self.server or {}).get(name)
        return url if isinstance(url, str) else None


async def find_endpoint(url: str, http: httpx2.AsyncClient) -> str:
    """The MCP endpoint that is meant by a URL without a path, or else the URL itself.

    The metadata at the origin names it; without metadata it is where most servers have it. Raises
    StepFailed if the metadata leads to another origin: whoever typed the URL did not mean that.
    """
    origin, path = split_url(url)
    if path.strip("/") or (await _greeted(http, url)).status_code == httpx2.codes.UNAUTHORIZED:
        return url
    if document := await _first_document(http, protected_resource_metadata_urls(origin)):
        resource = str(document.get("resource"))
        if origin_of(resource) != origin_of(url):
            raise StepFailed(
                f"{url} names {resource} as its resource, which is another origin",
                remedy="ask about the whole URL of the MCP endpoint, by the name it gives itself",
            )
        return resource
    answer = await _greeted(http, origin + USUAL_PATH)
    is_missing = answer.status_code in {httpx2.codes.NOT_FOUND, httpx2.codes.METHOD_NOT_ALLOWED}
    return url if is_missing else origin + USUAL_PATH


async def first_look(url: str, http: httpx2.AsyncClient, now: Callable[[], float]) -> Deployment:
    """Ask as a client would, once, and keep what came. Raises StepFailed if nobody answers."""
    refusal = await _greeted(http, url)
    challenge = bearer_challenge(refusal.headers.get_list("www-authenticate"))
    named = (challenge or {}).get("resource_metadata")
    resource = await _first_document(http, protected_resource_metadata_urls(url, named))
    servers = (resource or {}).get("authorization_servers")
    is_named = isinstance(servers, list) and bool(servers) and isinstance(servers[0], str)
    issuer = servers[0] if isinstance(servers, list) and is_named else split_url(url)[0]
    server = await _first_document(http, authorization_server_metadata_urls(issuer))
    return Deployment(url, http, now, refusal, challenge, resource, issuer, server)


async def _greeted(http: httpx2.AsyncClient, url: str) -> httpx2.Response:
    return await exchange(http, "POST", url, json=HANDSHAKE.message, headers=HANDSHAKE.headers)


async def _first_document(http: httpx2.AsyncClient, urls: list[str]) -> Document | None:
    for url in urls:
        try:
            response = await exchange(http, "GET", url)
        except StepFailed:
            continue
        if response.status_code == httpx2.codes.OK and (document := json_object(response)):
            return document
    return None


def seen(response: httpx2.Response) -> str:
    """An answer in a few words."""
    words = [f"{response.status_code} {response.reason_phrase}".rstrip()]
    if location := response.headers.get("location"):
        words.append(f"to {abridge(location)}")
    elif media_type := media_type_of(response):
        words.append(media_type)
    return ", ".join(words)


def remedy_for(response: httpx2.Response, otherwise: str) -> str:
    """What mends an answer that is not as it should be: whoever is refused by name is told so."""
    refused = {httpx2.codes.MISDIRECTED_REQUEST, httpx2.codes.FORBIDDEN}
    return HOST_REFUSED if response.status_code in refused else otherwise


def media_type_of(response: httpx2.Response) -> str:
    """The media type without its parameters."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(response: httpx2.Response) -> bool:
    """Whether it says it is JSON and holds a JSON object."""
    return media_type_of(response) == "application/json" and json_object(response) is not None


def empty_members(document: Document) -> list[str]:
    """Members that should have been left out (RFC 8414 §3.2, RFC 9728 §3.2)."""
    return [name for name, value in document.items() if value is None or value in ([], "", {})]
