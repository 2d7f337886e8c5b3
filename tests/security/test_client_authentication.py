"""Client authentication: the one registered method, no clue about what was wrong (§2.4)."""

import pytest

from tests.kit import World, error_of, token_request
from tests.security.kit import assert_refused

METHODS = ("client_secret_basic", "client_secret_post")


@pytest.mark.parametrize("method", METHODS)
async def test_an_unknown_client_and_a_wrong_secret_get_the_same_bytes(
    world: World, method: str
) -> None:
    """Without it client ids can be tried."""
    client = await world.register(token_endpoint_auth_method=method)
    answers = []
    for client_id in (client["client_id"], "client_unknown", "https://c.example/client.json"):
        form = {"grant_type": "authorization_code", "code": "mcp_ac_x"}
        if method == "client_secret_post":
            answers.append(
                await world.token(form | {"client_id": client_id, "client_secret": "wrong"})
            )
        else:
            answers.append(await world.token(form, auth=(client_id, "wrong")))
    assert_refused(answers[0], 401)
    assert answers[0].content == answers[1].content
    assert answers[0].status_code == answers[1].status_code
    assert ("www-authenticate" in answers[0].headers) is (method == "client_secret_basic")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("secret", ["", " ", "None", "null", "undefined"])
async def test_a_blank_secret_is_no_secret(world: World, method: str, secret: str) -> None:
    """CVE-2026-44476: a secret that was never set matched one that was left empty."""
    client = await world.register(token_endpoint_auth_method=method)
    code = await world.code(client)
    basic = (client["client_id"], secret)
    for options in ({"auth": basic}, {}):
        changes = {"client_secret": None if options else secret}
        response = await world.token(token_request(client, code, **changes), **options)
        assert_refused(response, 401, 400)
        assert "access_token" not in response.text


async def test_a_public_client_that_brings_a_secret_is_refused(world: World) -> None:
    """Without it a client believes that it is authenticated when it is not."""
    client = await world.register()
    code = await world.code(client)
    tokens = await world.tokens(client)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    for form, headers in (
        ({"client_secret": "x"}, {}),
        ({}, bearer),
        ({"client_assertion": "x", "client_assertion_type": "x"}, {}),
    ):
        response = await world.token(token_request(client, code) | form, headers=headers)
        assert error_of(response)[0] == 401
    assert (await world.exchange(client, code)).status_code == 200


async def test_the_secret_of_one_client_is_no_secret_of_another(world: World) -> None:
    """Without it secrets that are derived from one key are one secret."""
    one = await world.register(token_endpoint_auth_method="client_secret_post")
    two = await world.register(token_endpoint_auth_method="client_secret_post", client_name="Two")
    assert one["client_secret"] != two["client_secret"]
    stolen = one | {"client_secret": two["client_secret"]}
    response = await world.token(token_request(stolen, "mcp_ac_x"))
    assert error_of(response) == (401, "invalid_client")


@pytest.mark.parametrize("client_id", ["cafe\u0301", "caf\u00e9", "CLIENT", "cl\u0131ent"])
async def test_names_that_look_alike_are_different_clients(world: World, client_id: str) -> None:
    """Without it Unicode has two spellings of one name, and a stranger takes the other."""
    response = await world.token({"grant_type": "refresh_token", "client_id": client_id})
    assert error_of(response) == (401, "invalid_client")
