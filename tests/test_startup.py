"""How a server starts, and what it refuses at once."""

import multiprocessing
import signal
import sys
from pathlib import Path

import pytest

import startup
from auth.keys import open_key_ring
from settings import Settings
from tests.kit import new_settings


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
        (["uvicorn"], {"WEB_CONCURRENCY": "many"}, 1),
    ],
)
def test_the_number_of_workers_is_read_as_servers_read_it(
    arguments: list[str], environment: dict[str, str], count: int
) -> None:
    assert startup.worker_count(arguments, environment) == count


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
