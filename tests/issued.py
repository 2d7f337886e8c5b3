"""Every secret that a server gave to a test, and whether one of them was logged."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit
from weakref import WeakKeyDictionary

import httpx2
from starlette.applications import Starlette

_MEMBERS = ("access_token", "refresh_token", "client_secret")
_BY_APP: WeakKeyDictionary[Starlette, set[str]] = WeakKeyDictionary()


class Issued:
    """Notes what a server gives away, from its answers."""

    def __init__(self, app: Starlette) -> None:
        self._secrets = _BY_APP.setdefault(app, set())

    async def note(self, response: httpx2.Response) -> None:
        """Tokens and secrets in JSON, codes in redirects, and cookies."""
        if location := response.headers.get("location"):
            self._secrets.update(parse_qs(urlsplit(location).query).get("code", ()))
        for cookie in response.headers.get_list("set-cookie"):
            value = cookie.partition("=")[2].partition(";")[0].strip('"')
            self._secrets.update({value} if value else ())
        if response.url.path in {"/oauth/token", "/oauth/register"}:
            await response.aread()
            if response.status_code in {200, 201}:
                members = response.json()
                self._secrets.update(members[name] for name in _MEMBERS if name in members)

    def found_in(self, text: str) -> list[str]:
        """Those that stand in a text."""
        return [secret for secret in self._secrets if secret in text]


class _Lines(logging.Handler):
    """What is logged, with what went wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        failure = record.exc_info[1] if record.exc_info else None
        self.lines.append(f"{record.getMessage()} {failure!r}")


@asynccontextmanager
async def kept_out_of_the_log(app: Starlette, *more: str) -> AsyncIterator[None]:
    """At the end nothing that the server gave is in its log, of any level; nor is `more`."""
    lines, logger = _Lines(), logging.getLogger("latchgate")
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
    logged = "\n".join(lines.lines)
    assert Issued(app).found_in(logged) == []
    assert [secret for secret in more if secret in logged] == []
