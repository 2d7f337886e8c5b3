"""Whose word counts for where a request comes from and how it came (RFC 7239 §8.1)."""

import pytest
from starlette.requests import Request

from auth.app import create_server
from auth.client_address import client_address, client_network
from auth.server import AuthorizationServer
from auth.store.memory import MemoryStore
from tests.clock import Clock
from tests.kit import ISSUER, Browser, World, new_settings
from tests.security.kit import from_address, limited


def server_behind(proxies: int) -> AuthorizationServer:
    return create_server(new_settings(trusted_proxies=proxies), MemoryStore(), Clock())


def request_from(peer: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    client = (peer, 1) if peer is not None else None
    return Request({"type": "http", "headers": headers, "client": client})


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, ["1.1.1.1"], "10.0.0.9"),
        (0, ["1.1.1.1, 2.2.2.2"], "10.0.0.9"),
        (1, [], "10.0.0.9"),
        (1, ["1.1.1.1, 2.2.2.2"], "2.2.2.2"),
        (1, ["1.1.1.1", "2.2.2.2"], "2.2.2.2"),
        (1, ["9.9.9.9, 1.1.1.1,2.2.2.2"], "2.2.2.2"),
        (2, ["9.9.9.9, 1.1.1.1, 2.2.2.2"], "1.1.1.1"),
        (2, ["2.2.2.2"], "2.2.2.2"),
        (9, ["1.1.1.1, 2.2.2.2"], "1.1.1.1"),
        (1, ["1.1.1.1, evil"], "10.0.0.9"),
        (2, ["1.1.1.1, evil, 2.2.2.2"], "2.2.2.2"),
        (2, ["evil, 2.2.2.2"], "2.2.2.2"),
        (1, ["1.1.1.1,"], "10.0.0.9"),
        (1, [" 1.1.1.1 "], "1.1.1.1"),
        (1, ["1.1.1.1:4711"], "1.1.1.1"),
        (1, ["[2001:db8::1]:4711"], "2001:db8::1"),
        (1, ["2001:DB8:0::1"], "2001:db8::1"),
        (1, ["::ffff:1.1.1.1"], "1.1.1.1"),
        (1, ["1.1.1"], "10.0.0.9"),
        (1, ["256.1.1.1"], "10.0.0.9"),
        (1, ["unknown"], "10.0.0.9"),
        (1, ["<script>"], "10.0.0.9"),
        (1, ["\xff"], "10.0.0.9"),
    ],
)
def test_so_many_hops_count_as_there_are_proxies_and_a_bad_one_ends_the_chain(
    proxies: int, forwarded: list[str], address: str
) -> None:
    """Without it a header chooses whose limits are used up, and what the audit log says."""
    request = request_from("10.0.0.9", *forwarded)
    assert client_address(server_behind(proxies), request) == address


@pytest.mark.parametrize(("peer", "address"), [(None, "unknown"), ("not an address", "unknown")])
def test_a_peer_without_an_address_is_unknown(peer: str | None, address: str) -> None:
    """Without it a proxy on a Unix socket is a server error."""
    assert client_address(server_behind(0), request_from(peer)) == address
    assert client_network(server_behind(1), request_from(peer, "1.1.1.1")) == "1.1.1.1"


def test_ipv6_counts_by_what_one_subscriber_has() -> None:
    """Without it every subscriber has 2⁶⁴ addresses to guess from."""
    one, other, foreign = "2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"
    networks = {
        peer: client_network(server_behind(0), request_from(peer)) for peer in (one, other, foreign)
    }
    assert networks[one] == networks[other] == "2001:db8:1:2::/64"
    assert networks[foreign] != networks[one]


async def test_an_untrusted_header_does_not_get_around_a_limit(clock: Clock) -> None:
    """Without it a new X-Forwarded-For with every guess is a new guesser."""
    async with limited(clock) as world:
        statuses = []
        for number in range(6):
            headers = {"X-Forwarded-For": f"198.51.100.{number}"}
            async with from_address(world, "10.0.0.9", headers) as http:
                statuses.append((await Browser(http).sign_in(password="wrong")).status_code)
        assert statuses == [400] * 5 + [429]


async def test_behind_a_proxy_each_client_is_counted_by_itself(clock: Clock) -> None:
    """Without it one guesser behind the proxy makes everybody wait."""
    async with limited(clock, trusted_proxies=1) as world:
        for number in range(12):
            headers = {"X-Forwarded-For": f"spoofed, 198.51.100.{number % 2}"}
            async with from_address(world, "10.0.0.9", headers) as http:
                await Browser(http).sign_in(password="wrong")
        headers = {"X-Forwarded-For": "198.51.100.7"}
        async with from_address(world, "10.0.0.9", headers) as http:
            assert (await Browser(http).sign_in()).status_code == 303
        admin = (await world.store.list_accounts())[0]
        events = await world.store.list_events(admin.subject)
        assert [e.address for e in events if e.kind == "sign_in_succeeded"] == ["198.51.100.7"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("header", ["X-Forwarded-Proto", "X-Forwarded-Scheme", "Front-End-Https"])
async def test_a_forwarded_scheme_changes_neither_cookies_nor_links(
    world: World, scheme: str, header: str
) -> None:
    """Without it a header takes Secure off a cookie or TLS off the issuer."""
    headers = {header: scheme, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    page = await world.http.get("/oauth/sign-in", headers=headers)
    assert "Secure" not in str(page.headers.get_list("set-cookie"))
    assert "strict-transport-security" not in page.headers
    assert "evil.example" not in page.text
    metadata = await world.http.get("/.well-known/oauth-authorization-server", headers=headers)
    assert metadata.json()["issuer"] == ISSUER
