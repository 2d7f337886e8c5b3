"""Secrets: drawn at random, stored as digests, sealed or derived under the key ring."""

import hmac
import json
import secrets
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from auth.models import Digest

SECRET_BYTES = 32


def digest(secret: str) -> Digest:
    """What is stored of a secret: its SHA-256. A fast hash is right for 256 random bits."""
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_secret(prefix: str = "") -> str:
    """A fresh secret of 256 bits in unreserved characters, after a prefix that scanners know."""
    return prefix + secrets.token_urlsafe(SECRET_BYTES)


def is_same(left: str, right: str) -> bool:
    """Compare two strings in a time that does not tell where they differ."""
    return hmac.compare_digest(left.encode(), right.encode())


class KeyRing:
    """The server's keys, newest first: the newest seals and derives, every one still opens.

    Each use names its purpose, so that nothing sealed for one purpose opens for another.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)
        self._serializer = cache(self._new_serializer)

    def seal(self, purpose: str, payload: Any) -> str:
        """Sign a JSON value into an opaque string of unreserved characters (not encrypted)."""
        return self._serializer(purpose).dumps(payload)

    def unseal(self, purpose: str, sealed: str) -> Any | None:
        """What was sealed for this purpose under any key of the ring; None for anything else.

        One spelling only: base64 decoders forgive, and a banned client_id spelt anew is not banned.
        """
        signature = sealed.rpartition(".")[2]
        try:
            if base64_encode(base64_decode(signature)) != signature.encode():
                return None
            return self._serializer(purpose).loads(sealed)
        except (BadData, ValueError, RecursionError):
            return None

    def derive(self, purpose: str, *message: bytes) -> bytes:
        """32 bytes that only the holder of the newest key can compute from the message."""
        return next(self.derivations(purpose, *message))

    def derivations(self, purpose: str, *message: bytes) -> Iterator[bytes]:
        """The same under each key of the ring, newest first."""
        framed = b"".join(len(part).to_bytes(4) + part for part in (purpose.encode(), *message))
        return (hmac.digest(key, framed, "sha256") for key in self._keys)

    def _new_serializer(self, purpose: str) -> URLSafeSerializer:
        return URLSafeSerializer(
            list(reversed(self._keys)),
            salt=f"latchgate {purpose}",
            serializer=_CompactJSON,
            signer_kwargs={"digest_method": sha256},
        )


class _CompactJSON:
    """JSON without spaces and escapes, so that sealed strings stay short."""

    @staticmethod
    def loads(text: str | bytes) -> Any:
        return json.loads(text)

    @staticmethod
    def dumps(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
