"""The resource server as an application of its own (split deployment)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from starlette.types import ASGIApp

from origins import Origins
from resource_server import app as module
from resource_server.app import IncompleteSettings, create_app
from resource_server.metadata import Description
from resource_server.people import ClaimedPeople
from settings import Settings
from tests.asgi_stream import Exchange
from tests.authorization_server import ELSEWHERE, AuthorizationServer, sign
from tests.clock import Clock
from tests.kit import error_of
from tests.resource_server_kit import (
    ISSUER,
    METADATA,
    RESOURCE,
    modern,
    modern_headers,
    result,
    wire,
)

CLAIMS = {"iss": ELSEWHERE, "sub": "person_1", "client_id": "c", "aud": RESOURCE, "scope": "user"}
PERSON = {"name": "Alice", "email": "a@example.com", "roles": ["admin", 7], "auth_time": 60}


def new_settings(**changes: Any) -> Settings:
    """Settings of a resource server that introspects."""
    values: dict[str, Any] = {
        "authorization_server": ELSEWHERE,
        "introspection_client_id": "resource server",
        "introspection_client_secret": SecretStr("s:e/c+r e%t of a server"),
    }
    return Settings(_env_file=None, **(values | changes))


@asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Start an application, and stop it."""
    exchange = Exchange(app, {"type": "lifespan"}, {"type": "lifespan.startup"})
    assert await exchange.next() == {"type": "lifespan.startup.complete"}
    yield
    exchange.go_away()
    with pytest.raises(EOFError):
        await exchange.next()


@asynccontextmanager
async def serving(
    server: AuthorizationServer, clock: Clock, **changes: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the application, which runs."""
    transport = httpx2.ASGITransport(app=server.app)
    app = create_app(new_settings(**changes), clock, transport)
    async with (
        lifespan(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ISSUER) as http,
    ):
        yield http


async def call(http: httpx2.AsyncClient, token: str, method: str, **params: Any) -> httpx2.Response:
    """One request of 2026-07-28."""
    name = params.get("name", params.get("uri"))
    headers = wire(token, modern_headers(method, name))
    return await http.post("/mcp", json=modern(method, **params), headers=headers)


async def test_tokens_are_introspected_and_the_claims_say_who_it_is(clock: Clock) -> None:
    server = AuthorizationServer()
    server.tokens["good"] = {"active": True, **CLAIMS, **PERSON, "username": "alice"}
    async with serving(server, clock) as http:
        answer = await call(http, "good", "tools/call", name="get_user_data", arguments={})
        assert result(answer)["structuredContent"] == {
            "user_id": "person_1",
            "username": "alice",
            "status": "active",
            "last_login": "1970-01-01T00:01:00+00:00",
        }
        answer = await call(http, "good", "resources/read", uri="user://profile")
        text = result(answer)["contents"][0]["text"]
        assert httpx2.Response(200, text=text).json()["roles"] == ["admin"]
        answer = await call(http, "good", "resources/read", uri="user://stats")
        assert "null" in result(answer)["contents"][0]["text"]
        answer = await call(http, "unknown", "tools/list")
        assert answer.status_code == 401
        assert f'resource_metadata="{METADATA}"' in answer.headers["www-authenticate"]


async def test_signed_tokens_are_checked_with_the_server_s_keys(clock: Clock) -> None:
    server = AuthorizationServer()
    async with serving(server, clock, token_verification="jwks") as http:
        token = sign({**CLAIMS, "exp": clock() + 60, "roles": "admin"})
        answer = await call(http, token, "tools/call", name="get_user_data", arguments={})
        assert result(answer)["structuredContent"]["username"] == "person_1"
        clock.advance(60)
        assert (await call(http, token, "tools/list")).status_code == 401


async def test_a_profile_that_is_kept_elsewhere_cannot_be_changed_here(clock: Clock) -> None:
    server = AuthorizationServer()
    server.tokens["good"] = {"active": True, **CLAIMS, "scope": "user user:write"}
    async with serving(server, clock) as http:
        params = {"name": "update_profile", "arguments": {"name": "Al"}}
        called = result(await call(http, "good", "tools/call", **params))
        assert called["isError"]
        assert "kept by the authorization server" in called["content"][0]["text"]


async def test_a_server_that_is_away_is_503_and_not_ready(clock: Clock) -> None:
    server = AuthorizationServer(metadata_path="/away")
    async with serving(server, clock) as http:
        assert (await http.get("/healthz")).text == "ok\n"
        for answer in (await http.get("/readyz"), await call(http, "good", "tools/list")):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
        server.metadata_path = AuthorizationServer().metadata_path
        clock.advance(5)
        assert (await http.get("/readyz")).text == "ok\n"


async def test_calls_with_a_good_token_are_counted(clock: Clock) -> None:
    server = AuthorizationServer()
    server.tokens["good"] = {"active": True, **CLAIMS}
    token = "the token of a scraper, of thirty-two characters"
    async with serving(server, clock, metrics_token=SecretStr(token)) as http:
        for bearer in ("good", "unknown", "good"):
            await call(http, bearer, "tools/list")
        answer = await http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert "\nlatchgate_calls_total 2.0\n" in answer.text


async def test_who_may_not_introspect_is_not_ready(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"introspection_client_secret": SecretStr("another secret of theirs")}
    async with serving(AuthorizationServer(), clock, **changes) as http:
        assert (await http.get("/readyz")).status_code == 503
        assert "check LATCHGATE_INTROSPECTION_CLIENT_ID" in caplog.text


async def test_the_metadata_names_the_server_whose_tokens_are_taken(clock: Clock) -> None:
    async with serving(AuthorizationServer(), clock) as http:
        document = (await http.get(METADATA)).json()
        assert document["authorization_servers"] == [ELSEWHERE]
        assert document["resource"] == RESOURCE


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/.well-known/oauth-authorization-server", 404),
        ("GET", "/.well-known/openid-configuration", 404),
        ("GET", "/mcp/.well-known/oauth-protected-resource", 404),
        ("GET", "/healthz/", 404),
        ("DELETE", "/healthz", 405),
    ],
)
async def test_what_is_not_served_is_told_in_json(
    clock: Clock, method: str, path: str, status: int
) -> None:
    async with serving(AuthorizationServer(), clock) as http:
        answer = await http.request(method, path)
        assert answer.status_code == status
        assert error_of(answer) == (status, {404: "not_found", 405: "invalid_request"}[status])
        assert answer.json()["correlation_id"] == answer.headers["x-request-id"]


async def test_what_a_route_of_the_tools_refuses_is_refused_as_it_says(clock: Clock) -> None:
    tools = "tests.tools_for_files:mcp"
    async with serving(AuthorizationServer(), clock, mcp_server=tools) as http:
        answer = await http.get("/members")
        assert error_of(answer) == (403, "invalid_request")
        assert answer.headers["x-why"] == "no member"


async def test_who_opens_it_in_a_browser_is_told_where_to_go(clock: Clock) -> None:
    async with serving(AuthorizationServer(), clock) as http:
        told = (await http.get("/")).text
        assert (
            told == f"The MCP server is at {RESOURCE}. Its access tokens come from {ELSEWHERE}.\n"
        )
    description = Description(Origins(("https://mcp.example",)), (), "", (ELSEWHERE,))
    answer = await module.signpost(description, Request({"type": "http", "headers": []}))
    assert answer.status_code == 421


async def test_pages_may_call_and_foreign_hosts_may_not(clock: Clock) -> None:
    async with serving(AuthorizationServer(), clock) as http:
        headers = {"Origin": "http://localhost:6274", "Access-Control-Request-Method": "POST"}
        assert (await http.options("/mcp", headers=headers)).status_code == 204
        answer = await http.post("/mcp", headers={"Origin": "http://localhost:6274"})
        assert "WWW-Authenticate" in answer.headers["access-control-expose-headers"]
        assert (await http.get("/mcp", headers={"Host": "evil.example"})).status_code == 421


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"authorization_server": None}, "LATCHGATE_AUTHORIZATION_SERVER"),
        (
            {"introspection_client_id": None, "introspection_client_secret": None},
            "LATCHGATE_INTROSPECTION_CLIENT_ID",
        ),
    ],
)
def test_a_missing_setting_is_named(changes: dict[str, Any], setting: str) -> None:
    with pytest.raises(IncompleteSettings, match=setting):
        create_app(new_settings(**changes))


@pytest.mark.slow
def test_started_without_settings_it_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LATCHGATE_AUTHORIZATION_SERVER", raising=False)
    with pytest.raises(SystemExit, match="LATCHGATE_AUTHORIZATION_SERVER"):
        module.app  # noqa: B018 - uvicorn asks for it
    monkeypatch.setenv("LATCHGATE_AUTHORIZATION_SERVER", ELSEWHERE)
    monkeypatch.setenv("LATCHGATE_TOKEN_VERIFICATION", "jwks")
    assert callable(module.app)
    with pytest.raises(AttributeError):
        module.nothing  # noqa: B018


async def test_a_mistake_of_ours_can_be_read_by_pages(clock: Clock) -> None:
    class Mistaken(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise RuntimeError("a mistake that holds secrets")

    app = create_app(new_settings(), clock, Mistaken())
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"Origin": "http://localhost:6274", "Authorization": "Bearer any"}
    async with lifespan(app), httpx2.AsyncClient(transport=transport, base_url=ISSUER) as http:
        answer = await http.post("/mcp", headers=headers)
    assert error_of(answer) == (500, "server_error")
    assert "secrets" not in answer.text
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_people_elsewhere_are_unknown_but_for_the_one_who_calls() -> None:
    assert await ClaimedPeople().find_profile("person_1") is None
