"""Fetching a URL that a stranger named, without being sent anywhere else (CIMD §9.6, SSRF).

A name is resolved once, each of its addresses is judged, and the connection goes to the very
address that was judged, under the name in SNI and Host. No redirects, no proxies, no cookies, no
decompression; a few seconds and a few kilobytes.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from ipaddress import ip_address
from typing import Any
from weakref import WeakValueDictionary

import anyio.to_thread
import httpcore2

from auth.addresses import IPAddress, is_loopback_address, is_public_address
from auth.errors import TooManyRequests
from auth.limits import Limit
from auth.uris import LOOPBACK_HOSTS, InvalidUri, Uri, check_host, split_uri

TOTAL_SECONDS = 5.0
CONNECT_SECONDS = 2.0
MAX_ADDRESSES = 4
AT_ONCE = 32
AT_ONCE_PER_HOST = 3

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
IsPermitted = Callable[[IPAddress], bool]

_JSON = re.compile(r"application/(?:[\w.!#$&^-]+\+)?json[ \t]*(?:;.*)?", re.IGNORECASE | re.ASCII)
_WITHOUT_PORT = re.compile(r":[0-9]+$")
_PORTS = {"https": 443, "http": 80}
_OK = 200
_GONE = frozenset({404, 410})

logger = logging.getLogger("latchgate")


class DocumentError(Exception):
    """A document of a client that we cannot go by.

    `reason` may be shown to anybody; `detail` is for the log alone, since who could read it
    could use us to look around in our network (docs/threat-model.md, 60).
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason
        self.detail = detail


class DocumentUnreachable(DocumentError):
    """It could not be fetched: perhaps later."""


class DocumentGone(DocumentUnreachable):
    """Its host says that there is no such document (any more)."""


class DocumentInvalid(DocumentError):
    """It was fetched, or need not be, and is not one that we accept: the client must change it."""

    error = "invalid_client"


class DocumentMethodUnknown(DocumentInvalid):
    """The client wants to authenticate in no way that we know (CIMD §6)."""

    error = "unauthorized_client"


@contextmanager
def noting_failure(kind: str, url: str) -> Iterator[None]:
    """Tell the log, and nobody else, all that is known of why a document cannot be used."""
    try:
        yield
    except DocumentError as error:
        logger.info("%s %.256r cannot be used: %.512s", kind, url, error)
        raise


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back with status 200: the JSON text as bytes, and the caching headers."""

    content: bytes
    cache_control: str
    age: str
    expires: str
    date: str


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """The addresses of a host as the operating system knows them, in its order of preference."""
    # A look-up cannot be interrupted: its thread is left to itself when our time is over.
    answers = await anyio.to_thread.run_sync(
        partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM), abandon_on_cancel=True
    )
    return [str(sockaddr[0]) for *_, sockaddr in answers]


class SafeFetcher:
    """Fetches JSON from public https hosts that are not ours.

    `own_hosts`: our names (a port is ignored), never fetched from. `allow_loopback`: from this
    machine too, and over http, for development. `is_permitted` judges every address that a name
    resolves to. `limit`: how often each host is asked, and as often again for what is known.
    """

    def __init__(
        self,
        *,
        limit: Limit,
        own_hosts: Collection[str] = (),
        allow_loopback: bool = False,
        resolve: Resolve = resolve_by_system,
        is_permitted: IsPermitted = is_public_address,
        tls: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._limit = limit
        self._own_hosts = frozenset(_WITHOUT_PORT.sub("", host.lower()) for host in own_hosts)
        self._allow_loopback = allow_loopback
        self._resolve = resolve
        self._is_permitted = is_permitted
        self._given_tls = tls
        self._total_seconds = total_seconds
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._turns_by_host: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def fetch(self, url: str, max_bytes: int, *, is_known: bool = False) -> Fetched:
        """The JSON at this URL; raises DocumentUnreachable or DocumentInvalid.

        `is_known`: it was good before, and URLs that strangers make up use up none of its turns.
        """
        uri = self._read(url)
        limit = self._limit if is_known else self._limit.apart
        try:
            await limit.take(uri.host)
        except TooManyRequests as error:
            raise DocumentUnreachable("its host was asked too often") from error
        turns_of_host = self._turns_by_host.setdefault(
            uri.host, asyncio.Semaphore(AT_ONCE_PER_HOST)
        )
        try:
            async with AsyncExitStack() as turns:
                async with asyncio.timeout(self._total_seconds):
                    await turns.enter_async_context(turns_of_host)
                    await turns.enter_async_context(self._turns)
                # Who had to wait for slow hosts of others has the whole time for its own.
                async with asyncio.timeout(self._total_seconds):
                    return await self._fetch(uri, max_bytes)
        except TimeoutError as error:
            raise _unreachable("took too long") from error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading the system's certificates takes a while: not before somebody needs them.
        return self._given_tls or httpcore2.default_ssl_context()

    def _read(self, url: str) -> Uri:
        try:
            uri = split_uri(url)
            check_host(uri.host)
        except InvalidUri as invalid:
            raise DocumentInvalid(f"its URL {invalid}") from invalid
        if uri.scheme != "https" and not (uri.scheme == "http" and self._is_loopback(uri)):
            raise DocumentInvalid("its URL must use https")
        if uri.host in self._own_hosts:
            raise DocumentInvalid("its URL must not lead to this server")
        return uri

    def _is_loopback(self, uri: Uri) -> bool:
        return self._allow_loopback and uri.host in LOOPBACK_HOSTS

    async def _fetch(self, uri: Uri, max_bytes: int) -> Fetched:
        failure: Exception | None = None
        for address in await self._permitted_addresses(uri):
            try:
                return await self._get(uri, address, max_bytes)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            except (
                httpcore2.NetworkError,
                httpcore2.ProtocolError,
                httpcore2.TimeoutException,
                ssl.SSLError,
            ) as error:
                raise _unreachable(repr(error)) from error
        raise _unreachable(repr(failure)) from failure

    async def _permitted_addresses(self, uri: Uri) -> Sequence[str]:
        try:
            answers = await self._resolve(uri.host.strip("[]"), _port(uri))
        except OSError as error:
            raise _unreachable(f"resolving: {error}") from error
        is_permitted = is_loopback_address if self._is_loopback(uri) else self._is_permitted
        # One bad address among good ones is no accident: refuse them all (DNS rebinding).
        refused = [answer for answer in answers if not is_permitted(ip_address(answer))]
        if refused:
            raise _unreachable(f"resolves to {refused[0]}, which is not public")
        return list(dict.fromkeys(answers))[:MAX_ADDRESSES]

    async def _get(self, uri: Uri, address: str, max_bytes: int) -> Fetched:
        origin = httpcore2.Origin(uri.scheme.encode(), address.encode(), _port(uri))
        target = (uri.path or "/") + ("" if uri.query is None else f"?{uri.query}")
        url = httpcore2.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target)
        async with (
            AsyncExitStack() as opened,
            httpcore2.AsyncHTTPConnection(origin, ssl_context=self._tls) as connection,
            connection.stream(
                "GET",
                url,
                headers={
                    "Host": uri.host if uri.port is None else f"{uri.host}:{uri.port}",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": "Latchgate",
                    "Connection": "close",
                },
                extensions={
                    "sni_hostname": uri.host.strip("[]"),
                    "timeout": {"connect": CONNECT_SECONDS},
                    "trace": partial(_close_later, opened),
                },
            ) as response,
        ):
            headers = _read_headers(response)
            return Fetched(
                content=await _read_content(response, max_bytes),
                cache_control=headers.get("cache-control", ""),
                age=headers.get("age", ""),
                expires=headers.get("expires", ""),
                date=headers.get("date", ""),
            )


def _unreachable(detail: str) -> DocumentUnreachable:
    # One wording for whatever keeps us from an HTTP answer: no port scanner's oracle.
    return DocumentUnreachable("its host could not be reached", detail)


async def _close_later(opened: AsyncExitStack, event: str, info: Mapping[str, Any]) -> None:
    """Close a connection in any case: httpcore forgets it when its TLS handshake is cancelled."""
    if event == "connection.connect_tcp.complete":
        opened.push_async_callback(info["return_value"].aclose)


def _port(uri: Uri) -> int:
    return uri.port or _PORTS[uri.scheme]


def _read_headers(response: httpcore2.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if response.status != _OK:
        error = DocumentGone if response.status in _GONE else DocumentUnreachable
        raise error(f"its host answered with status {response.status}")
    if not _JSON.fullmatch(headers.get("content-type", "")):
        raise DocumentInvalid("it is not served as application/json")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise DocumentInvalid("it is compressed, which was not asked for")
    return headers


async def _read_content(response: httpcore2.Response, max_bytes: int) -> bytes:
    content = bytearray()
    async with aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            content += chunk
            if len(content) > max_bytes:
                raise DocumentInvalid(f"it is larger than {max_bytes} bytes")
    return bytes(content)
