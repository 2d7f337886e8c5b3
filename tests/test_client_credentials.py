"""The client credentials grant: a client on its own (OAuth 2.1 §4.2, MCP extension)."""

import json
import logging
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from auth.credentials import digest
from auth.models import CLIENT_SUBJECT, Ban
from auth.store.memory import MemoryStore
from resource_server.people import CLIENT_SUBJECT as SUBJECT_AT_THE_RESOURCE_SERVER
from tests.clock import Clock, LateInTheSecond
from tests.kit import RESOURCE, World, changed, error_of, new_settings, serving
from tests.resource_server_kit import modern, modern_headers, result, wire

SECRET = "a secret of the tests, drawn by somebody else"
CLIENTS = f"""
[[clients]]
client_id = "report"
client_name = "Nightly report"
secret_sha256 = "{sha256(SECRET.encode()).hexdigest()}"
grant_types = ["client_credentials"]
scope = "user user:write"

[[clients]]
client_id = "reader"
client_name = "Reads only"
secret_sha256 = "{sha256(SECRET.encode()).hexdigest()}"
grant_types = ["client_credentials"]
scope = "user"

[[clients]]
client_id = "web"
client_name = "On behalf of people"
secret_sha256 = "{sha256(SECRET.encode()).hexdigest()}"
redirect_uris = ["https://c.example/cb"]

[[clients]]
client_id = "desktop"
client_name = "Without a secret"
redirect_uris = ["https://d.example/cb"]
"""


@pytest.fixture
async def world(clock: Clock, tmp_path: Path) -> AsyncIterator[World]:
    file = tmp_path / "clients.toml"
    file.write_text(CLIENTS)
    async with serving(clock, new_settings(clients_file=file)) as world:
        yield world


def request(**changes: str | None) -> dict[str, str]:
    """A good token request of the report; None takes a parameter out."""
    good = {
        "grant_type": "client_credentials",
        "client_id": "report",
        "client_secret": SECRET,
        "scope": "user",
        "resource": RESOURCE,
    }
    return changed(good, changes)


async def token_of(world: World, **changes: str | None) -> str:
    response = await world.token(request(**changes))
    assert response.status_code == 200, response.text
    token: str = response.json()["access_token"]
    return token


async def call(world: World, token: str, tool: str) -> dict[str, Any]:
    response = await world.http.post(
        "/mcp",
        json=modern("tools/call", name=tool, arguments={}),
        headers=wire(token, modern_headers("tools/call", tool)),
    )
    return result(response)


async def test_a_client_gets_a_token_of_its_own_and_nothing_to_refresh_it(world: World) -> None:
    response = await world.token(request())
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    answer = response.json()
    assert answer.pop("access_token").startswith("mcp_at_")
    assert answer == {"token_type": "Bearer", "expires_in": 3600, "scope": "user"}


async def test_the_client_is_told_of_no_second_that_its_token_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(CLIENTS)
    clock = LateInTheSecond()
    clock.fraction = 0.9
    async with serving(clock, new_settings(clients_file=file)) as world:
        answer = (await world.token(request())).json()
        assert answer["expires_in"] == 3600
        clock.advance(3600)
        assert await world.calls(answer["access_token"]) == 200


async def test_the_secret_may_come_by_basic_too(world: World) -> None:
    form = request(client_id=None, client_secret=None)
    response = await world.http.post("/oauth/token", data=form, auth=("report", SECRET))
    assert response.status_code == 200


async def test_the_token_opens_mcp_until_it_expires(world: World) -> None:
    token = await token_of(world)
    assert await world.calls(token) == 200
    world.clock.advance(3600)
    assert await world.calls(token) == 401


async def test_each_request_gives_a_token_and_a_grant_of_its_own(world: World) -> None:
    first, second = await token_of(world), await token_of(world)
    assert first != second
    form = {"token": first, "client_id": "report", "client_secret": SECRET}
    assert (await world.http.post("/oauth/revoke", data=form)).status_code == 200
    assert await world.calls(first) == 401
    assert await world.calls(second) == 200


@pytest.mark.parametrize(
    ("client_id", "scope", "granted"),
    [
        ("report", "user", "user"),
        ("report", "user:write user", "user user:write"),
        ("report", None, "user"),
        ("report", "", "user"),
        ("report", "user unknown", "user"),
        ("report", "user offline_access", "user"),
        ("reader", "user user:write", "user"),
        ("reader", None, "user"),
    ],
)
async def test_no_client_gets_more_than_its_operator_wrote_down(
    world: World, client_id: str, scope: str | None, granted: str
) -> None:
    response = await world.token(request(client_id=client_id, scope=scope))
    assert response.json()["scope"] == granted


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_id": "unknown"}, 401, "invalid_client"),
        ({"client_id": "desktop", "client_secret": None}, 400, "unauthorized_client"),
        ({"client_id": "web"}, 400, "unauthorized_client"),
        ({"client_id": "reader", "scope": "user:write"}, 400, "invalid_scope"),
        ({"scope": "unknown"}, 400, "invalid_scope"),
        ({"resource": "https://elsewhere.example/mcp"}, 400, "invalid_target"),
        ({"resource": "nonsense"}, 400, "invalid_target"),
    ],
)
async def test_a_request_that_breaks_a_rule_is_refused(
    world: World, changes: dict[str, str | None], status: int, error: str
) -> None:
    assert error_of(await world.token(request(**changes))) == (status, error)


@pytest.mark.parametrize("method", ["none", "client_secret_post"])
async def test_who_registers_itself_cannot_have_this_grant(world: World, method: str) -> None:
    client = await world.register(
        token_endpoint_auth_method=method,
        grant_types=["authorization_code", "client_credentials"],
    )
    assert client["grant_types"] == ["authorization_code"]
    secret = client.get("client_secret")
    response = await world.token(request(client_id=client["client_id"], client_secret=secret))
    assert error_of(response) == (400, "unauthorized_client")


async def test_the_resource_may_be_left_out_and_the_token_is_for_ours(world: World) -> None:
    token = await token_of(world, resource=None)
    form = {"token": token, "client_id": "report", "client_secret": SECRET}
    answer = (await world.http.post("/oauth/introspect", data=form)).json()
    assert answer["aud"] == RESOURCE


async def test_its_subject_is_the_client_and_looks_like_no_person(world: World) -> None:
    form = {"token": await token_of(world), "client_id": "report", "client_secret": SECRET}
    answer = (await world.http.post("/oauth/introspect", data=form)).json()
    assert answer["sub"] == CLIENT_SUBJECT + "report" == "client:report"
    assert "username" not in answer
    accounts = await world.store.list_accounts()
    assert accounts
    assert not any(account.subject.startswith(CLIENT_SUBJECT) for account in accounts)


def test_both_halves_mean_the_same_by_a_clients_subject() -> None:
    assert SUBJECT_AT_THE_RESOURCE_SERVER == CLIENT_SUBJECT


async def test_tools_about_a_person_say_that_there_is_none(world: World) -> None:
    token = await token_of(world, scope="user user:write")
    for tool in ("get_user_data", "update_profile"):
        answer = await call(world, token, tool)
        assert answer["isError"]
        assert "client_credentials" in answer["content"][0]["text"]


async def test_a_ban_ends_what_a_client_has(world: World) -> None:
    token = await token_of(world)
    ban = Ban(digest("report"), "Nightly report", world.clock(), "a test")
    await world.store.ban_client("report", ban)
    assert await world.calls(token) == 401
    assert error_of(await world.token(request())) == (401, "invalid_client")


class BansLate(MemoryStore):
    """A store in which every client is banned a moment after somebody looked whether it is."""

    async def find_ban(self, digest: bytes) -> Ban | None:
        found = await super().find_ban(digest)
        await self.ban_client("report", Ban(digest, "Nightly report", 0, "a test"))
        return found


async def test_a_client_banned_while_it_asks_gets_no_token(clock: Clock, tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(CLIENTS)
    async with serving(clock, new_settings(clients_file=file), BansLate()) as world:
        assert error_of(await world.token(request())) == (401, "invalid_client")


async def test_the_audit_log_says_which_client_got_a_token(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "latchgate.audit"):
        token = await token_of(world)
    (event,) = [json.loads(record.message) for record in caplog.records if "kind" in record.message]
    assert event["kind"] == "token_issued"
    assert (event["client_id"], event["subject"]) == ("report", "client:report")
    assert token not in caplog.text


async def test_the_metadata_offers_it(world: World) -> None:
    document = (await world.http.get("/.well-known/oauth-authorization-server")).json()
    assert "client_credentials" in document["grant_types_supported"]
    methods = document["token_endpoint_auth_methods_supported"]
    assert {"private_key_jwt", "client_secret_basic", "client_secret_post"} <= set(methods)
