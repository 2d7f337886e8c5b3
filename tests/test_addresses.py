"""Which addresses are public: at both edges of every special-purpose block."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.addresses import is_loopback_address, is_public_address

SPECIAL = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "::ffff:0:0/96",
    "::/96",
    "64:ff9b::a00:0/104",
    "64:ff9b::7f00:0/104",
    "64:ff9b::a9fe:0/112",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
# Just outside a block and still not public, because its neighbour is special too.
NEIGHBOURS = {
    "223.255.255.255": True,
    "239.255.255.255": False,
    "240.0.0.0": False,
    "255.255.255.254": False,
}


@pytest.mark.parametrize("block", SPECIAL)
def test_no_address_of_a_special_block_is_public(block: str) -> None:
    network = ip_network(block)

    assert not is_public_address(network[0])
    assert not is_public_address(network[-1])


@pytest.mark.parametrize("block", [block for block in SPECIAL if "." in block])
def test_the_addresses_beside_an_ipv4_block_are_judged_on_their_own(block: str) -> None:
    network = ip_network(block)
    for number in (int(network[0]) - 1, int(network[-1]) + 1):
        if 0 <= number < 2**32:
            address = IPv4Address(number)
            expected = not any(address in ip_network(b) for b in SPECIAL if "." in b)
            assert is_public_address(address) == NEIGHBOURS.get(str(address), expected)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.88.98.255",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2003::",
        "2606:4700::1111",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
        "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "64:ff9b::101:101",
    ],
)
def test_the_rest_of_the_internet_is_public(address: str) -> None:
    assert is_public_address(ip_address(address))


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_never_public(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast:
        assert not is_public_address(address)


@given(st.ip_addresses(v=6))
def test_what_python_calls_private_is_never_public_in_ipv6(address: IPv6Address) -> None:
    nat64 = address in ip_network("64:ff9b::/96")
    if not nat64 and (not address.is_global or address.is_multicast):
        assert not is_public_address(address)


@given(st.ip_addresses(v=4))
def test_a_nat64_address_is_as_public_as_what_it_embeds(address: IPv4Address) -> None:
    embedding = IPv6Address(int(IPv6Address("64:ff9b::")) + int(address))

    assert is_public_address(embedding) == is_public_address(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_disguise_is_never_public(address: IPv4Address) -> None:
    for form in ("::ffff:{0}", "::{0}", "2002:{1:04x}:{2:04x}::", "2001:0:{1:x}:{2:x}::1"):
        high, low = divmod(int(address), 2**16)

        assert not is_public_address(IPv6Address(form.format(address, high, low)))


def test_loopback_is_this_machine_alone() -> None:
    assert is_loopback_address(ip_address("127.0.0.1"))
    assert is_loopback_address(ip_address("::1"))
    assert not is_loopback_address(ip_address("10.0.0.1"))
