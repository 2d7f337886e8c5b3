"""A bounded cache of fetched documents that minds HTTP's headers (RFC 9111, CIMD §5.2)."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

from auth.safe_fetch import DocumentGone, DocumentInvalid, DocumentUnreachable, Fetched

MIN_TTL = 30
DEFAULT_TTL = 60 * 60
MAX_TTL = 24 * 60 * 60
MAX_DOCUMENTS = 1_000

T = TypeVar("T")

_SECONDS = re.compile(r"[0-9]{1,10}")
_NOT_STORED = frozenset({"no-store", "no-cache", "private"})
_NOT_STALE = _NOT_STORED | {"must-revalidate", "proxy-revalidate"}


@dataclass(frozen=True, slots=True)
class Freshness:
    """For how many seconds a document is fresh, and usable at most when it cannot be had anew."""

    ttl: int
    stale_ttl: int


def freshness(fetched: Fetched) -> Freshness:
    """How long to keep a document, by its headers (RFC 9111 §4.2) within our own bounds.

    The lower bound holds even against `no-store`: the steps of one authorization see one document.
    """
    directives = _read_directives(fetched.cache_control)
    if not directives.keys().isdisjoint(_NOT_STORED):
        return Freshness(MIN_TTL, MIN_TTL)
    lifetime = _seconds(directives.get("s-maxage") or directives.get("max-age"))
    if lifetime is None:
        lifetime = _lifetime_by_dates(fetched)
    age = _seconds(fetched.age) or 0
    ttl = max(MIN_TTL, min(lifetime - age, MAX_TTL))
    return Freshness(ttl, MAX_TTL if directives.keys().isdisjoint(_NOT_STALE) else ttl)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    document: T
    fetched_at: float
    freshness: Freshness


class DocumentCache(Generic[T]):
    """The documents read last, by URL. Of those who want one at once only one fetches it.

    Errors are not cached (CIMD §5.2); while a host is out of reach, what it said last is used for a
    day at most, unless it forbade that (RFC 9111 §4.2.4).
    """

    def __init__(self, load: Callable[[str], Awaitable[tuple[T, Freshness]]]) -> None:
        self._load = load
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[_Entry[T]]] = {}

    def __contains__(self, url: str) -> bool:
        return url in self._entries or url in self._loading

    def has_read(self, url: str) -> bool:
        """Whether this document was good when it was last read."""
        return url in self._entries

    async def find(self, url: str, now: float, max_age: float = MAX_TTL) -> T:
        """The document, not older than `max_age` seconds if its host can be reached.

        Raises DocumentUnreachable or DocumentInvalid.
        """
        entry = self._entries.get(url)
        if entry and now < entry.fetched_at + min(entry.freshness.ttl, max_age):
            self._entries.move_to_end(url)
            return entry.document
        try:
            # Shielded: who goes away must not take the document from those who stay.
            return (await asyncio.shield(self._start(url, now))).document
        except DocumentUnreachable:
            entry = self._entries.get(url)
            if entry and now < entry.fetched_at + entry.freshness.stale_ttl:
                return entry.document
            raise

    def _start(self, url: str, now: float) -> asyncio.Task[_Entry[T]]:
        task = self._loading.get(url)
        if task is None:
            task = asyncio.create_task(self._renew(url, now))
            self._loading[url] = task
            task.add_done_callback(lambda done: self._finish(url, done))
        return task

    async def _renew(self, url: str, now: float) -> _Entry[T]:
        try:
            document, fresh = await self._load(url)
        except (DocumentGone, DocumentInvalid):
            self._entries.pop(url, None)
            raise
        entry = self._entries[url] = _Entry(document, now, fresh)
        self._entries.move_to_end(url)
        if len(self._entries) > MAX_DOCUMENTS:
            self._entries.popitem(last=False)
        return entry

    def _finish(self, url: str, task: asyncio.Task[_Entry[T]]) -> None:
        del self._loading[url]
        if not task.cancelled():
            task.exception()  # heard, even if all who asked have gone away


def _read_directives(cache_control: str) -> dict[str, str]:
    directives = {}
    for directive in cache_control.lower().split(","):
        name, _, value = directive.partition("=")
        directives[name.strip()] = value.strip().strip('"')
    return directives


def _seconds(text: str | None) -> int | None:
    return int(text) if text and _SECONDS.fullmatch(text) else None


def _lifetime_by_dates(fetched: Fetched) -> int:
    if not fetched.expires:
        return DEFAULT_TTL
    try:
        expires = parsedate_to_datetime(fetched.expires).timestamp()
        return int(expires - parsedate_to_datetime(fetched.date).timestamp())
    except (ValueError, OverflowError):
        return 0  # such as `Expires: 0`: stale already (RFC 9111 §5.3)
