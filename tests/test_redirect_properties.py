"""Redirect URIs against a second, naive reading of the rules, and against three URL parsers."""

from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl

from auth.redirect_uris import (
    add_query,
    check_redirect_uri,
    matches_redirect_uri,
    redirect_destination,
)

pytestmark = pytest.mark.slow

HOSTS = [
    "127.0.0.1",
    "[::1]",
    "localhost",
    "LOCALHOST",
    "c.example",
    "C.example",
    "xn--pple-43d.com",
    "xn--a",
    "127.0.0.2",
    "127.1",
    "0x7f.1",
    "[::ffff:7f00:1]",
    "[2001:DB8::1]",
    "1.2.3",
    "a.0x1",
    "localhost.",
    "аpple.com",
    "u@c.example",
    "c.example\\@e.example",
    "%63.example",
    "",
]
PIECES = st.sampled_from(
    [*"/?#&=:;@%.\\*[] \t\n%<'é", "//", "..", "%2e", "%2f", "%00", "cb", "x=1", "iss=x", "%7E"]
)
TAILS = st.lists(PIECES, max_size=6).map("".join)
URIS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https:", "http:", "app:", "com.example.app:", "HTTPS:", "javascript:", ""]),
    st.sampled_from(["//", "//", "//", "/", "", "\\\\", "///"]),
    st.sampled_from(HOSTS) | st.text(max_size=5),
    st.sampled_from(["", "", ":", ":0", ":1", ":80", ":443", ":8080", ":65535", ":65536", ":x"]),
    TAILS,
)
# Mostly well-formed, so that enough of them pass: what a parser could stumble on is rare in each.
PASSING = st.builds(
    "{}://{}{}{}{}".format,
    st.sampled_from(["https", "https", "app", "com.example.app"]),
    st.sampled_from(HOSTS[:9]) | st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True),
    st.sampled_from(["", "", "", ":1", ":443", ":65535", ":80"]),
    st.lists(
        st.sampled_from(["/", "cb", "%7E", "..", ".", "%2e", "@", ":", ";", "'", "//", "~"]),
        max_size=3,
    ).map(lambda pieces: "/" + "".join(pieces)),
    st.sampled_from(["", "", "?", "?x=1", "?x=1&iss=x", "?i%73s=x&y", "?/../#", "?a@b:c//d"]),
).filter(lambda uri: check_redirect_uri(uri, is_public=True) is None)


def naive_match(registered: str, presented: str) -> bool:
    """RFC 9700 §4.1.3 and RFC 8252 §7.3 word by word, for URIs that were judged well-formed."""
    if registered == presented:
        return True
    for host in ("127.0.0.1", "[::1]", "localhost"):
        origin = f"http://{host}"
        if not (registered.startswith(origin) and presented.startswith(origin)):
            continue
        tails = []
        for uri in (registered, presented):
            tail = uri[len(origin) :]
            if tail.startswith(":"):
                port = ""
                for character in tail[1:]:
                    if character not in "0123456789":
                        break
                    port += character
                if port != port.lstrip("0") or not port or int(port) > 65535:
                    return False
                tail = tail[1 + len(port) :]
            if tail and tail[0] not in "/?":
                return False
            tails.append(tail)
        return tails[0] == tails[1]
    return False


@given(st.data())
def test_matching_is_what_the_rules_say(data: st.DataObject) -> None:
    registered = data.draw(URIS)
    head, separator, tail = registered.partition("//")
    host = tail.partition("/")[0].partition(":")[0]
    relatives = st.sampled_from(
        [
            registered,
            registered + "/",
            registered.replace("//", f"//{host}:1", 1),
            registered.replace(":8080", ":9999"),
            registered.replace("/", ":7/", 1),
            f"{head}{separator}{host}:5000/{tail.partition('/')[2]}",
        ]
    )
    presented = data.draw(relatives | URIS)

    assert matches_redirect_uri([registered], presented) == naive_match(registered, presented)


@given(PASSING)
def test_what_may_be_registered_reads_alike_in_every_parser(uri: str) -> None:
    by_urllib, by_httpx, by_pydantic = urlsplit(uri), httpx2.URL(uri), AnyUrl(uri)

    assert by_urllib.scheme == by_httpx.scheme == by_pydantic.scheme
    hosts = {
        (by_urllib.hostname or "").strip("[]").lower(),
        by_httpx.raw_host.decode().strip("[]").lower(),
        (by_pydantic.host or "").strip("[]").lower(),
    }
    assert len(hosts) == 1
    default = {"https": 443}.get(by_urllib.scheme)
    assert len({url.port or default for url in (by_urllib, by_httpx, by_pydantic)}) == 1
    assert by_urllib.path == by_httpx.raw_path.decode().partition("?")[0] == by_pydantic.path
    assert {by_urllib.username, by_httpx.userinfo, by_pydantic.username} == {None, b""}
    assert {by_urllib.fragment, by_httpx.fragment, by_pydantic.fragment} == {"", None}
    assert redirect_destination(uri).text.strip("[]") in {*hosts, by_urllib.scheme}


@given(PASSING)
def test_what_may_be_registered_matches_itself(uri: str) -> None:
    assert matches_redirect_uri([uri], uri)


@given(st.text(max_size=40))
def test_any_text_is_judged(uri: str) -> None:
    check_redirect_uri(uri, is_public=True)
    assert not matches_redirect_uri(["https://c.example/cb", "http://127.0.0.1/cb"], uri)


@given(
    PASSING,
    st.dictionaries(
        st.sampled_from(["code", "state", "iss", "error"]), st.text(max_size=20), min_size=1
    ),
)
def test_the_answer_keeps_what_was_there_and_adds_ours_once(
    uri: str, params: dict[str, str]
) -> None:
    answer = add_query(uri, params)

    before = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    after = parse_qsl(urlsplit(answer).query, keep_blank_values=True)
    assert after == [pair for pair in before if pair[0] != "iss"] + list(params.items())
    assert answer.startswith(uri.partition("?")[0] + "?")
    if "iss" not in {name for name, _ in before}:
        assert answer.startswith(uri)
