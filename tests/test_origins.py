"""Who we say we are: which Host headers select which origin, and which URLs can be ours."""

from collections.abc import Callable

import pytest

from origins import (
    InvalidOrigin,
    Origin,
    Origins,
    canonical_origin,
    canonical_resource,
    is_loopback_host,
    issuer_identifier,
)

LOOPBACK = Origins(())
CONFIGURED = Origins(("https://mcp.example.com", "https://alt.example.com:8443"))
LOCAL = Origins(("http://localhost:9001", "http://127.0.0.1"))


def test_everything_of_an_origin_is_built_from_its_url() -> None:
    origin = Origin("https://mcp.example.com:8443")

    assert origin.issuer == "https://mcp.example.com:8443"
    assert origin.resource == "https://mcp.example.com:8443/mcp"
    assert (
        origin.resource_metadata_url
        == "https://mcp.example.com:8443/.well-known/oauth-protected-resource/mcp"
    )
    assert origin.host == "mcp.example.com:8443"
    assert origin.is_secure
    assert not Origin("http://localhost:8000").is_secure


@pytest.mark.parametrize(
    ("origins", "host", "issuer"),
    [
        (LOOPBACK, "127.0.0.1:9001", "http://127.0.0.1:9001"),
        (LOOPBACK, "localhost:9001", "http://localhost:9001"),
        (LOOPBACK, "LocalHost:9001", "http://localhost:9001"),
        (LOOPBACK, "[::1]:9001", "http://[::1]:9001"),
        (LOOPBACK, "localhost", "http://localhost"),
        (LOOPBACK, "localhost:80", "http://localhost"),
        (LOOPBACK, "[::1]", "http://[::1]"),
        (CONFIGURED, "mcp.example.com", "https://mcp.example.com"),
        (CONFIGURED, "MCP.example.COM", "https://mcp.example.com"),
        (CONFIGURED, "mcp.example.com:443", "https://mcp.example.com"),
        (CONFIGURED, "alt.example.com:8443", "https://alt.example.com:8443"),
        (LOCAL, "localhost:9001", "http://localhost:9001"),
        (LOCAL, "127.0.0.1", "http://127.0.0.1"),
        (LOCAL, "127.0.0.1:80", "http://127.0.0.1"),
    ],
)
def test_a_host_selects_one_of_our_origins(origins: Origins, host: str, issuer: str) -> None:
    origin = origins.select(host)

    assert origin is not None
    assert origin.issuer == issuer


@pytest.mark.parametrize(
    ("origins", "host"),
    [
        (LOOPBACK, ""),
        (LOOPBACK, "evil.example"),
        (LOOPBACK, "localhost.evil.example"),
        (LOOPBACK, "localhost:9001@evil.example"),
        (LOOPBACK, "localhost:"),
        (LOOPBACK, "localhost:port"),
        (LOOPBACK, "localhost:0"),
        (LOOPBACK, "localhost:65536"),
        (LOOPBACK, "localhost:9001/"),
        (LOOPBACK, "localhost\n"),
        (LOOPBACK, "localho\u017ft"),
        (LOOPBACK, "127.0.0.2"),
        (LOOPBACK, "127.1"),
        (LOOPBACK, "0.0.0.0"),
        (LOOPBACK, "::1"),
        (CONFIGURED, "evil.example"),
        (CONFIGURED, "mcp.example.com.evil.example"),
        (CONFIGURED, "mcp.example.com."),
        (CONFIGURED, "mcp.example.com:80"),
        (CONFIGURED, "mcp.example.com:8443"),
        (CONFIGURED, "alt.example.com"),
        (CONFIGURED, "alt.example.com:8443:443"),
        (CONFIGURED, "mcp.example.com, evil.example"),
        (CONFIGURED, "localhost"),
        (CONFIGURED, ""),
        (LOCAL, "127.0.0.1:443"),
        (LOCAL, "localhost"),
    ],
)
def test_a_host_that_is_not_ours_selects_nothing(origins: Origins, host: str) -> None:
    assert origins.select(host) is None


def test_only_without_configuration_any_loopback_host_is_ours() -> None:
    assert LOOPBACK.is_loopback
    assert LOOPBACK.configured == ()
    assert not CONFIGURED.is_loopback
    assert CONFIGURED.configured[0] == Origin("https://mcp.example.com")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1:1", True),
        ("[::1]:65535", True),
        ("localhost:65536", False),
        ("localhost.localdomain", False),
        ("127.0.0.10", False),
    ],
)
def test_loopback_is_a_literal_name(host: str, *, expected: bool) -> None:
    assert is_loopback_host(host) is expected


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://mcp.example.com", "https://mcp.example.com"),
        ("https://mcp.example.com/", "https://mcp.example.com"),
        ("HTTPS://MCP.Example.COM", "https://mcp.example.com"),
        ("https://mcp.example.com:443", "https://mcp.example.com"),
        ("https://mcp.example.com:8443/", "https://mcp.example.com:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://192.0.2.1", "https://192.0.2.1"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_origin_has_one_way_to_be_written(url: str, origin: str) -> None:
    assert canonical_origin(url) == origin


@pytest.mark.parametrize(
    ("url", "resource"),
    [
        ("https://mcp.example.com/mcp", "https://mcp.example.com/mcp"),
        ("HTTPS://MCP.example.com:443/mcp/", "https://mcp.example.com/mcp"),
        ("https://mcp.example.com", "https://mcp.example.com"),
        ("https://mcp.example.com/", "https://mcp.example.com"),
        ("https://mcp.example.com/Team/MCP", "https://mcp.example.com/Team/MCP"),
        ("http://localhost:8000/mcp", "http://localhost:8000/mcp"),
    ],
)
def test_a_resource_has_one_way_to_be_written(url: str, resource: str) -> None:
    assert canonical_resource(url) == resource


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example/", "https://k.example/realms/x"]
)
def test_an_issuer_stays_as_its_owner_writes_it(url: str) -> None:
    assert issuer_identifier(url) == url


@pytest.mark.parametrize("read", [canonical_origin, canonical_resource, issuer_identifier])
@pytest.mark.parametrize(
    "url",
    [
        "",
        "mcp.example.com",
        "//mcp.example.com",
        "ftp://mcp.example.com",
        "javascript://mcp.example.com",
        "https:mcp.example.com",
        "https://",
        "https:///mcp",
        "https://:443",
        " https://mcp.example.com",
        "https://mcp.example.com\n",
        "https://mcp.example.com:0",
        "https://mcp.example.com:65536",
        "https://mcp.example.com:port",
        "https://mcp.example.com:",
        "https://mcp..example.com",
        "https://.example.com",
        "https://example.com.",
        "https://-mcp.example.com",
        "https://mcp_.example.com",
        "https://bücher.example",
        "https://\u212a.example",
        "https://user@mcp.example.com",
        "https://user:secret@mcp.example.com",
        "https://mcp.example.com\\@evil.example",
        "https://mcp.example.com?",
        "https://mcp.example.com?query=1",
        "https://mcp.example.com/mcp?query=1",
        "https://mcp.example.com#",
        "https://mcp.example.com/mcp#fragment",
        "https://mcp.example.com//evil.example",
        "https://mcp.example.com/a b",
        "https://mcp.example.com/\tmcp",
        "https://[::1",
        "https://::1",
        "http://mcp.example.com",
        "http://localhost.example.com",
        "http://127.0.0.2",
        "http://0.0.0.0:8000",
    ],
)
def test_a_url_that_cannot_be_ours_is_refused(read: Callable[[str], str], url: str) -> None:
    with pytest.raises(InvalidOrigin):
        read(url)


def test_an_origin_has_no_path() -> None:
    with pytest.raises(InvalidOrigin, match="must stand alone"):
        canonical_origin("https://mcp.example.com/mcp")
