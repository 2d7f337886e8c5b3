"""Where two readers could understand one thing differently, neither is asked (RFC 9700 §4.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.credentials import KeyRing
from tests.asgi_stream import Exchange, body
from tests.kit import KEY, REDIRECT_URI, World, authorization_request, error_of, token_request
from tests.resource_server_kit import asgi_scope
from tests.security.kit import FORM, PAGES, assert_refused, encoded

KEYS = KeyRing([KEY.encode()])


@pytest.mark.parametrize(
    "more",
    [
        ("client_id", "client_other"),
        ("grant_type", "refresh_token"),
        ("code", "mcp_ac_other"),
        ("code_verifier", "x" * 43),
        ("redirect_uri", "https://evil.example/"),
        ("client_id", ""),
        ("%63lient_id", "client_other"),
    ],
)
async def test_of_two_values_neither_wins(world: World, more: tuple[str, str]) -> None:
    """Without it a proxy checks the first and the server believes the last."""
    client = await world.register()
    code = await world.code(client)
    form = token_request(client, code)
    name = more[0].replace("%63", "c")
    content = encoded(form) + f"&{more[0]}={more[1]}".encode()
    response = await world.http.post("/oauth/token", content=content, headers=FORM)
    if more[1]:
        assert error_of(response) == (400, "invalid_request"), name
        assert (await world.exchange(client, code)).status_code == 200
    else:  # an empty parameter is an absent one (OAuth 2.1 §3.1)
        assert response.status_code == 200


@pytest.mark.parametrize("separator", [";", "%26", "\u0026amp;"])
async def test_only_one_sign_separates_parameters(world: World, separator: str) -> None:
    """Without it `;` splits for one reader and not for another (CVE-2021-23336)."""
    client = await world.register()
    code = await world.code(client)
    content = f"x=1{separator}client_id=client_other&".encode() + encoded(
        token_request(client, code)
    )
    response = await world.http.post("/oauth/token", content=content, headers=FORM)
    assert response.status_code == 200  # it is all the value of x, or of a name that is not ours


@pytest.mark.parametrize(
    "content",
    [
        b"client_id=\xff",
        b"client_id=%ff",
        b"client_id=%c0%ae",
        b"client_id=%ed%a0%80",
        "client_id=ü".encode(),
        b"%",
        b"=&=&=",
        b"\0=\0",
    ],
)
@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/authorize", "/oauth/sign-in"])
async def test_bytes_that_are_no_text_are_refused(world: World, path: str, content: bytes) -> None:
    """Without it what one reader replaces another keeps."""
    response = await world.http.post(path, content=content, headers=FORM)
    assert_refused(response, 400, 401, 403)


@pytest.mark.parametrize("path", [*PAGES, "/nothing", "/mcp", "/readyz", "/oauth/token"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_a_query_that_is_no_text_is_no_failure_of_ours(
    world: World, path: str, accept: str
) -> None:
    """Without it a server that does not refuse such bytes itself answers 500 and logs a fault."""
    scope = asgi_scope("GET", Accept=accept)
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"ui_locales=\xff"}
    status, _ = await Exchange(world.app, scope, body(b"")).start()
    assert status < 500


@pytest.mark.parametrize(
    "body",
    [
        b'{"redirect_uris":["%s"],"redirect_uris":["https://evil.example/"]}',
        b'{"redirect_uris":["%s"],"redirect\\u005furis":["https://evil.example/"]}',
        b'{"redirect_uris":["%s"],"client_name":NaN}',
        b'{"redirect_uris":["%s"]}{}',
        b'\xef\xbb\xbf{"redirect_uris":["%s"]}',
        b"{'redirect_uris':['%s']}",
        b'{"redirect_uris":["%s"],}',
        b'{"redirect_uris":"%s"}',
        b'{"redirect_uris":["%s"],"software_id":"\\ud800"}',
        b'{"redirect_uris":["%s"],"client_name":"\\udc00\\ud800"}',
        b'{"redirect_uris":["%s"],"\\udfff":1}',
    ],
)
async def test_json_has_one_reading(world: World, body: bytes) -> None:
    """Without it the member that was checked is not the member that is used."""
    response = await world.http.post(
        "/oauth/register",
        content=body % REDIRECT_URI.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert_refused(response, 400)


@pytest.mark.slow
@given(st.data())
def test_what_is_sealed_opens_whole_or_not_at_all(data: st.DataObject) -> None:
    """Without it a client id, a form or a cookie can be changed on the way."""
    payload = data.draw(st.dictionaries(st.text(max_size=4), st.text(max_size=9), max_size=3))
    sealed = KEYS.seal("test", payload)
    assert KEYS.unseal("test", sealed) == payload
    position = data.draw(st.integers(0, len(sealed) - 1))
    letter = data.draw(st.characters(max_codepoint=126, exclude_characters=sealed[position]))
    for changed in (
        sealed[:position] + letter + sealed[position + 1 :],
        sealed[:position],
        sealed + letter,
        letter + sealed,
    ):
        assert KEYS.unseal("test", changed) in (None, payload)
        assert KEYS.unseal("other", changed) is None
    assert KeyRing([b"another key"]).unseal("test", sealed) is None


@pytest.mark.parametrize(
    ("registered", "asked"),
    [("client_ı", "client_i"), ("cafe\u0301", "caf\u00e9"), ("Ａ", "A"), ("ß", "ss")],
)
async def test_no_name_is_folded_into_another(world: World, registered: str, asked: str) -> None:
    """Without it Unicode gives a stranger the name that was checked."""
    for client_id in (registered, asked):
        request = authorization_request({"client_id": client_id, "redirect_uris": [REDIRECT_URI]})
        response = await world.http.get("/oauth/authorize", params=request)
        assert error_of(response) == (400, "invalid_client")
