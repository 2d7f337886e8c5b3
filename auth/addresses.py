"""Which IP addresses are on the public Internet (RFC 6890 and the IANA registries it set up)."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address

# Stricter than the registries where they call a block globally reachable: no client's host lives
# in anycast relays or protocol assignments.
_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; some clouds' metadata service
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # a cloud's host agent, reachable only from inside
            "169.254.0.0/16",  # link-local; most clouds' metadata service
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo (an IPv4 address in disguise), ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: an IPv4 address in disguise
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public_address(address: IPAddress) -> bool:
    """Whether a host on the public Internet can have this address.

    Never for mapped, 6to4 and Teredo forms. A NAT64 address (RFC 6052 §2.1) is what networks
    without IPv4 see of every IPv4 host, so it is as public as the address that it embeds.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address in _NAT64:
        return is_public_address(IPv4Address(address.packed[-4:]))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


def is_loopback_address(address: IPAddress) -> bool:
    """Whether an address is this machine's own loopback."""
    return address.is_loopback
