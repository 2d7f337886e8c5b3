"""Fetching what strangers name: from a real host over TLS, and from nowhere else."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from ipaddress import ip_address

import pytest

from auth.limit_storage import BoundedMemory
from auth.limits import Limit
from auth.safe_fetch import (
    AT_ONCE_PER_HOST,
    DocumentGone,
    DocumentInvalid,
    DocumentUnreachable,
    SafeFetcher,
    resolve_by_system,
)
from tests.clock import Clock
from tests.web_host import ADDRESS, HOST, Authority, WebHost, answer, new_authority, web_host

UNREACHABLE = "its host could not be reached"
LIMIT = 5 * 1024
PER_MINUTE = 60


def new_limit(clock: Clock) -> Limit:
    return Limit("fetch", f"{PER_MINUTE}/minute", BoundedMemory(clock))


class Resolver:
    """A name service of the test's own, which counts what it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        if not self.addresses:
            raise OSError("no such host")
        return self.addresses


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def web(authority: Authority) -> AsyncIterator[WebHost]:
    async with web_host(authority.server) as web:
        yield web


@pytest.fixture
def resolver() -> Resolver:
    return Resolver(ADDRESS)


@pytest.fixture
def fetcher(authority: Authority, resolver: Resolver, clock: Clock) -> SafeFetcher:
    """One that takes the test's own host for a public one, and nothing besides."""
    return SafeFetcher(
        limit=new_limit(clock),
        resolve=resolver,
        is_permitted=lambda address: address == ip_address(ADDRESS),
        tls=authority.client,
        own_hosts=("as.example:8443", "other.as.example"),
        total_seconds=2,
    )


async def test_a_document_is_fetched_from_the_address_that_was_judged_under_its_name(
    web: WebHost, fetcher: SafeFetcher, resolver: Resolver
) -> None:
    web.answers = [answer(b'{"a":1}', Cache_Control="max-age=60", Age="1", Expires="0", Date="d")]

    fetched = await fetcher.fetch(web.url + "?v=1", LIMIT)

    assert fetched.content == b'{"a":1}'
    assert fetched.cache_control == "max-age=60"
    assert (fetched.age, fetched.expires, fetched.date) == ("1", "0", "d")
    assert resolver.asked == [HOST]
    assert web.server_names == [HOST]
    request = web.requests[0].lower()
    assert request.startswith("get /client.json?v=1 http/1.1\r\n")
    assert f"\r\nhost: {HOST}:{web.port}\r\n" in request
    assert "\r\naccept-encoding: identity\r\n" in request
    assert "cookie" not in request
    assert "authorization" not in request


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("::1",),
        ("0.0.0.0",),
        ("10.0.0.1",),
        ("169.254.169.254",),
        ("::ffff:127.0.0.1",),
        ("64:ff9b::7f00:1",),
        ("93.184.215.14", "127.0.0.1"),
        ("127.0.0.1", "2606:4700::1111"),
    ],
)
async def test_nothing_is_sent_where_one_address_is_not_public(
    authority: Authority, web: WebHost, clock: Clock, addresses: Sequence[str]
) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock), resolve=Resolver(*addresses), tls=authority.client
    )

    with pytest.raises(DocumentUnreachable) as refused:
        await fetcher.fetch(web.url, LIMIT)

    assert refused.value.reason == UNREACHABLE
    assert "not public" in refused.value.detail
    assert web.connections == 0


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
async def test_a_redirect_is_not_followed(web: WebHost, fetcher: SafeFetcher, status: str) -> None:
    web.answers = [answer(b"", f"{status} Elsewhere", Location=web.url)]

    with pytest.raises(DocumentUnreachable, match=status):
        await fetcher.fetch(web.url, LIMIT)

    assert len(web.requests) == 1


@pytest.mark.parametrize("status", ["201", "204", "206", "304", "401", "403", "404", "410", "500"])
async def test_no_status_but_200_counts(web: WebHost, fetcher: SafeFetcher, status: str) -> None:
    web.answers = [answer(b"" if status in {"204", "304"} else b"{}", f"{status} X")]

    with pytest.raises(DocumentUnreachable) as refused:
        await fetcher.fetch(web.url, LIMIT)

    assert refused.value.reason == f"its host answered with status {status}"
    assert isinstance(refused.value, DocumentGone) == (status in {"404", "410"})


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/json ;x", True),
        ("application/oauth-client-metadata+json", True),
        ("text/plain", False),
        ("text/html", False),
        ("text/json", False),
        ("application/jsonx", False),
        ("application/json, text/html", False),
        ("application/+json", False),
        ("", False),
    ],
)
async def test_only_json_is_taken(
    web: WebHost, fetcher: SafeFetcher, content_type: str, *, is_taken: bool
) -> None:
    web.answers = [answer(content_type=content_type)]

    if is_taken:
        assert (await fetcher.fetch(web.url, LIMIT)).content == b"{}"
    else:
        with pytest.raises(DocumentInvalid, match="application/json"):
            await fetcher.fetch(web.url, LIMIT)


async def test_a_repeated_header_is_read_as_the_list_it_is(
    web: WebHost, fetcher: SafeFetcher
) -> None:
    web.answers = [answer(Cache_Control="public\r\nCache-Control: max-age=60")]

    assert (await fetcher.fetch(web.url, LIMIT)).cache_control == "public, max-age=60"


async def test_a_compressed_answer_is_refused_unread(web: WebHost, fetcher: SafeFetcher) -> None:
    web.answers = [answer(b"\x1f\x8b", Content_Encoding="gzip")]

    with pytest.raises(DocumentInvalid, match="compressed"):
        await fetcher.fetch(web.url, LIMIT)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_document_may_have_just_as_many_bytes_as_the_limit(
    web: WebHost, fetcher: SafeFetcher
) -> None:
    web.answers = [answer(b" " * LIMIT)]

    assert len((await fetcher.fetch(web.url, LIMIT)).content) == LIMIT


@pytest.mark.parametrize(
    "too_much", [answer(b" " * (LIMIT + 1)), CHUNKED + b"fff\r\n" + b" " * 4095 + b"\r\n1000\r\n"]
)
async def test_reading_stops_behind_the_limit(
    web: WebHost, fetcher: SafeFetcher, too_much: bytes
) -> None:
    # In the second answer the last chunk never ends: who waits for its end waits too long.
    web.answers = [too_much + b" " * 4000]
    web.keep_open = True

    with pytest.raises(DocumentInvalid, match="larger than 5120 bytes"):
        await fetcher.fetch(web.url, LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-", answer(b"{}")[:-1]])
async def test_a_host_that_dawdles_is_left_after_a_while(
    authority: Authority, resolver: Resolver, clock: Clock, web: WebHost, start: bytes
) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock),
        resolve=resolver,
        is_permitted=lambda _: True,
        tls=authority.client,
        total_seconds=0.3,
    )
    web.answers = [start]
    web.keep_open = True

    with pytest.raises(DocumentUnreachable, match="took too long"):
        await fetcher.fetch(web.url, LIMIT)


@pytest.mark.slow
async def test_a_host_that_dawdles_in_the_handshake_is_left_and_its_connection_closed(
    authority: Authority, resolver: Resolver, clock: Clock
) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock),
        resolve=resolver,
        is_permitted=lambda _: True,
        tls=authority.client,
        total_seconds=0.3,
    )
    async with web_host(None) as web:
        with pytest.raises(DocumentUnreachable, match="took too long"):
            await fetcher.fetch(web.url, LIMIT)

        await asyncio.gather(*web.open)  # each ends when the other side has gone


@pytest.mark.parametrize(
    "noise",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"-ERR unknown command\r\n", b"", answer(b"{}")[:-1]],
)
async def test_who_does_not_speak_http_is_out_of_reach_like_any_other(
    web: WebHost, fetcher: SafeFetcher, noise: bytes
) -> None:
    web.answers = [noise]

    with pytest.raises(DocumentUnreachable) as refused:
        await fetcher.fetch(web.url, LIMIT)

    assert refused.value.reason == UNREACHABLE


async def test_a_host_without_tls_is_out_of_reach_like_any_other(fetcher: SafeFetcher) -> None:
    async with web_host(None) as web:
        web.greeting = b"SSH-2.0-OpenSSH_9.2\r\n"
        with pytest.raises(DocumentUnreachable) as refused:
            await fetcher.fetch(web.url, LIMIT)

    assert refused.value.reason == UNREACHABLE
    assert web.requests == []


async def test_a_closed_port_is_out_of_reach_like_any_other(
    web: WebHost, fetcher: SafeFetcher
) -> None:
    async with web_host(None) as gone:
        pass

    with pytest.raises(DocumentUnreachable) as refused:
        await fetcher.fetch(gone.url, LIMIT)

    assert refused.value.reason == UNREACHABLE


async def test_a_certificate_for_another_name_is_refused(
    web: WebHost, fetcher: SafeFetcher
) -> None:
    with pytest.raises(DocumentUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await fetcher.fetch(f"https://not-c.example:{web.port}/client.json", LIMIT)

    assert web.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(
    web: WebHost, resolver: Resolver, clock: Clock
) -> None:
    fetcher = SafeFetcher(limit=new_limit(clock), resolve=resolver, is_permitted=lambda _: True)

    with pytest.raises(DocumentUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
        await fetcher.fetch(web.url, LIMIT)


async def test_the_next_address_is_tried_when_one_does_not_answer(
    web: WebHost, authority: Authority, clock: Clock
) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock),
        resolve=Resolver("::1", ADDRESS),
        is_permitted=lambda _: True,
        tls=authority.client,
    )

    assert (await fetcher.fetch(web.url, LIMIT)).content == b"{}"


async def test_a_name_that_does_not_exist_is_out_of_reach_like_any_other(
    authority: Authority, clock: Clock
) -> None:
    fetcher = SafeFetcher(limit=new_limit(clock), resolve=Resolver(), tls=authority.client)

    with pytest.raises(DocumentUnreachable) as refused:
        await fetcher.fetch("https://c.example/client.json", LIMIT)

    assert refused.value.reason == UNREACHABLE


@pytest.mark.parametrize(
    "url",
    [
        "http://c.example/client.json",
        "http://127.0.0.1/client.json",
        "ftp://c.example/client.json",
        "https://u@c.example/client.json",
        "https://C.example/client.json",
        "https://c.example/../client.json",
        "https://127.1/client.json",
        "client.json",
        "https://as.example/oauth/authorize",
        "https://as.example:9/client.json",
        "https://other.as.example/client.json",
    ],
)
async def test_some_urls_are_not_fetched_at_all(
    fetcher: SafeFetcher, resolver: Resolver, url: str
) -> None:
    with pytest.raises(DocumentInvalid, match="its URL"):
        await fetcher.fetch(url, LIMIT)

    assert resolver.asked == []


async def test_proxies_of_the_environment_are_not_used(
    web: WebHost, fetcher: SafeFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert (await fetcher.fetch(web.url, LIMIT)).content == b"{}"


async def test_this_machine_is_fetched_from_only_when_that_was_allowed(clock: Clock) -> None:
    async with web_host(None) as web:
        url = f"http://localhost:{web.port}"
        with pytest.raises(DocumentInvalid, match="https"):
            await SafeFetcher(limit=new_limit(clock)).fetch(url, LIMIT)
        fetched = await SafeFetcher(limit=new_limit(clock), allow_loopback=True).fetch(url, LIMIT)

    assert fetched.content == b"{}"
    assert web.requests[0].startswith("GET / HTTP/1.1\r\n")
    assert web.connections == 1


async def test_a_loopback_name_that_leads_elsewhere_is_refused(clock: Clock) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock), allow_loopback=True, resolve=Resolver("93.184.215.14")
    )

    with pytest.raises(DocumentUnreachable, match="not public"):
        await fetcher.fetch("http://localhost:9/client.json", LIMIT)


async def test_one_host_is_asked_by_three_at_a_time(web: WebHost, fetcher: SafeFetcher) -> None:
    web.hold = asyncio.Event()
    fetches = [asyncio.create_task(fetcher.fetch(web.url, LIMIT)) for _ in range(9)]
    await web.asked.wait()
    web.hold.set()
    await asyncio.gather(*fetches)

    assert web.most_at_once <= 3
    assert len(web.requests) == 9


@pytest.mark.slow
async def test_who_waited_for_others_has_the_whole_time(
    authority: Authority, resolver: Resolver, clock: Clock, web: WebHost
) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock),
        resolve=resolver,
        is_permitted=lambda _: True,
        tls=authority.client,
        total_seconds=0.6,
    )
    web.hold = asyncio.Event()
    slow = [asyncio.create_task(fetcher.fetch(web.url, LIMIT)) for _ in range(AT_ONCE_PER_HOST)]
    await asyncio.sleep(0.3)
    last = asyncio.create_task(fetcher.fetch(web.url, LIMIT))
    for task in slow:
        with pytest.raises(DocumentUnreachable, match="took too long"):
            await task
    asyncio.get_running_loop().call_later(0.45, web.hold.set)
    assert (await last).content == b"{}"


async def test_a_host_is_asked_so_many_times_a_minute_and_no_more(clock: Clock) -> None:
    fetcher = SafeFetcher(
        limit=new_limit(clock), resolve=Resolver(), tls=ssl.create_default_context()
    )

    async def reason(host: str = "c.example") -> str:
        with pytest.raises(DocumentUnreachable) as refused:
            await fetcher.fetch(f"https://{host}/client.json", LIMIT)
        return refused.value.reason

    reasons = [await reason() for _ in range(PER_MINUTE + 1)]

    assert set(reasons[:-1]) == {UNREACHABLE}
    assert reasons[-1] == "its host was asked too often"
    assert await reason("d.example") == UNREACHABLE
    clock.advance(62)
    assert await reason() == UNREACHABLE


async def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in await resolve_by_system("localhost", 80)
