"""Introspection and revocation tell and do nothing for strangers (RFC 7662 §4, RFC 7009 §5)."""

from time import perf_counter

import pytest

from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from tests.clock import Clock
from tests.kit import World, error_of, identification, serving
from tests.security.kit import assert_refused

POST = "client_secret_post"


@pytest.mark.parametrize("token", ["", "x", "mcp_at_" + "A" * 43, "mcp_rt_" + "A" * 70, "\0", "é"])
@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
async def test_what_is_no_token_is_told_nothing(world: World, path: str, token: str) -> None:
    """CVE-2026-58425: an answer that differs is a place to try tokens."""
    client = await world.register(token_endpoint_auth_method=POST)
    response = await world.http.post(path, data=identification(client) | {"token": token})
    if not token:
        assert error_of(response) == (400, "invalid_request")
    elif path == "/oauth/introspect":
        assert response.json() == {"active": False}
    else:
        assert (response.status_code, response.content) == (200, b"")


async def test_a_revoked_token_is_dead_everywhere_at_once(world: World) -> None:
    """CVE-2026-68481, CVE-2026-3583: one half remembers what the other has forgotten."""
    client = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(client)
    await world.http.post(
        "/oauth/revoke", data=identification(client) | {"token": tokens["refresh_token"]}
    )
    assert await world.calls(tokens["access_token"]) == 401
    for token in (tokens["access_token"], tokens["refresh_token"]):
        form = identification(client) | {"token": token}
        assert (await world.http.post("/oauth/introspect", data=form)).json() == {"active": False}


class Away(MemoryStore):
    """A store that goes away when somebody wants to revoke."""

    async def revoke_grant(self, grant_id: str, now: int) -> bool:
        raise StoreUnavailable("away")


async def test_a_revocation_that_could_not_be_done_is_not_confirmed(clock: Clock) -> None:
    """CVE-2020-15223: 200 for a token that lives on."""
    async with serving(clock, store=Away()) as world:
        client = await world.register()
        tokens = await world.tokens(client)
        form = identification(client) | {"token": tokens["refresh_token"]}
        assert_refused(await world.http.post("/oauth/revoke", data=form), 503)
        assert await world.calls(tokens["access_token"]) == 200


@pytest.mark.parametrize("path", ["/oauth/introspect", "/oauth/revoke"])
async def test_a_token_in_the_url_is_refused(
    world: World, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it tokens stand in every log between here and there."""
    client = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(client)
    form = identification(client) | {"token": tokens["access_token"]}
    for body in ({}, form):
        response = await world.http.post(path, params=form, data=body)
        assert error_of(response) == (400, "invalid_request")
    own = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert not any(tokens["access_token"] in record.getMessage() for record in own)
    assert await world.calls(tokens["access_token"]) == 200


async def test_nobody_revokes_with_a_wrong_secret(world: World) -> None:
    """Without it whoever saw a token ends it in the client's name."""
    client = await world.register(token_endpoint_auth_method=POST)
    tokens = await world.tokens(client)
    for changes in ({"client_secret": "wrong"}, {"client_secret": ""}):
        form = identification(client) | changes | {"token": tokens["refresh_token"]}
        assert error_of(await world.http.post("/oauth/revoke", data=form))[0] == 401
    assert await world.calls(tokens["access_token"]) == 200


async def test_the_time_of_an_answer_tells_nothing_of_a_token(world: World) -> None:
    """Without it tokens are looked for with a stopwatch: unknown, dead or somebody else's."""
    client = await world.register(token_endpoint_auth_method=POST)
    dead, others = await world.tokens(client), await world.tokens(await world.register())
    revoke = identification(client) | {"token": dead["access_token"]}
    await world.http.post("/oauth/revoke", data=revoke)
    tokens = ("mcp_at_" + "A" * 43, dead["access_token"], others["access_token"])
    quickest = dict.fromkeys(tokens, float("inf"))
    for _ in range(25):
        for token in tokens:
            form = identification(client) | {"token": token}
            began = perf_counter()
            response = await world.http.post("/oauth/introspect", data=form)
            quickest[token] = min(quickest[token], perf_counter() - began)
            assert response.json() == {"active": False}
    assert max(quickest.values()) < 2 * min(quickest.values())
