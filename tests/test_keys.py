"""The key ring: where it comes from, what it seals, what survives a restart."""

import logging
import os
from pathlib import Path

import pytest

from auth.credentials import KeyRing
from auth.keys import InvalidKeyFile, key_file, open_key_ring
from tests.kit import KEY, new_settings


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that may be written to."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keyless(store_url: str = "memory://") -> KeyRing:
    return open_key_ring(new_settings(secret_keys=(), store_url=store_url))


@pytest.mark.parametrize("store_url", ["memory://", "sqlite:///data/latchgate.db"])
def test_a_key_is_made_once_and_kept_for_its_owner_alone(store_url: str) -> None:
    sealed = keyless(store_url).seal("test", {"a": 1})
    path = key_file(new_settings(store_url=store_url))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert keyless(store_url).unseal("test", sealed) == {"a": 1}


def test_of_two_processes_that_start_at_once_both_read_the_same_key(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keyless()
    kept = (somewhere / ".latchgate/key").read_bytes()
    # The second looked before the first had written.
    with monkeypatch.context() as patch:
        patch.setattr("auth.keys._is_absent", lambda _path: True)
        second = keyless()
    assert (somewhere / ".latchgate/key").read_bytes() == kept
    assert second.unseal("test", first.seal("test", 1)) == 1


def test_where_a_folder_cannot_be_opened_the_key_is_kept_all_the_same(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_as_windows_does(path: Path, flags: int, mode: int = 0o777) -> int:
        if path.is_dir():
            raise PermissionError(path)
        return opened(path, flags, mode)

    opened = os.open
    with monkeypatch.context() as patch:
        patch.setattr("os.open", open_as_windows_does)
        sealed = keyless().seal("test", 1)
    assert keyless().unseal("test", sealed) == 1


def test_a_key_that_others_can_read_is_refused_with_the_remedy(somewhere: Path) -> None:
    keyless()
    (somewhere / ".latchgate/key").chmod(0o640)
    with pytest.raises(InvalidKeyFile, match="chmod 600"):
        keyless()


def test_where_modes_say_nothing_the_key_is_read_again(
    somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth.keys.HAS_MODES", False)
    sealed = keyless().seal("test", 1)
    (somewhere / ".latchgate/key").chmod(0o666)  # as Windows tells it, whoever may read it
    assert keyless().unseal("test", sealed) == 1


def test_a_file_without_a_key_is_refused_with_the_remedy(somewhere: Path) -> None:
    keyless()
    (somewhere / ".latchgate/key").write_bytes(b"short\n")
    with pytest.raises(InvalidKeyFile, match="remove it"):
        keyless()


def test_with_nowhere_to_write_the_key_is_not_kept_and_that_is_said(
    somewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (somewhere / ".latchgate").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        ring = keyless()
    assert ring.unseal("test", ring.seal("test", 1)) == 1
    assert "LATCHGATE_SECRET_KEYS" in caplog.text


def test_a_key_that_cannot_be_read_is_no_reason_for_another(somewhere: Path) -> None:
    (somewhere / ".latchgate/key").mkdir(mode=0o700, parents=True)
    with pytest.raises(InvalidKeyFile, match=r"cannot be read .* LATCHGATE_SECRET_KEYS"):
        keyless()


@pytest.mark.parametrize("name", [".latchgate", ".latchgate/key"])
def test_a_link_that_leads_nowhere_is_no_reason_for_another(somewhere: Path, name: str) -> None:
    link = somewhere / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(link)
    with pytest.raises(InvalidKeyFile):
        keyless()


def test_what_outlives_the_server_needs_a_key_that_does(somewhere: Path) -> None:
    (somewhere / "data").write_text("in the way")
    with pytest.raises(InvalidKeyFile, match=r"data/latchgate.db.key"):
        keyless("sqlite:///data/latchgate.db")


def test_a_draft_that_a_crash_left_is_in_nobodys_way(somewhere: Path) -> None:
    keyless()
    kept = somewhere / ".latchgate/key"
    kept.rename(kept.with_name(f"key.{os.getpid()}"))
    keyless()
    assert kept.exists()


def test_configured_keys_need_no_file(somewhere: Path) -> None:
    assert open_key_ring(new_settings()).unseal("a", KeyRing([KEY.encode()]).seal("a", 1)) == 1
    assert not list(somewhere.iterdir())


def test_what_was_sealed_for_one_purpose_opens_for_no_other() -> None:
    ring = KeyRing([KEY.encode()])
    assert ring.unseal("other", ring.seal("test", 1)) is None


@pytest.mark.parametrize("damage", ["", ".", "x", "x.y", "..", "é", "\0"])
def test_what_was_not_sealed_opens_nothing(damage: str) -> None:
    assert KeyRing([KEY.encode()]).unseal("test", damage) is None


def test_the_parts_of_a_message_cannot_run_into_each_other() -> None:
    ring = KeyRing([KEY.encode()])
    assert ring.derive("test", b"ab", b"c") != ring.derive("test", b"a", b"bc")
    assert ring.derive("test", b"a") != ring.derive("tes", b"ta")
