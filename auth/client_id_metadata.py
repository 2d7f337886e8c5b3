"""Client ID Metadata Documents: a client_id that is the URL of its own description (CIMD)."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from auth.client_metadata_document import read_client_metadata_document
from auth.document_cache import DocumentCache, Freshness, freshness
from auth.json_documents import InvalidJson, read_json
from auth.models import Client
from auth.safe_fetch import (
    DocumentError,
    DocumentGone,
    DocumentInvalid,
    DocumentMethodUnknown,
    DocumentUnreachable,
    SafeFetcher,
    noting_failure,
)
from auth.tracing import fetching
from auth.uris import LOOPBACK_HOSTS, InvalidUri, check_host, split_uri

__all__ = (
    "ClientMetadataDocuments",
    "DocumentError",
    "DocumentGone",
    "DocumentInvalid",
    "DocumentMethodUnknown",
    "DocumentUnreachable",
    "InvalidPin",
    "is_client_id_url",
    "load_pins",
)

MAX_BYTES = 5 * 1024


class InvalidPin(ValueError):
    """A pinned document cannot be used; the message names the file and says why."""


def is_client_id_url(client_id: str, *, allow_loopback: bool = False) -> bool:
    """Whether a client_id is a Client Identifier URL (CIMD §3): https, and a path besides `/`.

    `allow_loopback`: http on this machine will do as well, for development.
    """
    try:
        uri = split_uri(client_id)
        check_host(uri.host)
    except InvalidUri:
        return False
    is_loopback = uri.scheme == "http" and uri.host in LOOPBACK_HOSTS
    return (
        (uri.scheme == "https" or (is_loopback and allow_loopback))
        and uri.path not in {"", "/"}
        and uri.query != ""
    )


class ClientMetadataDocuments:
    """The clients that describe themselves, found by their URLs.

    `hosts`: only documents on these hosts are fetched; empty for any. `pins`: documents that the
    operator keeps, used instead of what is on the web.
    """

    def __init__(
        self,
        fetcher: SafeFetcher,
        now: Callable[[], float],
        *,
        hosts: Collection[str] = (),
        pins: Mapping[str, Client] = MappingProxyType({}),
    ) -> None:
        self._fetcher = fetcher
        self._now = now
        self._hosts = frozenset(host.lower() for host in hosts)
        self._pins = pins
        self._cache = DocumentCache(self._load)

    def is_known(self, client_id: str) -> bool:
        """Whether this document was read before, or is being read."""
        return client_id in self._pins or client_id in self._cache

    async def find(self, client_id: str) -> Client:
        """The client whose `client_id` is this URL (`is_client_id_url`).

        Raises DocumentUnreachable or DocumentInvalid.
        """
        if client_id in self._pins:
            return self._pins[client_id]
        if self._hosts and split_uri(client_id).host not in self._hosts:
            raise DocumentInvalid("its host is not one whose clients this server accepts")
        return await self._cache.find(client_id, self._now())

    async def _load(self, client_id: str) -> tuple[Client, Freshness]:
        with noting_failure("client metadata document", client_id):
            with fetching("client_metadata_document", split_uri(client_id).host):
                fetched = await self._fetcher.fetch(
                    client_id, MAX_BYTES, is_known=self._cache.has_read(client_id)
                )
            client = read_client_metadata_document(fetched.content, client_id)
        return client, freshness(fetched)


def load_pins(path: Path) -> Mapping[str, Client]:
    """The clients of a pinned document, or of every `*.json` in a directory, by their client_id.

    Raises InvalidPin.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    clients = [_load_pin(file) for file in files]
    return MappingProxyType({client.client_id: client for client in clients})


def _load_pin(file: Path) -> Client:
    try:
        content = file.read_bytes()
        members = read_json(content)
        client_id = members.get("client_id") if isinstance(members, dict) else None
        if not isinstance(client_id, str) or not is_client_id_url(client_id, allow_loopback=True):
            raise InvalidPin(f"{file}: its client_id is not an https URL with a path")
        return read_client_metadata_document(content, client_id)
    except OSError as error:
        raise InvalidPin(f"{file}: it cannot be read: {error.strerror}") from error
    except (InvalidJson, DocumentInvalid) as error:
        raise InvalidPin(f"{file}: {error}") from error
