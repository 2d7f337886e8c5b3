"""Which store a URL names."""

from pathlib import Path

import pytest

from auth.store.memory import MemoryStore
from auth.store.sqlite import SqliteStore
from auth.store.urls import open_store, place_of
from auth.store.valkey import ValkeyStore


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryStore),
        ("sqlite:///latchgate.db", SqliteStore),
        ("sqlite:////var/lib/latchgate.db", SqliteStore),
        ("valkey://localhost:6379/0", ValkeyStore),
        ("valkeys://:password@localhost:6379/0", ValkeyStore),
        ("redis://localhost", ValkeyStore),
        ("rediss://localhost", ValkeyStore),
    ],
)
def test_a_url_names_a_store(url: str, kind: type[object]) -> None:
    assert isinstance(open_store(url), kind)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///a?b.db", Path.cwd() / "a?b.db"),
        ("sqlite:////var/lib/latchgate.db", Path("/var/lib/latchgate.db")),
        ("valkeys://ada:hunter2@host:6379/0?password=hunter2", "valkeys://host:6379/0"),
        ("redis://localhost", "redis://localhost"),
    ],
)
def test_where_a_store_is_can_be_told_without_its_password(url: str, place: Path | str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("memory", id="no-scheme"),
        pytest.param("postgresql://user:hunter2@db/latchgate", id="unknown-scheme"),
        pytest.param("sqlite://", id="no-path"),
        pytest.param("sqlite:///", id="empty-path"),
        pytest.param("sqlite://latchgate.db", id="a-host-instead-of-a-path"),
    ],
)
def test_any_other_url_is_refused_with_the_setting_to_change(url: str) -> None:
    with pytest.raises(ValueError, match="LATCHGATE_STORE_URL must be memory://") as refused:
        open_store(url)
    assert "hunter2" not in str(refused.value)


async def test_a_relative_path_is_beside_where_the_server_was_started(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    for url, path in (
        ("sqlite:///relative.db", here / "relative.db"),
        (f"sqlite:///{here}/absolute.db", here / "absolute.db"),
    ):
        store = open_store(url)
        await store.open()
        await store.close()
        assert path.is_file()
