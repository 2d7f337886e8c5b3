"""Where the key ring comes from: the settings, or a file that is made once."""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from auth.credentials import KeyRing
from settings import Settings
from valkey_urls import is_valkey

KEY_FILE = Path(".latchgate/key")
HAS_MODES = os.name != "nt"
"""Whether a file's mode says who can read it: on Windows every mode looks open to everybody."""

logger = logging.getLogger("latchgate")


class MissingKeys(ValueError):
    """Replicas share the store, so they need keys that they share."""


class InvalidKeyFile(ValueError):
    """The key file cannot be used; the message says why and what to do."""


def open_key_ring(settings: Settings) -> KeyRing:
    """The configured keys; without any, the one in the key file, made at the first start.

    Raises MissingKeys for a store that replicas share, InvalidKeyFile for a file that cannot be
    read, made or trusted: only what is in memory may go with its key.
    """
    if settings.secret_keys:
        return KeyRing([key.get_secret_value().encode() for key in settings.secret_keys])
    if is_valkey(settings.store_url):
        raise MissingKeys(
            "set LATCHGATE_SECRET_KEYS, to the same on every replica: a key made on one machine "
            "would open nothing on the others. Make one with "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    path = key_file(settings)
    try:
        return KeyRing([_read_or_make(path)])
    except OSError as error:
        if path == KEY_FILE and _is_absent(path):
            logger.warning(
                "The key cannot be kept in %s (%s): after a restart every client has to register "
                "again. Set LATCHGATE_SECRET_KEYS, or make the place writable.",
                path,
                error.strerror,
            )
            return KeyRing([_new_key()])
        # Another key would open nothing, and each worker would draw one of its own.
        raise InvalidKeyFile(
            f"the key in {path} cannot be read or made ({error.strerror}): let this user read and "
            "write it, or set LATCHGATE_SECRET_KEYS"
        ) from error


def key_file(settings: Settings) -> Path:
    """Where the key is kept: beside the SQLite file, or in the working directory."""
    scheme, _, path = settings.store_url.partition(":///")
    return Path(path + ".key") if scheme == "sqlite" else KEY_FILE


def _read_or_make(path: Path) -> bytes:
    return _make(path) if _is_absent(path) else _read(path)


def _is_absent(path: Path) -> bool:
    """Whether there is surely no such file; what hides behind a fault may be the key."""
    try:
        path.lstat()
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def _read(path: Path) -> bytes:
    if HAS_MODES and path.stat().st_mode & 0o077:
        raise InvalidKeyFile(f"{path} can be read by others: run chmod 600 {path}")
    key = path.read_bytes().strip()
    if len(key) < 32:  # noqa: PLR2004 - 256 bits
        raise InvalidKeyFile(f"{path} holds no key: remove it, and a new one is made")
    return key


def _make(path: Path) -> bytes:
    """Write a key so that of several processes that start at once all read the same one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_new_key())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key is the one
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return _read(path)


def _sync_folder(folder: Path) -> None:
    """A power cut must not take the name of the key away, since it leaves what the key sealed."""
    # Not every system opens a folder (Windows), and not every file system can.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new_key() -> bytes:
    return secrets.token_urlsafe(48).encode()
