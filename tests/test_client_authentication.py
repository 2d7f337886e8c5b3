"""Client authentication at the token endpoint (OAuth 2.1 §2.4)."""

from base64 import b64encode
from urllib.parse import quote

import pytest

from auth.credentials import digest
from auth.models import Ban
from tests.kit import World, error_of, token_request


def basic(client_id: str, secret: str, scheme: str = "Basic") -> dict[str, str]:
    """The header of HTTP Basic, as it is."""
    return {"Authorization": f"{scheme} {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


@pytest.mark.parametrize("encode", [str, lambda text: quote(text, safe=""), "hex"])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_basic_works_however_clients_encode_it(
    world: World, encode: object, scheme: str
) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    if encode == "hex":
        encode = lambda text: "".join(f"%{ord(c):02X}" for c in text)  # noqa: E731
    assert callable(encode)
    headers = basic(encode(client["client_id"]), encode(client["client_secret"]), scheme)
    for in_body in (client["client_id"], None):
        form = token_request(
            client, await world.code(client), client_id=in_body, client_secret=None
        )
        assert (await world.token(form, headers=headers)).status_code == 200


async def test_who_has_no_secret_may_say_so_by_basic(world: World) -> None:
    """requests-oauthlib names a public client in no other way."""
    client = await world.register(token_endpoint_auth_method="none")
    form = token_request(client, await world.code(client), client_id=None)
    response = await world.token(form, headers=basic(client["client_id"], ""))
    assert response.status_code == 200


async def test_a_secret_in_the_body_works(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    assert (await world.tokens(client))["access_token"]


@pytest.mark.parametrize(
    ("registered", "presented"),
    [
        ("client_secret_basic", "post"),
        ("client_secret_basic", "none"),
        ("client_secret_basic", "wrong basic"),
        ("client_secret_basic", "empty basic"),
        ("client_secret_post", "basic"),
        ("client_secret_post", "empty basic"),
        ("client_secret_post", "none"),
        ("client_secret_post", "wrong post"),
        ("none", "post"),
        ("none", "basic"),
        ("none", "bearer"),
    ],
)
async def test_only_the_registered_method_with_the_right_secret_passes(
    world: World, registered: str, presented: str
) -> None:
    client = await world.register(token_endpoint_auth_method=registered)
    code = await world.code(client)
    secret = client.get("client_secret", "anything")
    headers: dict[str, str] = {}
    changes: dict[str, str | None] = {"client_secret": None}
    match presented.split():
        case [*wrong, "post"]:
            changes["client_secret"] = secret + "x" * len(wrong)
        case ["empty", "basic"]:
            headers = basic(client["client_id"], "")
        case [*wrong, "basic"]:
            headers = basic(client["client_id"], secret + "x" * len(wrong))
        case ["bearer"]:
            headers = {"Authorization": "Bearer mcp_at_x"}
    response = await world.token(token_request(client, code, **changes), headers=headers)
    assert error_of(response) == (401, "invalid_client")
    assert ("www-authenticate" in response.headers) is bool(headers)
    if headers:
        assert response.headers["www-authenticate"].startswith("Basic ")
    right = basic(client["client_id"], secret) if registered.endswith("basic") else {}
    only = None if right else client.get("client_secret")
    form = token_request(client, code, client_secret=only)
    assert (await world.token(form, headers=right)).status_code == 200


async def test_a_secret_may_come_either_way_if_the_client_did_not_say_how(world: World) -> None:
    client = await world.register(token_endpoint_auth_method=None)
    assert client["token_endpoint_auth_method"] == "client_secret_basic"
    tokens = await world.tokens(client)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    headers = basic(client["client_id"], client["client_secret"])
    assert (await world.token(form, headers=headers)).status_code == 200
    response = await world.token(form | {"client_id": client["client_id"]})
    assert error_of(response) == (401, "invalid_client")


async def test_an_unknown_client_is_answered_like_a_wrong_secret(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    answers = [
        await world.exchange(client, "mcp_ac_x", client_secret="wrong"),
        await world.exchange(client, "mcp_ac_x", client_id="client_x"),
    ]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].content == answers[1].content


async def test_two_methods_at_once_are_refused(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    headers = basic(client["client_id"], client["client_secret"])
    response = await world.token(token_request(client, "mcp_ac_x"), headers=headers)
    assert error_of(response) == (400, "invalid_request")


async def test_two_different_client_ids_are_refused(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    headers = basic(client["client_id"], client["client_secret"])
    form = token_request(client, "mcp_ac_x", client_id="client_other", client_secret=None)
    assert error_of(await world.token(form, headers=headers)) == (400, "invalid_request")


@pytest.mark.parametrize(
    "value",
    [
        "Basic",
        "Basic !!!",
        "Basic " + b64encode(b"no colon").decode(),
        "Basic " + b64encode(b":secret").decode(),
        "Basic " + b64encode(b"a%zz:secret").decode(),
        "Basic " + b64encode(b"a%ff:secret").decode(),
        "Basic " + b64encode("ü:secret".encode()).decode(),
        "Basic YTp\u0020iYg==",
        "Digest abc",
        "",
    ],
)
async def test_a_malformed_header_is_refused(world: World, value: str) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    form = token_request(client, "mcp_ac_x", client_secret=None)
    response = await world.token(form, headers={"Authorization": value})
    assert error_of(response) == (401, "invalid_client")


async def test_two_headers_are_refused(world: World) -> None:
    client = await world.register(token_endpoint_auth_method="client_secret_basic")
    header = basic(client["client_id"], client["client_secret"])["Authorization"]
    response = await world.http.post(
        "/oauth/token",
        data=token_request(client, "mcp_ac_x", client_secret=None),
        headers=[("Authorization", header), ("Authorization", header)],
    )
    assert error_of(response) == (401, "invalid_client")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_assertion": "x.y.z"},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
        {
            "client_assertion": "x.y.z",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
        {
            "client_id": None,
            "client_assertion": "x.y.z",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        },
    ],
)
async def test_an_assertion_is_never_ignored(world: World, changes: dict[str, str | None]) -> None:
    client = await world.register()
    code = await world.code(client)
    response = await world.exchange(client, code, **changes)
    assert error_of(response) == (401, "invalid_client")


async def test_a_banned_client_is_unknown_at_once(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    ban = Ban(digest(client["client_id"]), "Test client", world.clock(), "a test")
    await world.store.ban_client(client["client_id"], ban)
    assert await world.calls(tokens["access_token"]) == 401
    response = await world.refresh(client, tokens["refresh_token"])
    assert error_of(response) == (401, "invalid_client")
