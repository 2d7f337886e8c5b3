"""Dynamic client registration (RFC 7591)."""

from hashlib import sha512
from typing import Any

import pytest

from auth.clients import open_client_id
from auth.credentials import KeyRing
from tests.kit import KEY, REDIRECT_URI, World, changed, error_of, registration


async def test_a_client_is_told_everything_that_was_registered(world: World) -> None:
    response = await world.http.post("/oauth/register", json=registration(software_id="a-1"))
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer.pop("client_id").startswith("client_")
    assert answer == {
        "client_id_issued_at": world.clock(),
        "client_name": "Test client",
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "scope": "user user:write",
        "software_id": "a-1",
    }


async def test_a_client_that_names_no_method_gets_a_secret(world: World) -> None:
    answer = await world.register(token_endpoint_auth_method=None)
    assert answer["token_endpoint_auth_method"] == "client_secret_basic"
    assert answer["client_secret"].startswith("mcp_cs_")
    assert answer["client_secret_expires_at"] == 0


async def test_an_app_that_names_no_method_is_public(world: World) -> None:
    uris = ["cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/callback"]
    answer = await world.register(token_endpoint_auth_method=None, redirect_uris=uris)
    assert answer["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in answer


async def test_the_client_id_is_the_registration_itself(world: World) -> None:
    answer = await world.register(scope="user")
    client = open_client_id(KeyRing([KEY.encode()]), answer["client_id"])
    assert client is not None
    assert client.client_name == "Test client"
    assert client.redirect_uris == (REDIRECT_URI,)
    assert client.scope == "user"
    assert client.registered_at == world.clock()


@pytest.mark.parametrize(
    "changes",
    [
        {"resource": "https://mcp.example/mcp", "unknown": {"a": 1}},
        {"scope": "", "client_uri": "", "logo_uri": ""},
        {"client_name": None},
        {"client_name": "天气助手"},
        {"application_type": "native"},
        {"application_type": "web", "redirect_uris": ["http://127.0.0.1/callback"]},
        {"grant_types": None, "response_types": None},
        {"grant_types": ["authorization_code", "implicit", "password"]},
        {"redirect_uris": ["http://localhost:33418/", "https://vscode.dev/redirect"]},
        {"redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback"]},
        {"scope": "user admin offline_access"},
        {"scope": "user "},
        {"scope": " user  user:write"},
        {"scope": " "},
        {"grant_types": [], "response_types": []},
        {"client_uri": "http://client.example/", "logo_uri": 7, "tos_uri": "/terms"},
        {"policy_uri": "javascript:alert(1)", "jwks_uri": "not a URL"},
        {"jwks": {"keys": [{"kty": "EC"}]}},
        {"jwks": {"keys": "none"}},
        {"jwks": []},
        {"application_type": ["web"]},
        {"client_id": "chosen", "client_secret": "chosen", "is_admin": True},
    ],
)
async def test_what_clients_really_send_is_accepted(world: World, changes: dict[str, Any]) -> None:
    answer = await world.register(**changes)
    assert answer["redirect_uris"] == registration(**changes)["redirect_uris"]
    assert set(answer["grant_types"]) <= {"authorization_code", "refresh_token"}
    assert set(answer["scope"].split()) <= {"user", "user:write", "offline_access"}
    assert answer["client_id"] != "chosen"
    assert "client_secret" not in answer
    assert "is_admin" not in answer


@pytest.mark.parametrize("grant_types", [None, []])
async def test_a_client_that_lists_no_grant_types_may_refresh(
    world: World, grant_types: list[str] | None
) -> None:
    answer = await world.register(grant_types=grant_types)
    assert answer["grant_types"] == ["authorization_code", "refresh_token"]


@pytest.mark.parametrize(
    ("said", "echoed"),
    [
        ("web", "web"),
        ("native", "native"),
        ("spa", "spa"),
        ("desktop", "desktop"),
        ("x" * 101, "x" * 100),
        ("", None),
        (7, None),
    ],
)
async def test_what_a_client_calls_its_type_is_echoed_and_decides_nothing(
    world: World, said: object, echoed: str | None
) -> None:
    for uri in (REDIRECT_URI, "http://localhost/callback", "cursor://anysphere.cursor-mcp/oauth"):
        answer = await world.register(application_type=said, redirect_uris=[uri])
        assert answer.get("application_type") == echoed


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 99 + "…"),
        ("a\u202eb", "ab"),
        (" a\n\tb\u00a0c ", "a b c"),
        ("\x00\u200b", None),
    ],
)
async def test_a_name_is_kept_as_far_as_it_can_be_shown(
    world: World, said: str, kept: str | None
) -> None:
    assert (await world.register(client_name=said)).get("client_name") == kept


@pytest.mark.parametrize(
    ("uri", "kept"),
    [
        ("https://client.example/", "https://client.example/"),
        ("http://client.example/", None),
        ("javascript:alert(1)", None),
        ("https://user@client.example/", None),
        ("https://127.1/", None),
        ("client.example", None),
        (["https://client.example/"], None),
    ],
)
async def test_a_link_is_kept_if_it_may_stand_on_a_page_of_ours(
    world: World, uri: object, kept: str | None
) -> None:
    assert (await world.register(client_uri=uri)).get("client_uri") == kept


def incompressible(seed: int) -> str:
    return "".join(sha512(bytes([seed, i])).hexdigest() for i in range(12))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://client.example/"}, "invalid_redirect_uri"),
        ({"redirect_uris": [1]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://client.example/#f"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://client.example/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"https://c{i}.example/" for i in range(11)]}, "invalid_redirect_uri"),
        (
            {"redirect_uris": ["cursor://cb"], "token_endpoint_auth_method": "client_secret_post"},
            "invalid_redirect_uri",
        ),
        (
            {"redirect_uris": [f"https://c.example/{incompressible(i)}" for i in range(9)]},
            "invalid_client_metadata",
        ),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"scope": "us\u00e9r"}, "invalid_client_metadata"),
        ({"scope": "x" * 2049}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
        (
            {"jwks": {"keys": [{"kty": "EC"}]}, "jwks_uri": "https://c.example/jwks"},
            "invalid_client_metadata",
        ),
        ({"jwks": {"keys": [{"kty": "EC", "d": "x"}]}}, "invalid_client_metadata"),
        ({"jwks": {"keys": [{"kty": "oct", "k": "x"}]}}, "invalid_client_metadata"),
    ],
)
async def test_wrong_metadata_is_refused_with_the_code_of_the_rfc(
    world: World, changes: dict[str, Any], error: str
) -> None:
    response = await world.http.post("/oauth/register", json=registration(**changes))
    assert error_of(response) == (400, error)


async def test_a_bad_redirect_uri_among_good_ones_is_named_by_its_index(world: World) -> None:
    uris = [REDIRECT_URI, "https://client.example/#fragment"]
    response = await world.http.post("/oauth/register", json=registration(redirect_uris=uris))
    assert error_of(response) == (400, "invalid_redirect_uri")
    assert response.json()["error_description"].startswith("redirect_uris[1]:")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"null", {}, 400),
        (b"[]", {}, 400),
        (b"", {}, 400),
        (b"\xff", {}, 400),
        (b'{"a": NaN}', {}, 400),
        (b"[" * 60_000, {}, 400),
        (b'{"redirect_uris": ["https://a.example/"], "redirect_uris": []}', {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 400),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 400),
        (b"{" + b" " * 65_536 + b"}", {}, 413),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    world: World, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = await world.http.post(
        "/oauth/register", content=body, headers={"Content-Type": "application/json"} | headers
    )
    assert error_of(response)[0] == status


async def test_other_methods_are_refused(world: World) -> None:
    for method in ("GET", "PUT", "DELETE"):
        response = await world.http.request(method, "/oauth/register")
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("client_id", ["client_", "client_x.y", "client_" + "x" * 5000, "other"])
def test_an_id_that_was_not_sealed_opens_nothing(client_id: str) -> None:
    assert open_client_id(KeyRing([KEY.encode()]), client_id) is None


async def test_new_keys_seal_and_old_keys_still_open(world: World) -> None:
    client_id = (await world.register())["client_id"]
    assert open_client_id(KeyRing([b"newer" * 8, KEY.encode()]), client_id) is not None
    assert open_client_id(KeyRing([b"newer" * 8]), client_id) is None


def test_a_change_of_none_takes_a_member_out() -> None:
    assert changed({"a": 1, "b": 2}, {"a": None}) == {"b": 2}
