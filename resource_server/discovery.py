"""Where an authorization server's endpoints and keys are (RFC 8414 §3, OpenID Discovery §4)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import httpx2

from origins import is_loopback_host

CONNECT_TIMEOUT = 2
TIMEOUT = 5
MAX_DOCUMENT = 256 * 1024
MAX_NAMED = 256
METADATA_TTL = 600
RETRY_AFTER = 5
"""Seconds for which a failure is repeated instead of tried again: no stampede on a server that
is just coming up."""

logger = logging.getLogger("latchgate.discovery")


class Unreachable(Exception):
    """A document could not be had, or is not what it has to be."""


def new_http_client(transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
    """The one HTTP client of a verifier: kept connections, no redirects, no proxy from outside."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
        limits=httpx2.Limits(max_connections=100, max_keepalive_connections=20),
        follow_redirects=False,
        trust_env=False,
        transport=transport,
    )


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where to ask, in MCP's order: RFC 8414, then OpenID with the path behind and before it."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    inserted = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    )
    return (*inserted, f"{origin}{path}/.well-known/openid-configuration") if path else inserted


def is_safe_url(url: object) -> TypeGuard[str]:
    """Whether a URL may be sent tokens or asked for keys: https, or http on this machine."""
    parts = urlsplit(url if isinstance(url, str) else "")
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(parts.netloc))


async def fetch_json(http: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    """GET a JSON object; Unreachable says why there is none."""
    try:
        answer = await http.get(url, headers={"Accept": "application/json"})
        if answer.status_code != httpx2.codes.OK:
            raise Unreachable(f"{url} answered {answer.status_code}")
        document = answer.json() if len(answer.content) <= MAX_DOCUMENT else None
    except (httpx2.HTTPError, ValueError, RecursionError) as error:
        raise Unreachable(f"{url}: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise Unreachable(f"{url} did not answer with a JSON object of a sensible size")
    return document


async def fetch_metadata(http: httpx2.AsyncClient, issuer: str) -> dict[str, Any]:
    """An authorization server's metadata, its issuer checked character by character (§3.3)."""
    problems = []
    for url in metadata_urls(issuer):
        try:
            document = await fetch_json(http, url)
        except Unreachable as error:
            problems.append(str(error))
            continue
        named = document.get("issuer")
        if named == issuer:
            return document
        problems.append(
            f"{url} names the issuer {str(named)[:MAX_NAMED]}, and not {issuer}: if that is the "
            "server that is meant, write LATCHGATE_AUTHORIZATION_SERVER exactly so"
        )
    raise Unreachable("; ".join(problems))


class Remembered:
    """A document fetched when it is first needed: by one caller at a time, again after `ttl`.

    After a failure nobody asks again for RETRY_AFTER seconds; what was known before stays in use.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[dict[str, Any]]],
        clock: Callable[[], float],
        ttl: float = METADATA_TTL,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._ttl = ttl
        self._lock = asyncio.Lock()
        self._document: dict[str, Any] | None = None
        self._fetched_at = self._failed_at = float("-inf")
        self._failure = ""

    async def get(self, newer_than: float = float("-inf")) -> dict[str, Any]:
        """The document, fetched after `newer_than`; Unreachable if there is none to be had."""
        # What is fresh waits for nobody who wants it fresher.
        if self._document is not None and self._is_fresh(newer_than):
            return self._document
        async with self._lock:
            now = self._clock()
            if not self._is_fresh(newer_than) and now - self._failed_at >= RETRY_AFTER:
                await self._refresh(now)
            if self._document is None:
                raise Unreachable(self._failure)
            return self._document

    def _is_fresh(self, newer_than: float) -> bool:
        return self._clock() - self._fetched_at < self._ttl and self._fetched_at > newer_than

    async def _refresh(self, now: float) -> None:
        try:
            self._document = await self._fetch()
        except Unreachable as error:
            logger.warning("%s", error)
            self._failed_at, self._failure = now, str(error)
        else:
            self._fetched_at = now
