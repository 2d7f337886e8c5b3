"""The cache of fetched documents: how long, how many, one fetch for all who ask at once."""

import asyncio

import pytest

from auth.document_cache import (
    DEFAULT_TTL,
    MAX_DOCUMENTS,
    MAX_TTL,
    MIN_TTL,
    DocumentCache,
    Freshness,
    freshness,
)
from auth.safe_fetch import (
    DocumentError,
    DocumentGone,
    DocumentInvalid,
    DocumentUnreachable,
    Fetched,
)

URL = "https://c.example/client.json"
NOW = 1_800_000_000
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
IN_TEN_MINUTES = "Fri, 15 Jan 2027 08:10:00 GMT"


class Origin:
    """Where documents come from: each is numbered, and some attempts fail."""

    def __init__(self, fresh: Freshness = Freshness(60, MAX_TTL)) -> None:  # noqa: B008 - frozen
        self.fresh = fresh
        self.failure: DocumentError | None = None
        self.served: list[str] = []
        self.asked = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def load(self, url: str) -> tuple[str, Freshness]:
        self.served.append(url)
        self.asked.set()
        await self.hold.wait()
        if self.failure:
            raise self.failure
        return f"document {len(self.served)}", self.fresh


@pytest.mark.parametrize(
    ("headers", "ttl", "stale_ttl"),
    [
        ({}, DEFAULT_TTL, MAX_TTL),
        ({"cache_control": "max-age=600"}, 600, MAX_TTL),
        ({"cache_control": "public, Max-Age=600"}, 600, MAX_TTL),
        ({"cache_control": 'max-age="600"'}, 600, MAX_TTL),
        ({"cache_control": "max-age=600, s-maxage=900"}, 900, MAX_TTL),
        ({"cache_control": "max-age=600", "age": "500"}, 100, MAX_TTL),
        ({"cache_control": "max-age=600", "age": "x"}, 600, MAX_TTL),
        ({"cache_control": "max-age=600", "age": "6000"}, MIN_TTL, MAX_TTL),
        ({"cache_control": "max-age=0"}, MIN_TTL, MAX_TTL),
        ({"cache_control": "max-age=1000000000"}, MAX_TTL, MAX_TTL),
        ({"cache_control": "max-age=-1"}, DEFAULT_TTL, MAX_TTL),
        ({"cache_control": "max-age=99999999999"}, DEFAULT_TTL, MAX_TTL),
        ({"cache_control": "max-age=600, must-revalidate"}, 600, 600),
        ({"cache_control": "no-store"}, MIN_TTL, MIN_TTL),
        ({"cache_control": "no-cache, max-age=600"}, MIN_TTL, MIN_TTL),
        ({"cache_control": "private, max-age=600"}, MIN_TTL, MIN_TTL),
        ({"expires": IN_TEN_MINUTES, "date": DATE}, 600, MAX_TTL),
        ({"expires": IN_TEN_MINUTES, "date": DATE, "cache_control": "max-age=90"}, 90, MAX_TTL),
        ({"expires": "0", "date": DATE}, MIN_TTL, MAX_TTL),
        ({"expires": IN_TEN_MINUTES}, MIN_TTL, MAX_TTL),
    ],
)
def test_a_document_is_kept_as_long_as_its_headers_say_within_our_bounds(
    headers: dict[str, str], ttl: int, stale_ttl: int
) -> None:
    nothing = {"cache_control": "", "age": "", "expires": "", "date": ""}

    assert freshness(Fetched(b"", **(nothing | headers))) == Freshness(ttl, stale_ttl)


async def test_a_document_is_fetched_anew_when_it_is_no_longer_fresh() -> None:
    origin = Origin()
    cache = DocumentCache(origin.load)

    assert await cache.find(URL, NOW) == "document 1"
    assert await cache.find(URL, NOW + 59) == "document 1"
    assert await cache.find(URL, NOW + 60) == "document 2"
    assert await cache.find(URL, NOW + 60) == "document 2"


async def test_who_wants_it_younger_gets_it_younger() -> None:
    origin = Origin()
    cache = DocumentCache(origin.load)

    assert await cache.find(URL, NOW) == "document 1"
    assert await cache.find(URL, NOW + 29, max_age=30) == "document 1"
    assert await cache.find(URL, NOW + 30, max_age=30) == "document 2"


async def test_of_many_who_ask_at_once_one_fetches_for_all() -> None:
    origin = Origin()
    cache = DocumentCache(origin.load)

    found = await asyncio.gather(*(cache.find(URL, NOW) for _ in range(100)))

    assert set(found) == {"document 1"}
    assert origin.served == [URL]


async def test_who_goes_away_takes_nothing_from_those_who_stay() -> None:
    origin = Origin()
    origin.hold.clear()
    cache = DocumentCache(origin.load)
    first, second = (asyncio.create_task(cache.find(URL, NOW)) for _ in range(2))
    await origin.asked.wait()
    first.cancel()
    origin.hold.set()

    assert await second == "document 1"
    assert first.cancelled()


@pytest.mark.parametrize("failure", [DocumentUnreachable("x"), DocumentInvalid("x")])
async def test_errors_are_not_remembered(failure: DocumentError) -> None:
    origin = Origin()
    cache = DocumentCache(origin.load)
    origin.failure = failure
    with pytest.raises(DocumentError):
        await cache.find(URL, NOW)
    origin.failure = None

    assert await cache.find(URL, NOW) == "document 2"


async def test_a_failed_fetch_fails_all_who_waited_for_it() -> None:
    origin = Origin()
    origin.failure = DocumentUnreachable("x")
    cache = DocumentCache(origin.load)

    found = await asyncio.gather(*(cache.find(URL, NOW) for _ in range(3)), return_exceptions=True)

    assert all(isinstance(error, DocumentUnreachable) for error in found)
    assert origin.served == [URL]


async def test_a_failure_that_nobody_waits_for_any_more_goes_unheard() -> None:
    origin = Origin()
    origin.failure = DocumentUnreachable("x")
    origin.hold.clear()
    cache = DocumentCache(origin.load)
    others = asyncio.all_tasks()
    asking = asyncio.create_task(cache.find(URL, NOW))
    await origin.asked.wait()
    fetching = asyncio.all_tasks() - others - {asking}
    asking.cancel()
    origin.hold.set()
    await asyncio.wait(fetching)  # a warning that nobody heard it would fail this test

    origin.failure = None
    assert await cache.find(URL, NOW) == "document 2"


async def test_an_interrupted_fetch_can_be_started_again() -> None:
    origin = Origin()
    origin.hold.clear()
    cache = DocumentCache(origin.load)
    others = asyncio.all_tasks()
    asking = asyncio.create_task(cache.find(URL, NOW))
    await origin.asked.wait()
    for task in asyncio.all_tasks() - others - {asking}:
        task.cancel()
    await asyncio.wait([asking])
    origin.hold.set()

    assert await cache.find(URL, NOW) == "document 2"


async def test_what_a_host_said_last_counts_for_a_day_while_it_is_out_of_reach() -> None:
    origin = Origin()
    cache = DocumentCache(origin.load)
    await cache.find(URL, NOW)
    origin.failure = DocumentUnreachable("x")

    assert await cache.find(URL, NOW + MAX_TTL - 1) == "document 1"
    with pytest.raises(DocumentUnreachable):
        await cache.find(URL, NOW + MAX_TTL)


async def test_a_host_may_forbid_that() -> None:
    origin = Origin(Freshness(60, 60))
    cache = DocumentCache(origin.load)
    await cache.find(URL, NOW)
    origin.failure = DocumentUnreachable("x")

    with pytest.raises(DocumentUnreachable):
        await cache.find(URL, NOW + 60)


@pytest.mark.parametrize("withdrawal", [DocumentGone("x"), DocumentInvalid("x")])
async def test_a_document_that_was_withdrawn_or_spoilt_is_not_used_any_more(
    withdrawal: DocumentError,
) -> None:
    origin = Origin()
    cache = DocumentCache(origin.load)
    await cache.find(URL, NOW)
    for failure in (withdrawal, DocumentUnreachable("x")):
        origin.failure = failure
        with pytest.raises(DocumentError):
            await cache.find(URL, NOW + 60)


async def test_the_documents_used_longest_ago_make_room() -> None:
    origin = Origin(Freshness(MAX_TTL, MAX_TTL))
    cache = DocumentCache(origin.load)
    urls = [f"https://c.example/{number}" for number in range(MAX_DOCUMENTS)]
    for url in urls:
        await cache.find(url, NOW)
    await cache.find(urls[0], NOW)
    await cache.find("https://c.example/new", NOW)
    served = len(origin.served)

    await cache.find(urls[0], NOW)
    assert len(origin.served) == served
    await cache.find(urls[1], NOW)
    assert len(origin.served) == served + 1
