"""Authorization codes: one use, by the one who began (OAuth 2.1 §4.1.3, §7.5, RFC 9700 §4.5)."""

import asyncio

import pytest

from auth.pkce import challenge_of
from tests.kit import (
    VERIFIER,
    World,
    authorization_request,
    error_of,
    redirected,
    token_request,
)


@pytest.mark.slow
async def test_of_a_hundred_who_exchange_a_code_at_once_one_does_and_loses_it(
    world: World,
) -> None:
    """CVE-2026-1035 and its like: look first, then spend, and two have tokens."""
    client = await world.register()
    form = token_request(client, await world.code(client))
    answers = await asyncio.gather(*(world.token(form) for _ in range(100)))
    [won] = [answer for answer in answers if answer.status_code == 200]
    assert {error_of(answer) for answer in answers if answer is not won} == {(400, "invalid_grant")}
    # The other ninety-nine proved that the code was theirs: one of the holders is a thief.
    assert await world.calls(won.json()["access_token"]) == 401


async def test_a_code_injected_into_another_request_is_worth_nothing(world: World) -> None:
    """Without PKCE the victim's client exchanges the attacker's code (RFC 9700 §4.5)."""
    client = await world.register()
    code = await world.code(client, code_challenge=challenge_of("the attacker's own " + "x" * 43))
    response = await world.exchange(client, code)
    assert error_of(response) == (400, "invalid_grant")


async def test_no_client_is_spared_pkce_because_it_has_a_secret(world: World) -> None:
    """CVE-2024-23647, CVE-2023-48228, CVE-2024-22258: a verifier left out was not asked for."""
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    code = await world.code(client)
    response = await world.exchange(client, code, code_verifier=None)
    assert error_of(response) == (400, "invalid_request")
    request = authorization_request(client, code_challenge=None, code_challenge_method=None)
    answer = await (await world.signed_in()).get("/oauth/authorize", params=request)
    assert redirected(answer)["error"] == "invalid_request"


@pytest.mark.parametrize(
    "verifier", [challenge_of(VERIFIER), "", VERIFIER.upper(), VERIFIER + "=", " " + VERIFIER]
)
async def test_only_the_verifier_itself_proves_anything(world: World, verifier: str) -> None:
    """Without it what everybody saw in the first request is enough for the second."""
    client = await world.register()
    code = await world.code(client)
    response = await world.exchange(client, code, code_verifier=verifier)
    assert response.status_code == 400
    assert (await world.exchange(client, code)).status_code == 200


async def test_another_client_neither_gets_nor_burns_it(world: World) -> None:
    """Without it a client that sees codes takes them, or denies them."""
    client = await world.register()
    other = await world.register(
        client_name="Other", token_endpoint_auth_method="client_secret_post"
    )
    code = await world.code(client)
    assert error_of(await world.exchange(other, code)) == (400, "invalid_grant")
    assert (await world.exchange(client, code)).status_code == 200


@pytest.mark.parametrize(
    "grant_type",
    [
        "password",
        "implicit",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ],
)
async def test_no_weaker_grant_is_left_on(world: World, grant_type: str) -> None:
    """Without it a flow that OAuth 2.1 took out is a way in (§10)."""
    form = {"username": "admin", "password": "x", "assertion": "x", "device_code": "x"}
    client = await world.register()
    response = await world.token(token_request(client, "x", grant_type=grant_type) | form)
    assert error_of(response) == (400, "unsupported_grant_type")


async def test_a_code_dies_with_the_second_of_its_expiry_for_every_spelling_of_time(
    world: World,
) -> None:
    """Without it `<=` for `<` gives a second more."""
    client = await world.register()
    code = await world.code(client)
    world.clock.advance(60)
    assert error_of(await world.exchange(client, code)) == (400, "invalid_grant")
    world.clock.advance(-3600)
    answer = await world.exchange(client, code)
    assert answer.status_code in {200, 400}


async def test_a_code_is_worth_nothing_without_its_grant(world: World) -> None:
    """Without it revoking a connection misses the code that is on its way."""
    client = await world.register()
    code = await world.code(client)
    admin = (await world.store.list_accounts())[0]
    await world.store.revoke_grants(admin.subject, world.clock())
    assert error_of(await world.exchange(client, code)) == (400, "invalid_grant")
