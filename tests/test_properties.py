"""What is read and written, for every input: forms, seals, credentials, challenges, scopes."""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from auth.client_authentication import Credentials, read_credentials
from auth.clients import open_client_id, seal_client
from auth.credentials import KeyRing
from auth.errors import InvalidClient, InvalidRequest
from auth.http import MAX_FIELDS, Form, read_query
from auth.models import Client, Identity
from auth.pkce import challenge_of, is_challenge, matches
from auth.scopes import ScopeCatalogue, is_scope, split
from auth.tokens import read_refresh_token, refresh_token
from origins import Origins
from resource_server.challenges import OFFLINE_ACCESS, challenge

pytestmark = pytest.mark.slow

KEYS = KeyRing([b"a newer key of the tests", b"an older key of the tests"])
ORIGIN = Origins(()).select("127.0.0.1:8000")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Few names, so that they repeat; the one that may.
names = st.sampled_from(["a", "b", "client_id", "resource", "é", "", "a[]", "A"])
pairs = st.lists(st.tuples(names, texts), max_size=8)
letters = st.characters(max_codepoint=0x100)
verifiers = st.from_regex(r"[A-Za-z0-9._~-]{43,128}", fullmatch=True)
scope_tokens = st.from_regex(r"[\x21\x23-\x5b\x5d-\x7e]{1,6}", fullmatch=True)
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)


def request(query: bytes = b"", *authorization: bytes) -> Request:
    headers = [(b"authorization", value) for value in authorization]
    return Request({"type": "http", "query_string": query, "headers": headers})


def one_change(text: str, position: int, letter: str) -> list[str]:
    """The text with one letter changed, put in, taken out, or cut off there."""
    at = position % (len(text) + 1)
    head, tail = text[:at], text[at:]
    changed = [head + letter + tail[1:], head + letter + tail, head + tail[1:], head]
    return [other for other in changed if other != text]


# Forms


@given(pairs)
def test_a_form_is_read_as_it_was_written(written: list[tuple[str, str]]) -> None:
    form = read_query(request(urlencode(written).encode()))

    present = [pair for pair in written if pair[1]]
    others = [name for name, _ in present if name != "resource"]
    assert form.resources == tuple(value for name, value in present if name == "resource")
    assert form.repeated == {name for name, number in Counter(others).items() if number > 1}
    assert form.values.keys() == {*others}
    assert all((name, value) in present for name, value in form.values.items())


@given(pairs.flatmap(lambda written: st.tuples(st.just(written), st.permutations(written))))
def test_the_order_of_parameters_says_nothing(
    orders: tuple[list[tuple[str, str]], list[tuple[str, str]]],
) -> None:
    one, other = map(Form.of, orders)

    assert one.repeated == other.repeated
    assert sorted(one.resources) == sorted(other.resources)
    for name in one.values.keys() - one.repeated:
        assert one.values[name] == other.values[name]


def naive_form(query: bytes) -> list[tuple[str, str]] | None:
    """URL Standard §5.1, but strict: ASCII alone, and what is escaped is UTF-8."""
    read = []
    for part in query.split(b"&"):
        sides = []
        for side in part.split(b"=", 1):
            unescaped = re.sub(
                rb"%([0-9A-Fa-f]{2})",
                lambda found: bytes([int(found[1], 16)]),
                side.replace(b"+", b" "),
            )
            try:
                side.decode("ascii")
                sides.append(unescaped.decode())
            except UnicodeDecodeError:
                return None
        read.append((sides[0], sides[1] if len(sides) > 1 else ""))
    return read if query.count(b"&") < MAX_FIELDS else None


@given(
    st.lists(
        st.sampled_from(
            [b"&", b"=", b"+", b"%", b"%2", b"%41", b"%c3%a9", b"%ff", b";", b"a", b"%00"]
        )
        | st.binary(max_size=2),
        max_size=12,
    ).map(b"".join)
)
def test_any_bytes_are_one_form_or_none(query: bytes) -> None:
    expected = naive_form(query)
    try:
        form = read_query(request(query))
    except InvalidRequest:
        assert expected is None
    else:
        assert expected is not None
        assert form == Form.of(expected)


# What is sealed


clients = st.builds(
    Client,
    client_id=st.just(""),
    client_name=texts,
    redirect_uris=st.lists(texts, max_size=3).map(tuple),
    identity=st.just(Identity.SELF_DECLARED),
    token_endpoint_auth_method=st.sampled_from(["none", "client_secret_basic"]),
    scope=st.none() | texts,
    registered_at=st.integers(0, 1 << 40),
)


@given(clients, st.integers(0, 1000), letters)
def test_a_client_id_opens_as_it_was_sealed_or_not_at_all(
    client: Client, position: int, letter: str
) -> None:
    client_id = seal_client(KEYS, client)
    opened = open_client_id(KEYS, client_id)

    assert opened is not None
    assert seal_client(KEYS, opened) == client_id
    for changed in one_change(client_id, position, letter):
        assert open_client_id(KEYS, changed) is None


@pytest.mark.parametrize("purpose", ["form sign_in.html", "client registration"])
def test_no_seal_has_a_second_spelling(purpose: str) -> None:
    """The last letter of 32 bytes in base64 has two bits that mean nothing."""
    sealed = KEYS.seal(purpose, ["payload"])
    spare = ["+", "/", "=", *"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"]
    endings = [sealed[:-1] + letter for letter in spare if letter != sealed[-1]]
    for other in [*endings, sealed + "=", sealed + "==", sealed.replace("-", "+") + "\n"]:
        assert KEYS.unseal(purpose, other) is None


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1), st.integers(0, 80), letters)
def test_a_refresh_token_is_one_of_ours_or_none(
    handle: bytes, generation: int, position: int, letter: str
) -> None:
    token = refresh_token(KEYS, handle, generation)
    read = read_refresh_token(KEYS, token)

    assert read is not None
    assert (read.handle, read.generation) == (handle, generation)
    for changed in one_change(token, position, letter):
        assert read_refresh_token(KEYS, changed) is None


# Credentials and proofs


@given(printable, printable, st.sampled_from([quote_plus, quote]))
def test_basic_credentials_are_read_as_they_were_encoded(
    client_id: str, secret: str, encode: Callable[..., str]
) -> None:
    """RFC 6749 appendix A.1 and A.2: any printable ASCII; form-urlencoded, then joined."""
    joined = f"{encode(client_id, safe='')}:{encode(secret, safe='')}"
    header = b"Basic " + b64encode(joined.encode())

    credentials = read_credentials(request(b"", header), Form.of([]))

    assert credentials == Credentials(client_id, "client_secret_basic", secret)


@given(st.binary(max_size=20) | st.binary(max_size=20).map(lambda raw: b"Basic " + b64encode(raw)))
def test_any_authorization_header_is_read_or_refused(header: bytes) -> None:
    try:
        credentials = read_credentials(request(b"", header), Form.of([]))
    except InvalidClient:
        return
    else:
        assert credentials.client_id
        assert credentials.secret


@given(verifiers, st.integers(0, 200), letters)
def test_only_the_verifier_itself_matches_its_challenge(
    verifier: str, position: int, letter: str
) -> None:
    code_challenge = challenge_of(verifier)

    assert is_challenge(code_challenge)
    assert matches(verifier, code_challenge)
    assert not matches(verifier, verifier)
    assert not any(
        matches(other, code_challenge) for other in one_change(verifier, position, letter)
    )
    assert not any(
        matches(verifier, other) for other in one_change(code_challenge, position, letter)
    )


# Challenges


def read_challenge(value: str) -> tuple[str, dict[str, str]]:
    """RFC 9110 §11.2 and §5.6.4, letter by letter: a scheme and its parameters, all quoted."""
    scheme, _, rest = value.partition(" ")
    parameters: dict[str, str] = {}
    while rest:
        name, equals, rest = rest.partition('="')
        assert equals
        assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
        assert name not in parameters
        text = ""
        while rest[0] != '"':
            if rest[0] == "\\":
                rest = rest[1:]
            assert rest[0] == "\t" or " " <= rest[0] <= "~"
            text, rest = text + rest[0], rest[1:]
        parameters[name], rest = text, rest[1:]
        if rest:
            assert rest.startswith(", ")
            rest = rest[2:]
    return scheme, parameters


@given(
    st.lists(scope_tokens | st.just(OFFLINE_ACCESS) | texts.filter(bool), max_size=3),
    st.none() | scope_tokens,
    st.none() | texts | printable,
)
def test_a_challenge_reads_back_as_it_was_meant_or_is_not_made(
    scopes: list[str], error: str | None, description: str | None
) -> None:
    assert ORIGIN is not None
    try:
        value = challenge(ORIGIN, scopes, error, description)
    except ValueError:
        assert not all(
            re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]*", text)
            for text in (*scopes, error or "", description or "")
        )
        return
    expected = {
        "error": error,
        "resource_metadata": ORIGIN.resource_metadata_url,
        "scope": " ".join(scope for scope in scopes if scope != OFFLINE_ACCESS) or None,
        "error_description": description,
    }
    present = {name: text for name, text in expected.items() if text is not None}
    assert read_challenge(value) == ("Bearer", present)


# Scopes

some_scopes = st.lists(scope_tokens, max_size=5, unique=True)


@given(st.lists(scope_tokens, min_size=1, max_size=6))
def test_scopes_are_split_as_they_were_joined(scopes: list[str]) -> None:
    joined = " ".join(scopes)

    assert is_scope(joined)
    assert split(joined) == tuple(dict.fromkeys(scopes))
    assert split(" ".join(split(joined))) == split(joined)


@given(st.text(max_size=10))
def test_what_is_no_scope_by_its_letters_is_none(text: str) -> None:
    naive = all(letter in " !" or "#" <= letter <= "[" or "]" <= letter <= "~" for letter in text)
    assert is_scope(text) == naive


@given(supported=some_scopes, asked=some_scopes, more=some_scopes, is_limited=st.booleans())
def test_narrowing_takes_away_and_keeps_the_order(
    supported: list[str], asked: list[str], more: list[str], *, is_limited: bool
) -> None:
    catalogue = ScopeCatalogue(tuple(supported), tuple(supported[:1]), {}, {})
    identity = Identity.PREREGISTERED if is_limited else Identity.SELF_DECLARED
    client = Client("c", "c", (), identity, scope=" ".join(supported[::2]) or None)
    narrowed = catalogue.narrow(tuple(asked), client)

    assert {*narrowed} <= {*supported} & {*asked}
    assert list(narrowed) == [scope for scope in supported if scope in narrowed]
    assert catalogue.narrow(narrowed, client) == narrowed
    assert {*narrowed} <= {*catalogue.narrow((*asked, *more), client)}
    assert {*catalogue.requested(" ".join(asked), client)} <= {*supported}
    if is_limited:
        assert {*narrowed} <= {*supported[::2]}
