"""The combined application: what is served, under which names, and how it fails."""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import httpx2
import pytest

import auth.app
import combined_app
from auth.app import running
from auth.models import Account
from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from tests.clock import Clock
from tests.kit import (
    HTML,
    ISSUER,
    PASSWORD,
    RESOURCE,
    World,
    authorization_request,
    error_of,
    new_http_client,
    new_settings,
    serving,
    token_request,
)

METADATA = "/.well-known/oauth-authorization-server"
PROBED = [
    "/.well-known/openid-configuration",
    "/.well-known/openid-configuration/mcp",
    "/.well-known/oauth-authorization-server/mcp",
    "/mcp/.well-known/oauth-authorization-server",
    "/mcp/.well-known/openid-configuration",
    "/.well-known/other",
]


async def test_metadata_offers_what_works_and_nothing_else(world: World) -> None:
    response = await world.http.get(METADATA)
    assert response.status_code == 200
    document = response.json()
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_methods_supported"][0] == "none"
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["client_id_metadata_document_supported"] is True
    assert document["scopes_supported"] == ["user", "user:write", "offline_access"]
    assert document["protected_resources"] == [RESOURCE]
    assert all(value not in ([], None, "") for value in document.values())
    for name, url in document.items():
        if name.endswith("_endpoint"):
            path = url.removeprefix(ISSUER)
            assert (await world.http.get(path)).status_code in {200, 400, 405}, name


async def test_issuer_and_resource_are_one_string_everywhere(world: World) -> None:
    server = (await world.http.get(METADATA)).json()
    resource = (await world.http.get("/.well-known/oauth-protected-resource/mcp")).json()
    challenge = (await world.http.post("/mcp")).headers["www-authenticate"]
    assert resource["authorization_servers"] == [server["issuer"]] == [ISSUER]
    assert server["protected_resources"] == [resource["resource"]] == [RESOURCE]
    assert f'resource_metadata="{ISSUER}/.well-known/oauth-protected-resource/mcp"' in challenge


@pytest.mark.parametrize("host", ["localhost:9001", "127.0.0.1:9001", "[::1]:9001"])
async def test_on_loopback_the_host_that_was_typed_is_the_issuer(world: World, host: str) -> None:
    async with new_http_client(world.app, f"http://{host}") as http:
        assert (await http.get(METADATA)).json()["issuer"] == f"http://{host}"
        prm = (await http.get("/.well-known/oauth-protected-resource")).json()
        assert prm["resource"] == f"http://{host}/mcp"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=evil.example;proto=https"},
        {"X-Forwarded-Prefix": "/evil", "X-Original-URL": "/evil"},
    ],
)
async def test_forwarded_headers_change_nothing(world: World, headers: dict[str, str]) -> None:
    honest = await world.http.get(METADATA)
    assert (await world.http.get(METADATA, headers=headers)).content == honest.content


@pytest.mark.parametrize(
    "path", ["/", METADATA, "/oauth/authorize", "/oauth/token", "/mcp", "/nowhere"]
)
async def test_a_name_that_is_not_ours_is_misdirected(world: World, path: str) -> None:
    response = await world.http.get(path, headers={"Host": "evil.example"})
    assert response.status_code == 421
    assert "LATCHGATE_PUBLIC_URL" in response.text
    assert "evil" not in response.text


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/oauth/token/",
        "/authorize",
    ],
)
async def test_what_is_not_served_is_a_404_for_programs_and_for_people(
    world: World, path: str
) -> None:
    for method in ("GET", "POST"):
        response = await world.http.request(method, path)
        assert error_of(response) == (404, "not_found")
    page = await world.browser().get(path)
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", PROBED)
async def test_where_clients_look_for_metadata_in_vain_they_can_read_that(
    world: World, path: str
) -> None:
    page = {"Origin": "https://app.example"}
    for headers in (page, page | HTML):
        response = await world.http.get(path, headers=headers)
        assert error_of(response) == (404, "not_found")
        assert response.headers["access-control-allow-origin"] == "*"
    asked = {"Access-Control-Request-Headers": "mcp-protocol-version"}
    response = await world.http.options(path, headers=page | asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-headers"] == "mcp-protocol-version"


@pytest.mark.parametrize("path", [METADATA, "/.well-known/oauth-protected-resource"])
async def test_metadata_is_read_only_and_open_to_every_origin(world: World, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        response = await world.http.request(method, path)
        assert response.status_code == 405
        assert "GET" in response.headers["allow"]
    response = await world.http.get(path, headers={"Origin": "https://app.example"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    assert (await world.http.head(path)).status_code == 200


async def test_browser_clients_may_call_what_programs_call(world: World) -> None:
    ask = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    for path in ("/oauth/token", "/oauth/register", "/oauth/revoke", "/mcp"):
        response = await world.http.options(path, headers=ask)
        assert response.status_code == 204
        assert response.headers["access-control-allow-headers"] == "authorization, content-type"
        response = await world.http.post(path, headers={"Origin": "http://localhost:6274"})
        assert response.status_code >= 400
        assert response.headers["access-control-allow-origin"] == "*"
        assert "WWW-Authenticate" in response.headers["access-control-expose-headers"]
    for path in ("/oauth/introspect", "/oauth/authorize", "/oauth/consent", "/oauth/sign-in"):
        response = await world.http.options(path, headers=ask)
        assert response.status_code == 405
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/register", "/mcp", METADATA])
@pytest.mark.parametrize(
    ("head", "status"),
    [({"X-Large": "y" * 40_000}, 431), ({f"X-{n}": "y" for n in range(101)}, 431), ({}, 414)],
)
async def test_browser_clients_can_read_that_a_request_is_too_large(
    world: World, path: str, head: dict[str, str], status: int
) -> None:
    query = "" if head else "?" + "y" * 20_000
    response = await world.http.post(path + query, headers=head | {"Origin": "https://app.example"})
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == "*"


async def test_browser_clients_can_read_that_a_body_came_too_late(clock: Clock) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"grant_type="
        await anyio.sleep_forever()

    page = {"Origin": "https://app.example", "Content-Type": "application/x-www-form-urlencoded"}
    settings = new_settings().model_copy(update={"body_timeout": 0.01})
    async with serving(clock, settings) as world:
        response = await world.http.post("/oauth/token", content=body(), headers=page)
    assert response.status_code == 408
    assert response.headers["access-control-allow-origin"] == "*"


async def test_browser_clients_can_read_that_something_went_wrong_here(clock: Clock) -> None:
    class Mistaken(MemoryStore):
        async def find_ban(self, digest: bytes) -> None:
            raise RuntimeError("a mistake")

    async with serving(clock) as world:
        client = await world.register()
    async with serving(clock, store=Mistaken()) as world:
        for headers in ({"Origin": "https://app.example"}, {}):
            response = await world.token(token_request(client, "mcp_ac_x"), headers=headers)
            assert response.status_code == 500
            shared = response.headers.get("access-control-allow-origin")
            assert shared == ("*" if headers else None)


async def test_probes_answer_whatever_name_they_use(world: World) -> None:
    for path in ("/healthz", "/readyz"):
        response = await world.http.get(path, headers={"Host": "10.0.0.1"})
        assert response.status_code == 200


class BrokenStore(MemoryStore):
    """A store whose backend went away, and one verb of which has a mistake."""

    is_away = False

    async def check(self) -> None:
        raise StoreUnavailable("away")

    async def find_ban(self, digest: bytes) -> None:
        if self.is_away:
            raise StoreUnavailable("away")

    async def find_access_token(self, digest: bytes, now: int) -> None:
        raise StoreUnavailable("away")

    async def find_session(self, digest: bytes, now: int) -> None:
        raise RuntimeError("a mistake that holds secrets")


@pytest.fixture
async def broken(clock: Clock) -> AsyncIterator[World]:
    async with serving(clock, store=BrokenStore()) as world:
        yield world


async def test_a_store_that_is_away_is_a_503_and_no_401(broken: World) -> None:
    client = await broken.register()
    assert await broken.calls("mcp_at_x") == 503
    assert isinstance(broken.store, BrokenStore)
    broken.store.is_away = True
    response = await broken.token(token_request(client, "mcp_ac_x"))
    assert error_of(response) == (503, "temporarily_unavailable")
    assert response.headers["retry-after"]
    page = await broken.browser().get("/oauth/authorize", params=authorization_request(client))
    assert page.status_code == 503
    assert page.headers["retry-after"]
    assert (await broken.http.get("/readyz")).status_code == 503
    assert (await broken.http.get("/healthz")).status_code == 200


async def test_a_mistake_of_ours_tells_nothing_but_its_name_in_the_log(
    broken: World, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = {"Cookie": "latchgate-session-8000=x"}
    page = await broken.browser().get("/oauth/connections")
    assert page.status_code == 303
    response = await broken.http.get("/oauth/connections", headers=cookie)
    assert response.status_code == 500
    assert response.json()["error"] == "server_error"
    assert "secrets" not in response.text
    assert response.json()["correlation_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (StoreUnavailable("away"), "will try again"),
        (ValueError("a record that cannot be read"), "could not keep house"),
    ],
)
async def test_trouble_with_the_store_stops_no_house_keeping(
    clock: Clock, caplog: pytest.LogCaptureFixture, trouble: Exception, told: str
) -> None:
    class Away(MemoryStore):
        purged = 0

        async def purge(self, now: int, limit: int) -> int:
            self.purged += 1
            if self.purged == 1:
                raise trouble
            return limit if self.purged == 2 else 0

    store = Away()
    server = auth.app.create_server(new_settings(), store, clock)
    async with running(server, keep_house_every=0.001):
        with anyio.fail_after(5):
            while store.purged < 4:  # noqa: ASYNC110 - the store has no event to wait for
                await anyio.sleep(0.001)
    assert told in caplog.text


async def test_the_first_start_makes_an_account_and_tells_its_password_once(
    clock: Clock, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    settings = new_settings(admin_password=None)
    async with serving(clock, settings, store) as world:
        told = capsys.readouterr().err
        password = told.split()[-1]
        assert (await world.browser().sign_in(password=password)).status_code == 303
    assert "First start" in told
    assert password not in caplog.text
    async with serving(clock, settings, store):
        told = capsys.readouterr().err
    assert told == (
        "There are accounts already. To set a password: python -m auth.accounts password admin\n"
    )


async def test_a_password_that_was_set_is_not_repeated_and_later_ones_count_for_nothing(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryStore()
    async with serving(clock, new_settings(admin_username="ada"), store):
        told = capsys.readouterr().err
    assert told == "First start: sign in as ada with the password you set\n"
    async with serving(clock, store=store):
        assert ", so LATCHGATE_ADMIN_PASSWORD changes nothing." in capsys.readouterr().err


async def test_of_two_workers_that_start_at_once_one_makes_the_account(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    class SeenTooEarly(MemoryStore):
        async def list_accounts(self) -> Sequence[Account]:
            return ()

    store = SeenTooEarly()
    for told in ("First start", "There are accounts already"):
        async with serving(clock, store=store):
            assert capsys.readouterr().err.startswith(told)


@pytest.mark.parametrize(
    ("settings", "host", "url"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1:9001"),
        ({}, "localhost", "http://localhost:9001"),
        ({}, "[::1]", "http://[::1]:9001"),
        ({}, "0.0.0.0", "http://127.0.0.1:9001"),
        ({"public_url": "https://mcp.example"}, "0.0.0.0", "https://mcp.example"),
    ],
)
async def test_when_it_listens_it_names_the_page_and_the_url_for_clients(
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    host: str,
    url: str,
) -> None:
    log = logging.getLogger("uvicorn.error")
    with caplog.at_level(logging.INFO, log.name):
        async with serving(clock, new_settings(**settings)):
            capsys.readouterr()
            log.info("Application startup complete.")
            log.info("Uvicorn running on %s://%s:%d (Press CTRL+C to quit)", "http", host, 9001)
            assert capsys.readouterr().err == (
                f"Open {url}/ in a browser. Clients connect to {url}/mcp\n"
            )
        log.info("Uvicorn running on %s://%s:%d (Press CTRL+C to quit)", "http", host, 9001)
    assert not capsys.readouterr().err
    assert [record.name for record in caplog.records].count(log.name) == 3


async def test_an_outdated_hash_is_renewed_at_sign_in(clock: Clock) -> None:
    store = MemoryStore()
    async with serving(clock, store=store):
        before = (await store.list_accounts())[0].password_hash
    async with serving(clock, new_settings(password_iterations=2), store) as world:
        assert (await world.browser().sign_in()).status_code == 303
        after = (await store.list_accounts())[0].password_hash
        assert (await world.browser().sign_in()).status_code == 303
    assert "t=1" in before
    assert "t=2" in after


async def test_each_half_can_be_asked_for_by_uvicorn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    for module in (combined_app, auth.app):
        app = module.__getattr__("app")
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url=ISSUER
        ) as http:
            assert (await http.get(METADATA)).json()["issuer"] == ISSUER
        with pytest.raises(AttributeError):
            module.__getattr__("other")


def test_the_authorization_server_alone_says_whose_url_it_was_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    auth.app.create_app(new_settings(resource_server_url="http://127.0.0.1:9999/mcp"))
    assert "LATCHGATE_RESOURCE_SERVER_URL" not in caplog.text
    auth.app.create_app(new_settings())
    assert "LATCHGATE_RESOURCE_SERVER_URL is not set" in caplog.text


async def test_the_authorization_server_runs_alone(clock: Clock) -> None:
    settings = new_settings(resource_server_url="http://127.0.0.1:9999/mcp")
    app = auth.app.create_app(settings, MemoryStore(), clock)
    async with app.router.lifespan_context(app), new_http_client(app) as http:
        document = (await http.get(METADATA)).json()
        assert document["protected_resources"] == ["http://127.0.0.1:9999/mcp"]
        assert (await http.get("/")).status_code == 200
        assert (await http.post("/mcp")).status_code == 404


async def test_no_secret_of_a_journey_is_in_the_log(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = await world.register(token_endpoint_auth_method="client_secret_post")
    code = await world.code(client)
    tokens = (await world.exchange(client, code)).json()
    await world.exchange(client, code)
    await world.refresh(client, tokens["refresh_token"])
    for secret in (
        PASSWORD,
        client["client_secret"],
        code,
        tokens["access_token"],
        tokens["refresh_token"],
    ):
        assert secret not in caplog.text
    events = [json.loads(m) for m in caplog.messages if m.startswith('{"at"')]
    assert {"client_registered", "consent_given", "token_issued", "code_replayed"} <= {
        event["kind"] for event in events
    }
