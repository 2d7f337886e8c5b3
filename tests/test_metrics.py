"""Metrics: what is counted, who may read it, and that nobody can make it grow."""

import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

import auth.app
import resource_server.app
from auth.store import Store, StoreUnavailable
from auth.store.measured import measured
from auth.store.memory import MemoryStore
from demo.start import ROOT, free_port
from telemetry.metrics import Durations, Metrics
from telemetry.requests import ObserveRequests
from telemetry.scraping import PortTaken, metrics_port
from tests.clock import Clock
from tests.kit import PASSWORD, World, authorization_request, new_settings, serving
from tests.store_records import NOW, add_exchanged, add_people

TOKEN = "a-token-of-the-tests-for-nothing-but-metrics"
BEARER = {"Authorization": f"Bearer {TOKEN}"}

Samples = dict[tuple[str, ...], float]


@pytest.fixture
async def watched(clock: Clock) -> AsyncIterator[World]:
    """The combined application, whose metrics are served."""
    async with serving(clock, new_settings(metrics_token=SecretStr(TOKEN))) as world:
        yield world


def read(text: str) -> Samples:
    """Every sample, by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(http: httpx2.AsyncClient) -> Samples:
    response = await http.get("/metrics", headers=BEARER)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    return read(response.text)


async def test_without_the_setting_there_is_no_such_path(world: World) -> None:
    assert (await world.http.get("/metrics", headers=BEARER)).status_code == 404


@pytest.mark.parametrize(
    "credentials", [None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
)
async def test_whoever_has_not_the_token_is_refused(
    watched: World, credentials: str | None
) -> None:
    headers = {} if credentials is None else {b"Authorization": credentials.encode()}
    response = await watched.http.get("/metrics", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="metrics"'
    assert "latchgate" not in response.text


async def test_a_scraper_is_asked_for_no_name_of_ours(watched: World) -> None:
    response = await watched.http.get("/metrics", headers=BEARER | {"Host": "10.0.0.7:8000"})
    assert response.status_code == 200


async def test_a_journey_is_counted(watched: World) -> None:
    client = await watched.register()
    tokens = await watched.tokens(client)
    await watched.calls(tokens["access_token"])
    await watched.calls(tokens["access_token"])
    await watched.refresh(client, tokens["refresh_token"])
    browser = watched.browser()
    await browser.sign_in(password="not " + PASSWORD)

    samples = await scrape(watched.http)

    assert samples["latchgate_requests_total", "/oauth/register", "2xx"] == 1
    assert samples["latchgate_requests_total", "/oauth/consent", "3xx"] == 1
    assert samples["latchgate_requests_total", "/mcp", "2xx"] == 2
    assert samples["latchgate_sign_ins_total", "succeeded"] == 1
    assert samples["latchgate_sign_ins_total", "failed"] == 1
    assert samples["latchgate_tokens_total", "issued", "code"] == 1
    assert samples["latchgate_tokens_total", "issued", "access_token"] == 1
    assert samples["latchgate_tokens_total", "rotated", "refresh_token"] == 1
    assert samples["latchgate_calls_total",] == 2
    assert samples["latchgate_live_grants",] == 1
    assert samples["latchgate_open_streams",] == 0
    assert samples["latchgate_store_seconds_count", "consume_code"] == 1
    assert 0 < samples["latchgate_store_seconds_sum", "consume_code"] < 1
    assert samples["latchgate_store_seconds_bucket", "+Inf", "consume_code"] == 1
    assert ("latchgate_store_seconds_count", "find_access_token") not in samples
    assert samples["process_resident_memory_bytes",] > 0


@pytest.mark.parametrize(
    ("method", "path", "headers", "reason"),
    [
        ("POST", "/mcp", {}, "no_token"),
        ("POST", "/mcp", {"Authorization": "Basic x"}, "no_token"),
        ("POST", "/mcp", {"Authorization": "Bearer unknown"}, "unknown_token"),
        ("POST", "/mcp", {"Authorization": "Bearer " + "x" * 9000}, "malformed_token"),
        ("POST", "/mcp", {"Origin": "https://foreign.example"}, "unknown_origin"),
        ("POST", "/oauth/token", {}, "invalid_request"),
        ("GET", "/oauth/authorize", {}, "missing_client_id"),
        ("GET", "/nowhere", {}, "not_found"),
        ("GET", "/", {"Host": "foreign.example"}, "misdirected"),
    ],
)
async def test_a_refusal_is_counted_by_its_reason(
    watched: World, method: str, path: str, headers: dict[str, str], reason: str
) -> None:
    await watched.http.request(method, path, headers=headers)
    samples = await scrape(watched.http)
    assert samples["latchgate_refusals_total", reason] == 1


async def test_what_a_client_is_told_by_redirect_or_link_is_counted(watched: World) -> None:
    browser = await watched.signed_in()
    client = await watched.register()
    await browser.get("/oauth/authorize", params=authorization_request(client, scope="unheard-of"))
    await browser.get("/oauth/authorize", params=authorization_request(client))
    await browser.decide("deny")
    nobody = watched.browser()
    await nobody.get("/oauth/authorize", params=authorization_request(client, scope="unheard-of"))
    samples = await scrape(watched.http)
    assert samples["latchgate_refusals_total", "invalid_scope"] == 2
    assert samples["latchgate_refusals_total", "access_denied"] == 1


@pytest.mark.slow
async def test_strangers_add_no_labels(watched: World) -> None:
    for number in range(50):
        await watched.http.get(f"/made-up/{number}")
        await watched.http.request(f"X{number}", "/mcp")
        await watched.http.post("/oauth/token", data={"grant_type": f"made up {number}"})
    text = (await watched.http.get("/metrics", headers=BEARER)).text
    assert "made" not in text
    assert len(re.findall("^latchgate_requests_total", text, re.MULTILINE)) == 3
    assert read(text)["latchgate_requests_total", "other", "4xx"] == 50


async def test_a_mistake_of_ours_is_counted_as_5xx(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("auth.endpoints.home.setup_snippets", fail)
    response = await watched.http.get("/", headers={"X-Request-ID": "abc"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "abc"
    samples = await scrape(watched.http)
    assert samples["latchgate_requests_total", "/", "5xx"] == 1


async def test_an_answer_that_breaks_off_is_counted_as_it_began() -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    metrics = Metrics()
    transport = httpx2.ASGITransport(app=ObserveRequests(breaks_off, metrics, ()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        with pytest.raises(RuntimeError):
            await http.get("/")
    assert metrics.requests.counts == {("other", "2xx"): 1}


async def test_two_applications_count_apart(watched: World, clock: Clock) -> None:
    await watched.http.get("/nowhere")
    async with serving(clock, watched.settings) as other:
        assert ("latchgate_refusals_total", "not_found") not in await scrape(other.http)


async def test_a_store_that_is_away_takes_only_its_own_figure_along(clock: Clock) -> None:
    class Away(MemoryStore):
        async def count_grants(self, now: int) -> int | None:
            raise StoreUnavailable("away")

    settings = new_settings(metrics_token=SecretStr(TOKEN))
    async with serving(clock, settings, Away()) as world:
        samples = await scrape(world.http)
    assert ("latchgate_live_grants",) not in samples
    assert ("latchgate_calls_total",) in samples


async def test_each_half_alone_serves_its_own(clock: Clock) -> None:
    settings = new_settings(
        metrics_token=SecretStr(TOKEN),
        authorization_server="http://127.0.0.1:9000",
        introspection_client_id="rs",
        introspection_client_secret=SecretStr("a secret of the tests"),
    )
    for module, name in ((auth.app, "live_grants"), (resource_server.app, "open_streams")):
        app: Any = module.create_app(settings, clock=clock)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            assert (f"latchgate_{name}",) in await scrape(http)


async def test_every_metric_is_documented(watched: World) -> None:
    text = (await watched.http.get("/metrics", headers=BEARER)).text
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for name in re.findall(r"^# TYPE (latchgate_\w+)", text, re.MULTILINE):
        assert f"`{name}`" in page


@pytest.mark.slow
async def test_a_port_of_their_own_needs_no_token() -> None:
    metrics, port = Metrics(), free_port()
    metrics.sign_ins.add("succeeded")
    settings = new_settings(metrics_port=port)
    async with (
        metrics_port(settings, metrics),
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        response = await http.get("/metrics")
        assert read(response.text)["latchgate_sign_ins_total", "succeeded"] == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.slow
async def test_a_port_that_is_taken_is_named() -> None:
    metrics, port = Metrics(), free_port()
    settings = new_settings(metrics_port=port)
    async with metrics_port(settings, metrics):
        with pytest.raises(PortTaken, match=f"LATCHGATE_METRICS_PORT: 127.0.0.1:{port}: "):
            async with metrics_port(settings, metrics):
                pass


def neighbouring_ports() -> int:
    """The first of two ports beside each other, below those that the system deals out."""
    for port in range(15_000 + os.getpid() % 5_000 * 2, 32_000, 2):
        with suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
    raise OSError("no two ports beside each other are free")


@pytest.mark.slow
async def test_each_of_several_workers_has_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["uvicorn", "--workers", "2"])
    port = neighbouring_ports()
    settings = new_settings(metrics_port=port)
    async with metrics_port(settings, Metrics()), metrics_port(settings, Metrics()):
        for worker in range(2):
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port + worker}") as http:
                assert (await http.get("/metrics")).status_code == 200


async def test_grants_are_counted_while_they_are_in_force(store: Store) -> None:
    assert await store.count_grants(NOW) in {0, None}
    await add_people(store, "ada")
    for name in ("a", "b", "c"):
        await add_exchanged(store, name)
    await store.revoke_grant("b", NOW)
    assert await store.count_grants(NOW) in {2, None}


async def test_a_measured_store_measures_everything_but_the_look_up_of_a_call() -> None:
    noted: list[str] = []
    store = measured(MemoryStore(), lambda verb, seconds: noted.append(verb))
    await store.find_access_token(b"", NOW)
    await store.find_grants("nobody", now=NOW)
    assert noted == ["find_grants"]
    assert store.is_shared is False


def test_durations_fall_into_the_bucket_that_holds_them() -> None:
    durations = Durations("name", "Words.", "label")
    for seconds in (0.0001, 0.0002, 3):
        durations.note("verb", seconds)
    assert durations.buckets["verb"] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert durations.sums["verb"] == pytest.approx(3.0003)
