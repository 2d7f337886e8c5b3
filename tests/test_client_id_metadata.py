"""Client ID Metadata Documents: which URLs are clients, what the documents may say (CIMD)."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from auth.client_id_metadata import (
    ClientMetadataDocuments,
    DocumentInvalid,
    DocumentUnreachable,
    InvalidPin,
    is_client_id_url,
    load_pins,
)
from auth.client_metadata_document import read_client_metadata_document
from auth.jwks import JwksDocuments
from auth.limit_storage import BoundedMemory
from auth.limits import Limit
from auth.models import Client, Identity
from auth.safe_fetch import SafeFetcher
from tests.clock import Clock
from tests.web_host import ADDRESS, HOST, Authority, WebHost, answer, new_authority, web_host

URL = "https://c.example/client.json"
PUBLIC_KEY = {"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiM"}
GOOD: Mapping[str, Any] = {
    "client_id": URL,
    "client_name": "An example",
    "redirect_uris": ["https://c.example/cb", "http://localhost/cb"],
}


def document(**changes: Any) -> bytes:
    """A good document with some members changed; `...` leaves one out."""
    members = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    "client_id",
    [
        "https://claude.ai/oauth/mcp-oauth-client-metadata",
        "https://c.example/client.json",
        "https://c.example:8443/client.json",
        "https://c.example/client?v=1",
        "https://c.example/a/",
        "https://xn--pple-43d.com/c",
    ],
)
def test_an_https_url_with_a_path_is_a_client_id(client_id: str) -> None:
    assert is_client_id_url(client_id)
    assert is_client_id_url(client_id, allow_loopback=True)


@pytest.mark.parametrize(
    "client_id",
    [
        "",
        "client_abc",
        "my-client",
        "http://c.example/m.json",
        "https://c.example",
        "https://c.example/",
        "https://c.example?x=1",
        "https://c.example/m?",
        "https://c.example/m#",
        "https://c.example/m#f",
        "https://u@c.example/m",
        "https://u:p@c.example/m",
        "https://c.example/./m",
        "https://c.example/../m",
        "https://c.example/m/..",
        "https://c.example/%2e%2e/m",
        "https://c.example/m\t",
        "https://c.example/\tm",
        "https://c.example\\m",
        "https:\\\\c.example\\m",
        "https:c.example/m",
        "https:/c.example/m",
        "https:///m",
        "HTTPS://c.example/m",
        "https://C.example/m",
        "https://127.1/m",
        "https://0x7f000001/m",
        "https://*.example/m",
        "https://аpple.com/m",
        "cursor://c.example/m",
        "https://c.example/" + "m" * 2040,
    ],
)
def test_no_other_string_is_a_client_id_url(client_id: str) -> None:
    assert not is_client_id_url(client_id)
    assert not is_client_id_url(client_id, allow_loopback=True)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
def test_http_on_this_machine_is_for_development_only(host: str) -> None:
    assert not is_client_id_url(f"http://{host}/client.json")
    assert is_client_id_url(f"http://{host}/client.json", allow_loopback=True)


def test_a_document_describes_a_client() -> None:
    content = document(
        client_uri="https://c.example",
        logo_uri="https://c.example/logo.png",
        tos_uri="",
        policy_uri=None,
        scope="user",
        grant_types=["authorization_code", "urn:example:other"],
        response_types=["code"],
        application_type="native",
        software_id="x",
    )

    assert read_client_metadata_document(content, URL) == Client(
        client_id=URL,
        client_name="An example",
        redirect_uris=("https://c.example/cb", "http://localhost/cb"),
        identity=Identity.METADATA_DOCUMENT,
        grant_types=("authorization_code",),
        scope="user",
        client_uri="https://c.example",
        logo_uri="https://c.example/logo.png",
    )


def test_what_a_document_leaves_out_has_the_widest_meaning() -> None:
    client = read_client_metadata_document(document(scope=""), URL)

    assert client.token_endpoint_auth_method == "none"
    assert client.grant_types == ("authorization_code", "refresh_token")
    assert client.scope is None
    assert client.client_uri is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": ...}, "client_id is missing"),
        ({"client_id": 7}, "client_id is missing or of the wrong type"),
        *(
            ({"client_id": client_id}, "not the URL it was fetched from")
            for client_id in (
                "https://C.example/client.json",
                "https://c.example:443/client.json",
                "https://c.example/client.json/",
                "https://c.example/%63lient.json",
                "https://c.example/client.json ",
                "https://evil.example/client.json",
                "",
            )
        ),
        ({"client_name": ...}, "client_name is missing"),
        ({"client_name": ""}, "client_name is empty"),
        ({"client_name": " \u202e "}, "client_name is empty"),
        ({"client_name": ["x"]}, "client_name is missing or of the wrong type"),
        ({"redirect_uris": ...}, "redirect_uris is missing"),
        ({"redirect_uris": []}, "redirect_uris are empty"),
        ({"redirect_uris": "https://c.example/cb"}, "redirect_uris is missing or of the wrong"),
        ({"redirect_uris": [None]}, "redirect_uris is missing or of the wrong"),
        (
            {"redirect_uris": ["https://c.example/cb", "http://c.example/cb"]},
            r"redirect_uris\[1\] must use https",
        ),
        ({"redirect_uris": ["javascript:alert(1)"]}, r"redirect_uris\[0\]"),
        ({"redirect_uris": ["https://*.example/"]}, "wildcard"),
        ({"client_secret": "s"}, "must not have client_secret"),
        ({"client_secret": None}, "must not have client_secret"),
        ({"client_secret_expires_at": 0}, "must not have client_secret_expires_at"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "by a secret"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "by a secret"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "by a secret"),
        ({"token_endpoint_auth_methods_supported": ["none", "client_secret_post"]}, "by a secret"),
        (
            {
                "token_endpoint_auth_method": "none",
                "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
            },
            "by a secret",
        ),
        (
            {
                "token_endpoint_auth_method": "none",
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            },
            "not among those",
        ),
        ({"token_endpoint_auth_method": "tls_client_auth"}, "none or private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": []}, "none or private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": ["x"]}, "none or private_key_jwt"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "jwks or jwks_uri"),
        (
            {"jwks": {"keys": [PUBLIC_KEY]}, "jwks_uri": "https://c.example/jwks.json"},
            "both jwks and jwks_uri",
        ),
        ({"jwks": {"keys": []}}, "jwks must be"),
        ({"jwks": {"keys": [PUBLIC_KEY] * 21}}, "jwks must be"),
        ({"jwks": {}}, "jwks must be"),
        ({"jwks": {"keys": ["x"]}}, "key type"),
        ({"jwks": {"keys": [{"x": "y"}]}}, "key type"),
        ({"jwks": {"keys": [PUBLIC_KEY, {**PUBLIC_KEY, "d": "x"}]}}, "private"),
        ({"jwks": {"keys": [{"kty": "oct", "kid": "x"}]}}, "private"),
        ({"jwks": "x"}, "jwks is missing or of the wrong type"),
        (
            {
                "token_endpoint_auth_method": "private_key_jwt",
                "jwks_uri": "http://c.example/jwks.json",
            },
            "jwks_uri must use https",
        ),
        ({"grant_types": ["client_credentials"]}, "include authorization_code"),
        ({"grant_types": "authorization_code"}, "grant_types is missing or of the wrong type"),
        ({"response_types": ["token"]}, "include code"),
        ({"scope": ["user"]}, "scope is missing or of the wrong type"),
    ],
)
def test_a_document_that_breaks_a_rule_is_invalid(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DocumentInvalid, match=reason):
        read_client_metadata_document(document(**changes), URL)


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "http://c.example", "data://x/y", "https://u@c.example/", 7, []]
)
def test_a_link_that_is_of_no_use_is_left_out(uri: object) -> None:
    unused = {"tos_uri": uri, "policy_uri": uri}
    client = read_client_metadata_document(
        document(client_uri=uri, logo_uri=uri, jwks_uri="javascript:alert(1)", **unused), URL
    )
    assert client == read_client_metadata_document(document(), URL)


def test_a_name_is_kept_as_far_as_it_can_be_shown() -> None:
    client = read_client_metadata_document(document(client_name=" a\u202eb\nc" + "x" * 200), URL)
    assert client.client_name == "ab c" + "x" * 95 + "…"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b"\xff{}",
        b"\xef\xbb\xbf" + document(),
        document().decode().encode("utf-16"),
        document() + b"x",
        document().replace(b'"client_name"', b'"redirect_uris": [], "client_name"'),
        document()[:-1] + b', "x": {"y": 1, "y": 2}}',
        document()[:-1] + b', "x": NaN}',
        document()[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        b"[" * 5000,
    ],
)
def test_what_is_not_one_plain_json_object_is_invalid(content: bytes) -> None:
    with pytest.raises(DocumentInvalid, match="JSON"):
        read_client_metadata_document(content, URL)


@pytest.mark.parametrize(
    ("said", "method"),
    [
        ({"token_endpoint_auth_method": "none"}, "none"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": ["x", "private_key_jwt"]}, "private_key_jwt"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt", "none"]}, "none"),
        (
            {
                "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
            },
            "private_key_jwt",
        ),
        ({}, "none"),
    ],
)
def test_a_client_authenticates_as_its_document_says(said: dict[str, Any], method: str) -> None:
    client = read_client_metadata_document(
        document(jwks_uri="https://c.example/jwks.json", **said), URL
    )

    assert client.token_endpoint_auth_method == method
    assert client.jwks_uri == "https://c.example/jwks.json"


def test_the_keys_of_a_document_are_kept() -> None:
    client = read_client_metadata_document(document(jwks={"keys": [PUBLIC_KEY]}), URL)

    assert json.loads(client.jwks or "") == {"keys": [PUBLIC_KEY]}


def test_private_use_redirects_are_for_clients_without_keys() -> None:
    content = {"redirect_uris": ["com.example.app:/cb"], "jwks": {"keys": [PUBLIC_KEY]}}

    assert read_client_metadata_document(document(**content), URL).redirect_uris
    with pytest.raises(DocumentInvalid, match="public clients"):
        read_client_metadata_document(
            document(**content, token_endpoint_auth_method="private_key_jwt"), URL
        )


# From here on documents come from a host.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def web(authority: Authority) -> AsyncIterator[WebHost]:
    async with web_host(authority.server) as web:
        web.answers = [answer(document(client_id=web.url), Cache_Control="max-age=600")]
        yield web


@pytest.fixture
def fetcher(authority: Authority, clock: Clock) -> SafeFetcher:
    return new_fetcher(authority, clock, "60/minute")


def new_fetcher(authority: Authority, clock: Clock, limit: str) -> SafeFetcher:
    async def resolve(_: str, __: int) -> list[str]:
        return [ADDRESS]

    return SafeFetcher(
        limit=Limit("fetch", limit, BoundedMemory(clock)),
        resolve=resolve,
        is_permitted=lambda address: address == ip_address(ADDRESS),
        tls=authority.client,
    )


async def test_a_client_is_found_by_its_url_and_remembered(
    web: WebHost, fetcher: SafeFetcher, clock: Clock
) -> None:
    documents = ClientMetadataDocuments(fetcher, clock)

    client = await documents.find(web.url)
    assert client.client_id == web.url
    assert client.client_name == "An example"
    clock.advance(599)
    assert await documents.find(web.url) == client
    assert len(web.requests) == 1
    clock.advance(1)
    web.answers = [answer(document(client_id=web.url, client_name="Another"))]
    assert (await documents.find(web.url)).client_name == "Another"


async def test_a_hundred_requests_at_once_fetch_a_document_once(
    web: WebHost, fetcher: SafeFetcher, clock: Clock
) -> None:
    documents = ClientMetadataDocuments(fetcher, clock)

    await asyncio.gather(*(documents.find(web.url) for _ in range(100)))

    assert web.connections == 1


async def test_after_an_error_the_next_request_works(
    web: WebHost, fetcher: SafeFetcher, clock: Clock
) -> None:
    documents = ClientMetadataDocuments(fetcher, clock)
    web.answers = [answer(b"", "500 X"), answer(b"{"), answer(document()), *web.answers]

    with pytest.raises(DocumentUnreachable, match="500"):
        await documents.find(web.url)
    with pytest.raises(DocumentInvalid, match="JSON"):
        await documents.find(web.url)
    with pytest.raises(DocumentInvalid, match="not the URL"):
        await documents.find(web.url)
    assert (await documents.find(web.url)).client_id == web.url


async def test_a_document_has_five_kilobytes_at_most(
    web: WebHost, fetcher: SafeFetcher, clock: Clock
) -> None:
    web.answers = [answer(document(client_id=web.url) + b" " * 5120)]

    with pytest.raises(DocumentInvalid, match="5120"):
        await ClientMetadataDocuments(fetcher, clock).find(web.url)


async def test_only_the_hosts_on_the_list_have_clients_here(
    web: WebHost, fetcher: SafeFetcher, clock: Clock
) -> None:
    listed = ClientMetadataDocuments(fetcher, clock, hosts=(HOST.upper(),))
    unlisted = ClientMetadataDocuments(fetcher, clock, hosts=("d.example",))

    assert (await listed.find(web.url)).client_id == web.url
    with pytest.raises(DocumentInvalid, match="host"):
        await unlisted.find(web.url)
    assert web.connections == 1


async def test_a_pinned_document_is_used_instead_of_the_one_on_the_web(
    web: WebHost, fetcher: SafeFetcher, clock: Clock, tmp_path: Path
) -> None:
    pin = tmp_path / "c.json"
    pin.write_bytes(document(client_id=web.url, client_name="Pinned"))
    (tmp_path / "README").write_text("not a document")
    for path in (pin, tmp_path):
        documents = ClientMetadataDocuments(
            fetcher, clock, hosts=("d.example",), pins=load_pins(path)
        )

        assert (await documents.find(web.url)).client_name == "Pinned"
    assert web.connections == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[]", "client_id"),
        (b"{}", "client_id"),
        (document(client_id="my-client"), "client_id"),
        (document(redirect_uris=[]), "redirect_uris are empty"),
    ],
)
def test_a_bad_pin_is_reported_with_its_file(tmp_path: Path, content: bytes, reason: str) -> None:
    pin = tmp_path / "bad.json"
    pin.write_bytes(content)

    with pytest.raises(InvalidPin, match=rf"bad\.json: .*{reason}"):
        load_pins(tmp_path)


def test_a_pin_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidPin, match="cannot be read"):
        load_pins(tmp_path / "missing.json")


async def test_key_sets_are_fetched_as_safely_and_anew_when_asked(
    web: WebHost, fetcher: SafeFetcher, clock: Clock
) -> None:
    def keys(kid: str) -> bytes:
        return answer(json.dumps({"keys": [{**PUBLIC_KEY, "kid": kid}]}).encode())

    key_sets = JwksDocuments(fetcher, clock)
    web.answers = [keys("1"), keys("2")]

    assert '"kid":"1"' in await key_sets.fetch(web.url)
    clock.advance(29)
    assert '"kid":"1"' in await key_sets.fetch(web.url, anew=True)
    clock.advance(1)
    assert '"kid":"1"' in await key_sets.fetch(web.url)
    assert '"kid":"2"' in await key_sets.fetch(web.url, anew=True)


async def test_key_sets_that_strangers_make_up_keep_no_known_one_from_being_fetched(
    web: WebHost, authority: Authority, clock: Clock
) -> None:
    key_sets = JwksDocuments(new_fetcher(authority, clock, "2/minute"), clock)
    web.answers = [
        answer(json.dumps({"keys": [PUBLIC_KEY]}).encode()),
        answer(b"", "404 Not Found"),
    ]
    before = await key_sets.fetch(web.url)
    clock.advance(30)
    with pytest.raises(DocumentUnreachable, match="404"):
        await key_sets.fetch(f"{web.url}?made-up")
    with pytest.raises(DocumentUnreachable, match="too often"):
        await key_sets.fetch(f"{web.url}?another")

    web.answers = [answer(json.dumps({"keys": [{**PUBLIC_KEY, "kid": "new"}]}).encode())]
    assert await key_sets.fetch(web.url, anew=True) != before


@pytest.mark.parametrize(
    "content", [b"{", b'{"keys":[]}', b'{"keys":[{"kty":"RSA","d":"x"}]}', b"7"]
)
async def test_what_is_no_public_key_set_is_invalid(
    web: WebHost, fetcher: SafeFetcher, clock: Clock, content: bytes
) -> None:
    web.answers = [answer(content)]

    with pytest.raises(DocumentInvalid):
        await JwksDocuments(fetcher, clock).fetch(web.url)
