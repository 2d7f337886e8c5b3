"""How a server starts, and what it refuses at once."""

import multiprocessing
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import FrameType, ModuleType

import anyio
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message

import auth.app
import combined_app
import resource_server.app
import startup
from auth.keys import open_key_ring
from auth.models import Use
from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from settings import Settings
from settings.listening import find_host
from settings.workers import count_workers
from tests.clock import Clock
from tests.kit import new_settings, serving


@pytest.mark.parametrize(
    ("arguments", "environment", "count"),
    [
        (["uvicorn", "combined_app:app"], {}, 1),
        (["uvicorn", "combined_app:app", "--workers", "4"], {}, 4),
        (["uvicorn", "--workers=4", "combined_app:app"], {}, 4),
        (["gunicorn", "-w", "3"], {}, 3),
        (["uvicorn"], {"WEB_CONCURRENCY": "2"}, 2),
        (["uvicorn", "--workers", "1"], {"WEB_CONCURRENCY": "2"}, 1),
        (["uvicorn", "--workers"], {}, 1),
        (["gunicorn", "-w4", "combined_app:app"], {}, 4),
        (["gunicorn", "-w=4", "combined_app:app"], {}, 4),
        (["uvicorn"], {"UVICORN_WORKERS": "3"}, 3),
        (["uvicorn"], {"UVICORN_WORKERS": "3", "WEB_CONCURRENCY": "2"}, 3),
        (["uvicorn"], {"UVICORN_WORKERS": "", "WEB_CONCURRENCY": "2"}, 2),
        (["uvicorn", "--workers=1"], {"UVICORN_WORKERS": "3"}, 1),
        (["uvicorn"], {"WEB_CONCURRENCY": "many"}, 1),
    ],
)
def test_the_number_of_workers_is_read_as_servers_read_it(
    arguments: list[str], environment: dict[str, str], count: int
) -> None:
    assert count_workers(arguments, environment) == count


@pytest.mark.parametrize(
    ("arguments", "environment", "host"),
    [
        (["uvicorn", "combined_app:app"], {}, "127.0.0.1"),
        (["uvicorn", "combined_app:app", "--host", "0.0.0.0"], {}, "0.0.0.0"),
        (["uvicorn", "--host=::", "combined_app:app"], {}, "::"),
        (["uvicorn"], {"UVICORN_HOST": "0.0.0.0"}, "0.0.0.0"),
        (["uvicorn", "--host", "127.0.0.1"], {"UVICORN_HOST": "0.0.0.0"}, "127.0.0.1"),
        (["uvicorn", "--host"], {}, ""),
    ],
)
def test_where_a_server_listens_is_read_as_uvicorn_reads_it(
    arguments: list[str], environment: dict[str, str], host: str
) -> None:
    assert find_host(arguments, environment) == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "mcp.example.com"])
def test_who_listens_to_others_says_under_which_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["uvicorn", "combined_app:app", "--host", host])
    with pytest.raises(SystemExit, match="Set LATCHGATE_PUBLIC_URL to the https URL"):
        startup.start(lambda _settings: None)
    monkeypatch.setenv("LATCHGATE_CONTAINED", "true")
    startup.start(lambda _settings: None)
    monkeypatch.delenv("LATCHGATE_CONTAINED")
    monkeypatch.setenv("LATCHGATE_PUBLIC_URL", "https://mcp.example.com")
    startup.start(lambda _settings: None)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_who_listens_to_this_machine_only_needs_no_url(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["uvicorn", "combined_app:app", "--host", host])
    startup.start(lambda _settings: None)


@pytest.fixture
def four_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["uvicorn", "combined_app:app", "--workers", "4"])


@pytest.mark.usefixtures("four_workers")
def test_several_workers_on_memory_are_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SystemExit, match="sqlite:///") as refused:
        startup.start(lambda _settings: None)
    assert "memory://" in str(refused.value)
    monkeypatch.setenv("LATCHGATE_STORE_URL", "sqlite:///latchgate.db")
    assert startup.start(lambda settings: settings.store_url) == "sqlite:///latchgate.db"


@pytest.mark.parametrize(
    ("version", "is_warned_of"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
    ],
)
@pytest.mark.usefixtures("four_workers")
def test_several_workers_on_a_sqlite_with_a_known_fault_are_warned(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: tuple[int, int, int],
    *,
    is_warned_of: bool,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    monkeypatch.setenv("LATCHGATE_STORE_URL", "sqlite:///latchgate.db")
    startup.start(lambda _settings: None)
    assert ("walresetbug" in capsys.readouterr().err) is is_warned_of


def start_as_a_worker() -> None:
    sys.argv = ["uvicorn", "combined_app:app", "--workers", "4"]
    startup.start(lambda _settings: None)


def test_a_worker_that_is_refused_ends_its_supervisor(tmp_path: Path) -> None:
    told = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    try:
        worker = multiprocessing.get_context("fork").Process(target=start_as_a_worker)
        worker.start()
        worker.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert worker.exitcode == 1
    assert told == [signal.SIGTERM]


def test_the_process_that_watches_over_workers_is_told_to_end() -> None:
    told = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    try:
        startup.end_supervisor(None)
        startup.end_supervisor(multiprocessing.current_process())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]


@pytest.mark.usefixtures("four_workers")
def test_a_wrong_setting_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHGATE_CODE_TTL", "soon")
    with pytest.raises(SystemExit, match="LATCHGATE_CODE_TTL"):
        startup.start(lambda _settings: None)


def test_a_fault_of_the_operators_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(_settings: Settings) -> None:
        raise ValueError("clients.toml: not TOML")

    with pytest.raises(SystemExit, match=r"does not start: clients\.toml"):
        startup.start(fail)


@pytest.mark.parametrize("scheme", ["valkey", "valkeys", "redis", "rediss"])
def test_replicas_need_a_key_that_they_share(scheme: str) -> None:
    with pytest.raises(ValueError, match="LATCHGATE_SECRET_KEYS"):
        open_key_ring(new_settings(secret_keys=(), store_url=f"{scheme}://host"))


@pytest.mark.usefixtures("four_workers")
def test_several_workers_keep_no_sessions_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHGATE_STORE_URL", "sqlite:///latchgate.db")
    assert startup.start(lambda settings: settings.mcp_sessions) == "stateless"
    monkeypatch.setenv("LATCHGATE_MCP_SESSIONS", "stateful")
    assert startup.start(lambda settings: settings.mcp_sessions) == "stateful"


@pytest.mark.usefixtures("four_workers")
def test_several_workers_that_keep_no_state_need_no_store() -> None:
    sessions = startup.start(lambda settings: settings.mcp_sessions, keeps_state=False)
    assert sessions == "stateless"


async def told(app: ASGIApp, *sent: str) -> list[str]:
    """What a server that runs this application is told of its lifespan."""
    messages: list[Message] = []
    received = [{"type": f"lifespan.{name}"} for name in sent]

    async def receive() -> Message:
        return received.pop(0)

    async def send(message: Message) -> None:
        messages.append(message)

    with suppress(StoreUnavailable, RuntimeError, ExceptionGroup):
        await app({"type": "lifespan", "state": {}}, receive, send)
    return [f"{message['type']} {message.get('message', '')}".strip() for message in messages]


READ_ONLY = StoreUnavailable("store.db: it is read-only")


def app_whose_lifespan(fails_at: str, error: Exception = READ_ONLY) -> Starlette:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if fails_at == "startup":
            raise error
        yield
        if fails_at == "shutdown":
            raise error

    return Starlette(
        lifespan=lifespan, middleware=[Middleware(startup.PlainStart, StoreUnavailable)]
    )


async def test_a_start_without_its_store_is_told_in_a_sentence() -> None:
    assert await told(app_whose_lifespan("startup"), "startup") == [
        "lifespan.startup.failed Latchgate does not start: store.db: it is read-only"
    ]


async def test_a_start_that_fails_for_an_unknown_reason_is_told_with_its_traceback() -> None:
    (message,) = await told(app_whose_lifespan("startup", RuntimeError("a fault")), "startup")
    assert message.startswith("lifespan.startup.failed Traceback")


async def test_what_happens_after_the_start_is_told_as_it_is() -> None:
    whole = await told(app_whose_lifespan("never"), "startup", "shutdown")
    assert whole == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    _, failed = await told(app_whose_lifespan("shutdown"), "startup", "shutdown")
    assert failed.startswith("lifespan.shutdown.failed Traceback")


@pytest.fixture(params=["corrupt", "directory", "no directory", "silent valkey"])
def useless_store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that cannot be opened."""
    path = tmp_path / "store.db"
    match request.param:
        case "corrupt":
            path.write_bytes(b"no database " * 1000)
        case "directory":
            path.mkdir()
        case "no directory":
            path.touch()
            path /= "store.db"
        case _:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                return f"valkey://127.0.0.1:{unused.getsockname()[1]}"
    return f"sqlite:///{path}"


@pytest.mark.parametrize("module", [combined_app, auth.app], ids=lambda module: module.__name__)
async def test_the_sentence_names_the_store(useless_store: str, module: ModuleType) -> None:
    app = module.create_app(new_settings(store_url=useless_store))
    (message,) = await told(app, "startup")
    assert message.startswith("lifespan.startup.failed Latchgate does not start: ")
    assert "store.db" in message or "Valkey" in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "module", [combined_app, auth.app, resource_server.app], ids=lambda module: module.__name__
)
async def test_the_sentence_names_the_port_of_metrics(module: ModuleType) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        app = module.create_app(
            new_settings(
                metrics_port=port,
                authorization_server="https://auth.example.com",
                introspection_client_id="resource-server",
                introspection_client_secret=SecretStr("a secret of the tests"),
            )
        )
        (message,) = await told(app, "startup")
    assert message.startswith(
        "lifespan.startup.failed "
        f"Latchgate does not start: LATCHGATE_METRICS_PORT: 127.0.0.1:{port}: "
    )


class GoneAtTheEnd(MemoryStore):
    """A store that has gone away when the last calls are to be written down."""

    async def record_uses(self, uses: Iterable[Use]) -> None:
        raise StoreUnavailable("gone")


async def test_a_store_that_is_away_at_the_end_spoils_no_shutdown(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(clock, store=GoneAtTheEnd()) as world:
        tokens = await world.tokens(await world.register())
        assert await world.calls(tokens["access_token"]) == 200
    assert "the last calls are not counted: gone" in caplog.text


@asynccontextmanager
async def handling(number: signal.Signals) -> AsyncIterator[list[str]]:
    """Somebody else's signal handler, which must still be called."""
    seen: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        seen.append(signal.Signals(number).name)

    before = signal.signal(number, handler)
    try:
        yield seen
    finally:
        signal.signal(number, before)


async def test_streams_are_closed_before_the_server_waits_for_them() -> None:
    closed = anyio.Event()
    async with handling(signal.SIGTERM) as seen:
        with startup.before_shutdown(closed.set):
            os.kill(os.getpid(), signal.SIGTERM)
            with anyio.fail_after(5):
                await closed.wait()
    assert seen == ["SIGTERM"]


async def test_a_handler_that_python_cannot_call_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with startup.before_shutdown(lambda: None):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_in_another_thread_signals_are_not_ours() -> None:
    def elsewhere() -> bool:
        with startup.before_shutdown(lambda: None):
            return True

    assert await anyio.to_thread.run_sync(elsewhere)
