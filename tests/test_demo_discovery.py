"""What the demo's client makes of challenges and metadata, before it believes a word of them."""

from typing import Any

import pytest

from demo.discovery import (
    authorization_server_metadata_urls,
    bearer_challenge,
    covers,
    origin_of,
    protected_resource_metadata_urls,
    read_authorization_server_metadata,
    read_protected_resource_metadata,
    require_endpoint,
)
from demo.narration import StepFailed

URL = "https://mcp.example.com/mcp"
ISSUER = "https://auth.example.com"

RESOURCE: dict[str, Any] = {"resource": URL, "authorization_servers": [ISSUER]}
SERVER: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "response_types_supported": ["code"],
    "code_challenge_methods_supported": ["S256"],
}


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [
        ([], None),
        ([""], None),
        (["Basic realm=x"], None),
        (["Bearer"], {}),
        (["bearer scope=user"], {"scope": "user"}),
        (
            ['Bearer realm="a, b", scope="user user:write"'],
            {"realm": "a, b", "scope": "user user:write"},
        ),
        (['Basic realm="Bearer x=1", Bearer error="a\\"b"'], {"error": 'a"b'}),
        (['DPoP algs="ES256"', 'Bearer scope = "user"'], {"scope": "user"}),
        (['Bearer Scope="first", scope="second"'], {"scope": "first"}),
        (["Bearer ???, scope=user"], {}),
    ],
)
def test_the_bearer_challenge_is_found_among_others(
    headers: list[str], parameters: dict[str, str] | None
) -> None:
    assert bearer_challenge(headers) == parameters


@pytest.mark.parametrize(
    ("url", "named", "places"),
    [
        (
            "https://a.example/mcp",
            None,
            [
                "https://a.example/.well-known/oauth-protected-resource/mcp",
                "https://a.example/.well-known/oauth-protected-resource",
            ],
        ),
        ("https://a.example", None, ["https://a.example/.well-known/oauth-protected-resource"]),
        (
            "https://a.example/",
            "https://b.example/prm",
            ["https://b.example/prm", "https://a.example/.well-known/oauth-protected-resource"],
        ),
    ],
)
def test_resource_metadata_is_looked_for_where_the_rfc_says(
    url: str, named: str | None, places: list[str]
) -> None:
    assert protected_resource_metadata_urls(url, named) == places


def test_server_metadata_of_an_issuer_with_a_path_is_looked_for_in_three_places() -> None:
    assert authorization_server_metadata_urls("https://a.example/tenant/") == [
        "https://a.example/.well-known/oauth-authorization-server/tenant",
        "https://a.example/.well-known/openid-configuration/tenant",
        "https://a.example/tenant/.well-known/openid-configuration",
    ]
    assert len(authorization_server_metadata_urls("https://a.example")) == 2


@pytest.mark.parametrize(
    ("resource", "url", "is_covered"),
    [
        (URL, URL, True),
        (URL, URL + "/", True),
        ("https://MCP.example.com:443/mcp", URL, True),
        ("https://mcp.example.com", URL, True),
        ("https://mcp.example.com/", URL, True),
        ("https://mcp.example.com/m", URL, False),
        ("https://mcp.example.com/mcp/more", URL, False),
        ("http://mcp.example.com/mcp", URL, False),
        ("https://mcp.example.com:8443/mcp", URL, False),
        ("https://mcp.example.com.evil.example/mcp", URL, False),
        (URL + "#x", URL, False),
    ],
)
def test_a_resource_covers_its_own_url_and_what_is_below(
    resource: str, url: str, *, is_covered: bool
) -> None:
    assert covers(resource, url) is is_covered


@pytest.mark.parametrize(
    ("url", "told_by"),
    [
        ("http://mcp.example.com/token", ISSUER),
        ("ftp://mcp.example.com/token", ISSUER),
        ("javascript:alert(1)", ISSUER),
        ("/token", ISSUER),
        ("https://user@mcp.example.com/token", ISSUER),
        ("https://mcp.example.com/token#x", ISSUER),
        ("https://mcp.example.com:port/token", ISSUER),
        ("https://[::1/token", ISSUER),
        ("http://127.0.0.1:9000/token", ISSUER),
        ("https://localhost/token", ISSUER),
    ],
)
def test_secrets_travel_over_tls_or_stay_on_this_machine(url: str, told_by: str) -> None:
    with pytest.raises(StepFailed):
        require_endpoint("token_endpoint", url, told_by=told_by)


def test_loopback_may_point_to_loopback_and_to_the_world() -> None:
    here = "http://127.0.0.1:8000/mcp"

    assert require_endpoint("issuer", "http://localhost:9000", told_by=here)
    assert require_endpoint("issuer", ISSUER, told_by=here) == ISSUER


def test_origins_are_compared_in_one_spelling() -> None:
    assert origin_of("HTTPS://A.example:443/x?y") == origin_of("https://a.example")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"resource": "https://evil.example/mcp"}, "about https://evil.example/mcp"),
        ({"resource": ["https://mcp.example.com/mcp"]}, "not valid at resource"),
        ({"resource": None}, "not valid at resource"),
        ({"authorization_servers": []}, "no authorization server"),
        ({"authorization_servers": ISSUER}, "not valid at authorization_servers"),
        ({"scopes_supported": "user"}, "not valid at scopes_supported"),
    ],
)
def test_resource_metadata_that_must_not_be_used(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StepFailed, match=words):
        read_protected_resource_metadata(RESOURCE | changes, URL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"issuer": ISSUER + "/"}, "to the last slash|has the issuer"),
        ({"issuer": "https://evil.example"}, "has the issuer 'https://evil.example'"),
        ({"issuer": None}, "has the issuer None"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE"),
        ({"code_challenge_methods_supported": []}, "PKCE"),
        ({"response_types_supported": ["token"]}, "codes"),
        ({"token_endpoint": None}, "not valid at token_endpoint"),
    ],
)
def test_server_metadata_that_must_not_be_used(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StepFailed, match=words):
        read_authorization_server_metadata(SERVER | changes, ISSUER)


def test_metadata_is_kept_to_the_byte() -> None:
    assert read_protected_resource_metadata(RESOURCE, URL).authorization_servers == [ISSUER]
    assert read_authorization_server_metadata(SERVER, ISSUER).issuer == ISSUER
