"""Log lines: in both formats, from the level that is set, each with the name of its request."""

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from settings import Settings
from telemetry.correlation import current_request
from telemetry.logs import AUDIT, configure_logging
from tests.clock import Clock
from tests.kit import World, new_settings, serving

NAMES = (None, "latchgate", AUDIT, "uvicorn", "uvicorn.access")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """What a test sets of the process's logging is taken back."""
    loggers = [logging.getLogger(name) for name in NAMES]
    before = [(each.level, each.handlers[:], each.propagate) for each in loggers]
    token = current_request.set(None)
    yield
    current_request.reset(token)
    for each, (level, handlers, propagate) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate = propagate


def logged(settings: Settings) -> io.StringIO:
    """What the process logs from now on."""
    configure_logging(settings)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    return stream


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_every_line_of_a_request_has_its_one_name(world: World) -> None:
    stream = logged(new_settings(log_format="json"))
    named = {"X-Request-ID": "from-the-proxy.1"}
    response = await world.http.post("/oauth/register", json={}, headers=named)
    assert response.headers["x-request-id"] == "from-the-proxy.1"
    refused = {"Authorization": "Bearer unknown"} | named
    response = await world.http.post("/mcp", headers=refused)
    assert response.headers["x-request-id"] == "from-the-proxy.1"
    first, second = lines_of(stream)
    assert ": 400 invalid_redirect_uri (" in first["message"]
    assert (second["kind"], second["reason"]) == ("token_refused", "unknown, expired or revoked")
    assert second["logger"] == AUDIT
    assert {line["correlation_id"] for line in (first, second)} == {"from-the-proxy.1"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])


async def test_a_request_without_a_name_is_given_one(world: World) -> None:
    stream = logged(new_settings())
    response = await world.http.post("/oauth/token")
    name = response.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", name)
    assert stream.getvalue().endswith(f" [{name}]\n")
    again = await world.http.post("/oauth/token")
    assert again.headers["x-request-id"] != name


@pytest.mark.parametrize("name", ["", "-x", "a b", "a\tb", "x" * 65, 'a"b', "a;b", "é", "../../x"])
async def test_a_name_that_could_do_harm_is_replaced(world: World, name: str) -> None:
    response = await world.http.get("/nowhere", headers={b"X-Request-ID": name.encode()})
    assert re.fullmatch("[0-9a-f]{16}", response.headers["x-request-id"])
    assert response.json()["correlation_id"] == response.headers["x-request-id"]


async def test_pages_and_redirects_name_their_request_and_good_calls_do_not(world: World) -> None:
    tokens = await world.tokens(await world.register())
    page = await world.browser().get("/oauth/sign-in")
    assert "x-request-id" in page.headers
    browser = await world.signed_in()
    assert browser.page is not None
    assert "x-request-id" in browser.page.headers
    call = await world.http.post(
        "/mcp", headers={"Authorization": f"Bearer {tokens['access_token']}"}, json={}
    )
    assert "x-request-id" not in call.headers


@pytest.mark.parametrize("log_format", ["readable", "json"])
async def test_the_audit_log_is_one_json_object_a_line(world: World, log_format: str) -> None:
    stream = logged(new_settings(log_format=log_format, log_level="error"))
    response = await world.http.post(
        "/oauth/register", json={"redirect_uris": ["https://client.example/\u2028callback"]}
    )
    assert response.status_code == 400
    await world.register()
    (event,) = lines_of(stream)
    assert event["kind"] == "client_registered"
    assert event["correlation_id"]
    assert ("logger" in event) == (log_format == "json")


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_the_level_is_the_least_that_is_written(level: str, written: list[str]) -> None:
    stream = logged(new_settings(log_level=level, log_format="json"))
    ours, theirs = logging.getLogger("latchgate.host"), logging.getLogger("library")
    for logger in (ours, theirs):
        logger.debug("d")
        logger.info("i")
        logger.warning("w")
        logger.error("e")
    by_logger = [(line["logger"], line["message"]) for line in lines_of(stream)]
    assert [words for name, words in by_logger if name == "latchgate.host"] == written
    assert [words for name, words in by_logger if name == "library"] == [
        words for words in written if words in {"w", "e"}
    ]


def test_a_traceback_is_one_line_of_json_and_many_readable_ones() -> None:
    for log_format in ("json", "readable"):
        stream = logged(new_settings(log_format=log_format))
        mistake = RuntimeError("a mistake")
        logging.getLogger("latchgate").error("server error", exc_info=mistake)
        if log_format == "json":
            (line,) = lines_of(stream)
            assert line["exception"].endswith("RuntimeError: a mistake")
        else:
            first, *_, last = stream.getvalue().splitlines()
            assert first == "ERROR:     latchgate: server error"
            assert last == "RuntimeError: a mistake"


def test_what_a_stranger_chose_cannot_begin_a_line_of_its_own() -> None:
    stream = logged(new_settings())
    logging.getLogger("latchgate").info("refused %s", "/\nERROR: forged\x1b[2J\x85")
    assert stream.getvalue() == "INFO:     latchgate: refused /\\x0aERROR: forged\\x1b[2J\\x85\n"


@pytest.mark.parametrize("log_format", ["readable", "json"])
def test_the_access_log_is_without_queries(
    log_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    logged(new_settings(log_format=log_format))
    access = logging.getLogger("uvicorn.access")
    access.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, access.name):
        line = '%s - "%s %s HTTP/%s" %d'
        access.info(line, "127.0.0.1:5", "GET", "/oauth/authorize?state=x", "1.1", 200)
        access.info("%(what)s?", {"what": "another"})
    said = {record.getMessage() for record in caplog.records}
    assert said == {'127.0.0.1:5 - "GET /oauth/authorize HTTP/1.1" 200', "another?"}


def test_as_json_the_lines_of_uvicorn_are_json_too() -> None:
    uvicorn = logging.getLogger("uvicorn")
    uvicorn.addHandler(logging.NullHandler())
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()  # as --no-access-log leaves it
    uvicorn.propagate = access.propagate = False
    stream = logged(new_settings(log_format="json"))
    logging.getLogger("uvicorn.error").warning("Started server process [%d]", 1)
    logging.getLogger("uvicorn.access").warning("GET /")
    (line,) = lines_of(stream)
    assert (line["logger"], line["message"]) == ("uvicorn.error", "Started server process [1]")


@pytest.mark.parametrize("log_format", ["json", "readable"])
async def test_the_first_password_is_told_in_the_form_of_the_log_and_is_not_in_it(
    clock: Clock, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    settings = new_settings(log_format=log_format, admin_password=None)
    stream = logged(settings)
    async with serving(clock, settings):
        told = capsys.readouterr().err
    if log_format == "json":
        record = json.loads(told)
        assert {"time", "level", "logger"} < set(record)
        told = record["message"]
    assert told.startswith("First start: sign in as admin with the password ")
    assert told.split()[-1] not in stream.getvalue()
