"""Redirect URIs: which may be registered, which match, where they lead, what is added to them."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from auth.redirect_uris import (
    add_query,
    check_redirect_uri,
    matches_redirect_uri,
    redirect_destination,
)
from auth.uris import host_of

ISSUER = "https://as.example"


@pytest.mark.parametrize(
    "uri",
    [
        "https://c.example/cb",
        "https://c.example/",
        "https://c.example",
        "https://c.example:8443/cb",
        "https://c.example:443/cb",
        "https://c.example/cb?tenant=1&x=%20y",
        "https://c.example/cb?next=%2Fhome",
        "https://c.example/caf%C3%A9",
        "https://c.example/a..b/.well-known/...",
        "https://my_host.example/cb",
        "https://10.0.0.7/cb",
        "https://[2001:db8::1]:8443/cb",
        "https://xn--pple-43d.com/cb",
        "https://localhost:3000/cb",
        "https://claude.ai/api/mcp/auth_callback",
        "https://vscode.dev/redirect",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418/",
        "http://localhost/callback",
        "http://localhost:3118/callback?x=1",
        "http://[::1]:9/cb",
    ],
)
def test_web_and_loopback_uris_may_be_registered_by_anybody(uri: str) -> None:
    assert check_redirect_uri(uri, is_public=True) is None
    assert check_redirect_uri(uri, is_public=False) is None


@pytest.mark.parametrize(
    "uri",
    [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "com.example.app:/cb",
        "com.example.app:///cb",
        "vscode://Publisher.extension/did-authenticate",
        "myapp://x",
        "claude://oauth?x=1",
    ],
)
def test_private_use_schemes_are_for_public_clients(uri: str) -> None:
    assert check_redirect_uri(uri, is_public=True) is None
    assert check_redirect_uri(uri, is_public=False) is not None


@pytest.mark.parametrize(
    "scheme",
    [
        "javascript",
        "data",
        "vbscript",
        "file",
        "filesystem",
        "blob",
        "about",
        "mailto",
        "ftp",
        "ms-appx",
        "ms-appx-web",
        "ws",
        "wss",
        "urn",
        "view-source",
        "intent",
        "tel",
        "x-safari-http",
        "x-safari-https",
        "googlechrome",
        "googlechromes",
        "microsoft-edge",
        "microsoft-edge-https",
        "firefox",
        "firefox-focus",
        "touch-https",
        "opera-http",
        "brave-https",
        "chrome",
        "ms-msdt",
        "ms-word",
        "ms-settings",
        "search-ms",
        "search",
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "{0}:x",
        "{0}://x/y",
        "{0}:/x",
        "{1}://x/y",
        "{2}://x/y",
        " {0}://x/y",
        "\x01{0}://x/y",
        "%6A{0}://x/y",
    ],
)
def test_a_scheme_that_is_no_application_is_refused(scheme: str, form: str) -> None:
    uri = form.format(scheme, scheme.upper(), scheme.capitalize())

    assert check_redirect_uri(uri, is_public=True) is not None


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "*",
        "cb",
        "/cb",
        "//c.example/cb",
        "https:",
        "https:c.example/cb",
        "https:/c.example/cb",
        "https:///cb",
        "https://?x=1",
        "https://:8443/cb",
        "app:",
        "app://",
        "app:cb",
        "http://c.example/cb",
        "http://127.0.0.2/cb",
        "http://127.1/cb",
        "http://0x7f.1/cb",
        "http://2130706433/cb",
        "http://LOCALHOST/cb",
        "http://localhost./cb",
        "http://localhost.evil.example/cb",
        "http://[0:0:0:0:0:0:0:1]/cb",
        "http://[::ffff:7f00:1]/cb",
        "https://[::ffff:7f00:1]/cb",
        "https://[::1%25lo]/cb",
        "https://[::1/cb",
        "https://[v1.x]/cb",
        "HTTPS://c.example/cb",
        "https://C.example/cb",
        "https://c.example./cb",
        "https://c..example/cb",
        "https://.example/cb",
        "https://-c.example/cb",
        "https://1.2.3/cb",
        "https://c.0x1f/cb",
        "https://192.168.000.001/cb",
        "https://xn--a/cb",
        "https://" + "a" * 64 + ".example/cb",
        "https://" + "a.bcdefgh." * 28 + "example/cb",
        "https://c.example:0/cb",
        "https://c.example:/cb",
        "https://c.example:08443/cb",
        "https://c.example:65536/cb",
        "https://c.example:port/cb",
        "https://c.example/cb#",
        "https://c.example/cb#fragment",
        "https://u@c.example/cb",
        "https://u:p@c.example/cb",
        "https://@c.example/cb",
        "https://c.example\\@evil.example/",
        "https://c.example\\cb",
        "https://*.example/",
        "https://c.example/*",
        "https://c.example/a/../cb",
        "https://c.example/./cb",
        "https://c.example/..",
        "https://c.example/%2e%2e/cb",
        "https://c.example/.%2E/cb",
        "https://c.example/a%2fb",
        "https://c.example/a%5Cb",
        "https://c.example/[cb]",
        "https://c.example/cb?[x]",
        "https://c.example/%",
        "https://c.example/%4",
        "https://c.example/%zz",
        "https://c.example/cb%00",
        "https://c.example/cb?x=%0d%0aLocation:",
        "https://c.example/cb%7f",
        "https://c.example/cb\t",
        "https://c.example/cb\n",
        "https://c.ex\tample/cb",
        " https://c.example/cb",
        "https://c.example/c b",
        "https://c.example/<cb>",
        'https://c.example/"cb"',
        "https://c.example/cb\x7f",
        "https://аpple.com/cb",
        "https://c.example/é",
        "https://c。example/cb",
        "app://user@host/cb",
        "app://host/cb#f",
        "app://host/../cb",
        "app://ho st/cb",
        "app://[::1]:x/cb",
        "https://c.example/" + "a" * 2031,
    ],
)
def test_what_is_dangerous_or_ambiguous_is_refused(uri: str) -> None:
    reason = check_redirect_uri(uri, is_public=True)

    assert reason is not None
    assert len(uri) < 5 or uri not in reason


def test_a_uri_may_have_2048_characters() -> None:
    uri = "https://c.example/" + "a" * 2030

    assert len(uri) == 2048
    assert check_redirect_uri(uri, is_public=True) is None


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        ("https://c.example/cb", "https://c.example/cb"),
        ("https://c.example/cb?x=1", "https://c.example/cb?x=1"),
        ("cursor://anysphere.cursor-mcp/oauth/callback",) * 2,
        ("http://127.0.0.1/cb", "http://127.0.0.1:1/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:65535/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1:8080/cb", "http://127.0.0.1:9999/cb"),
        ("http://127.0.0.1:8080/cb", "http://127.0.0.1/cb"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:50000/"),
        ("http://[::1]/cb", "http://[::1]:5000/cb"),
        ("http://localhost:3000/cb", "http://localhost:4000/cb"),
        ("http://localhost/callback", "http://localhost:3118/callback"),
        ("http://localhost/cb?x=1", "http://localhost:1/cb?x=1"),
        ("http://localhost", "http://localhost:1"),
    ],
)
def test_a_uri_matches_itself_and_on_loopback_under_another_port(
    registered: str, presented: str
) -> None:
    assert matches_redirect_uri(["https://other.example/", registered], presented)


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        *(
            ("https://c.example/cb", presented)
            for presented in (
                "",
                "https://c.example/cb/",
                "https://c.example/cb123",
                "https://c.example/CB",
                "https://c.example/cb?x=1",
                "https://c.example/cb?",
                "https://c.example/cb#",
                "https://c.example/cb;x",
                "https://C.example/cb",
                "HTTPS://c.example/cb",
                "https://c.example:443/cb",
                "https://c.example:8443/cb",
                "https://c.example/x/../cb",
                "https://c.example/%63b",
                "https://c.example\\cb",
                "https://c.example/cb\n",
                " https://c.example/cb",
                "https://c.example@evil.example/cb",
                "https://evil.example/c.example/cb",
                "https://c.example.evil.example/cb",
                "https://c.example./cb",
                "https://evil.example#@c.example/cb",
            )
        ),
        *(
            ("http://127.0.0.1/cb", presented)
            for presented in (
                "http://localhost:1/cb",
                "http://127.0.0.2:1/cb",
                "http://[::1]:1/cb",
                "https://127.0.0.1:1/cb",
                "https://127.0.0.1/cb",
                "http://127.0.0.1:/cb",
                "http://127.0.0.1:0/cb",
                "http://127.0.0.1:01/cb",
                "http://127.0.0.1:65536/cb",
                "http://127.0.0.1:1@evil.example/cb",
                "http://127.0.0.1:1evil.example/cb",
                "http://127.0.0.1.evil.example/cb",
                "http://127.0.0.1:1/cb/",
                "http://127.0.0.1:1/cb?x=1",
                "http://127.0.0.1:1/cb#",
                "http://127.0.0.1:1/cb\n",
            )
        ),
        ("http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]/cb"),
        ("http://localhost:3000/cb", "http://LOCALHOST:3000/cb"),
        ("http://localhost:3000/cb", "http://localhost.:3000/cb"),
        ("http://127.0.0.1/cb?x=1", "http://127.0.0.1:1/cb"),
        ("http://127.0.0.1/cb?x=1", "http://127.0.0.1:1/cb?x=2"),
        ("http://127.0.0.1/cb?x=1", "http://127.0.0.1:1/Cb?x=1"),
        ("http://127.0.0.1/", "http://127.0.0.1"),
        ("https://localhost/cb", "https://localhost:1/cb"),
        ("https://xn--pple-43d.com/cb", "https://аpple.com/cb"),
        ("app://host/cb", "app://host:1/cb"),
    ],
)
def test_nothing_else_matches(registered: str, presented: str) -> None:
    assert not matches_redirect_uri([registered], presented)


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("https://c.example:8443/cb?x=1", "c.example"),
        ("https://[2001:db8::1]/", "[2001:db8::1]"),
        ("http://localhost/cb", None),
        ("com.example.app:/cb", None),
        ("https:///cb", None),
        (r"https://evil.example\@c.example/", None),
        ("a-client-of-the-operator", None),
    ],
)
def test_only_an_https_uri_with_a_plain_host_is_known_by_it(uri: str, host: str | None) -> None:
    assert host_of(uri) == host


def test_nothing_matches_a_client_without_redirect_uris() -> None:
    assert not matches_redirect_uri([], "https://c.example/cb")


@pytest.mark.parametrize(
    ("uri", "destination"),
    [
        ("https://c.example:8443/cb?x", ("host", "c.example")),
        ("https://xn--pple-43d.com/cb", ("host", "xn--pple-43d.com")),
        ("https://192.168.1.7/cb", ("host", "192.168.1.7")),
        ("http://127.0.0.1:33418/", ("computer", "127.0.0.1")),
        ("http://[::1]/", ("computer", "[::1]")),
        ("https://localhost/", ("computer", "localhost")),
        ("cursor://anysphere.cursor-mcp/oauth/callback", ("app", "cursor")),
        ("com.example.app:/cb", ("app", "com.example.app")),
    ],
)
def test_a_person_is_told_where_a_redirect_leads(uri: str, destination: tuple[str, str]) -> None:
    assert redirect_destination(uri) == destination


@pytest.mark.parametrize(
    ("uri", "answer"),
    [
        ("https://c.example/cb", "https://c.example/cb?code=a+b&state=%26"),
        ("https://c.example/cb?", "https://c.example/cb?code=a+b&state=%26"),
        ("https://c.example/cb?x=%20y", "https://c.example/cb?x=%20y&code=a+b&state=%26"),
        ("https://c.example/cb?x&&y=?", "https://c.example/cb?x&&y=?&code=a+b&state=%26"),
        ("com.example.app:/cb", "com.example.app:/cb?code=a+b&state=%26"),
        ("https://c.example/cb?state=old&x=1", "https://c.example/cb?x=1&code=a+b&state=%26"),
    ],
)
def test_the_answer_is_added_to_the_query_that_was_there(uri: str, answer: str) -> None:
    assert add_query(uri, {"code": "a b", "state": "&"}) == answer


@pytest.mark.parametrize("name", ["iss", "i%73s", "code", "state", "error", "error_description"])
def test_only_our_own_answer_parameters_are_in_the_answer(name: str) -> None:
    uri = f"https://c.example/cb?{name}=evil&x=1&{name}&issuer=2"

    answer = add_query(uri, {"code": "ours", "state": "s", "iss": ISSUER})

    assert parse_qsl(urlsplit(answer).query, keep_blank_values=True) == [
        ("x", "1"),
        ("issuer", "2"),
        ("code", "ours"),
        ("state", "s"),
        ("iss", ISSUER),
    ]
