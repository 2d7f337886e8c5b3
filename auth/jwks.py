"""JSON Web Key Sets of clients (RFC 7517 §5): public keys and nothing else."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from auth.document_cache import MAX_TTL, MIN_TTL, DocumentCache, Freshness, freshness
from auth.json_documents import InvalidJson, read_json
from auth.safe_fetch import DocumentInvalid, SafeFetcher, noting_failure

MAX_BYTES = 64 * 1024
_MAX_KEYS = 20

# What only the owner of a key may hold (RFC 7518 §6).
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class InvalidJwks(ValueError):
    """What was given is no set of public keys. The message never repeats it."""


def read_jwks(value: Any) -> str:
    """A key set as JSON text, if every key in it is a public one; raises InvalidJwks."""
    keys = value.get("keys") if isinstance(value, Mapping) else None
    if not isinstance(keys, list) or not 0 < len(keys) <= _MAX_KEYS:
        raise InvalidJwks(f"must be a JSON Web Key Set of 1 to {_MAX_KEYS} keys")
    for key in keys:
        if not isinstance(key, Mapping) or not isinstance(key.get("kty"), str):
            raise InvalidJwks("must have a key type (kty) in each of its keys")
        if _is_private(key):
            raise InvalidJwks("must not hold private or symmetric keys")
    return json.dumps({"keys": keys}, separators=(",", ":"))


def has_private_keys(value: Any) -> bool:
    """Whether somebody gave away a private or symmetric key in what should be a key set."""
    keys = value.get("keys") if isinstance(value, Mapping) else None
    return isinstance(keys, list) and any(map(_is_private, keys))


def _is_private(key: Any) -> bool:
    return isinstance(key, Mapping) and (
        key.get("kty") == "oct" or not _PRIVATE_MEMBERS.isdisjoint(key)
    )


class JwksDocuments:
    """The key sets that clients keep at their `jwks_uri`, fetched as safely as everything else."""

    def __init__(self, fetcher: SafeFetcher, now: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._now = now
        self._cache = DocumentCache(self._load)

    async def fetch(self, url: str, *, anew: bool = False) -> str:
        """The key set at this URL as JSON text; `anew`: not older than half a minute.

        Raises DocumentUnreachable or DocumentInvalid.
        """
        return await self._cache.find(url, self._now(), MIN_TTL if anew else MAX_TTL)

    async def _load(self, url: str) -> tuple[str, Freshness]:
        with noting_failure("key set", url):
            fetched = await self._fetcher.fetch(url, MAX_BYTES, is_known=self._cache.has_read(url))
            try:
                return read_jwks(read_json(fetched.content)), freshness(fetched)
            except InvalidJson as error:
                raise DocumentInvalid(str(error)) from error
            except InvalidJwks as error:
                raise DocumentInvalid(f"it {error}") from error
