"""Codes, access tokens and refresh families: what is minted and how it is told apart.

A family is one grant. Everything it ever gives is a function of its *handle*, 128 bits that are
themselves a function of the authorization code, and of a generation number:

    code ──> handle ──> grant_id                   (a digest: leads to the grant, not back)
                └─ n ─> access token n, refresh token n

The store keeps no token and no handle, only digests, `grant_id` and the number of the generation
that is valid; so a repeated refresh gives byte-identical tokens with nothing secret at rest, and
an old refresh token proves that it is one without a row for each.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from secrets import token_bytes

from auth.credentials import KeyRing, digest, new_secret
from auth.models import Digest

CODE_PREFIX = "mcp_ac_"
ACCESS_TOKEN_PREFIX = "mcp_at_"
REFRESH_TOKEN_PREFIX = "mcp_rt_"

LIVE_GENERATIONS = 8
"""So many access tokens of a family may live at a time, or one client could fill the store."""

_HANDLE = 16
_GENERATION = 4
_MAC = 32
_REFRESH_TOKEN_LENGTH = len(REFRESH_TOKEN_PREFIX) + 70


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token that proved to be one of ours: which family, which generation."""

    handle: bytes
    generation: int

    @property
    def grant_id(self) -> str:
        """The grant whose family it is of."""
        return grant_id_of(self.handle)


def new_code() -> str:
    """A fresh authorization code: 256 random bits (OAuth 2.1 §7.7)."""
    return new_secret(CODE_PREFIX)


def new_handle(keys: KeyRing, code: str) -> bytes:
    """The handle of the family that this code will give."""
    return keys.derive("handle", code.encode())[:_HANDLE]


def random_handle() -> bytes:
    """The handle of a family that no code leads to (client_credentials)."""
    return token_bytes(_HANDLE)


def find_handle(keys: KeyRing, code: str, grant_id: str) -> bytes | None:
    """The handle that was made from this code, whichever key of the ring made it."""
    candidates = (mac[:_HANDLE] for mac in keys.derivations("handle", code.encode()))
    return next((handle for handle in candidates if grant_id_of(handle) == grant_id), None)


def grant_id_of(handle: bytes) -> str:
    """The public name of the family with this handle; the handle cannot be told from it."""
    return "grant_" + sha256(b"latchgate grant" + handle).hexdigest()[:32]


def access_token(keys: KeyRing, handle: bytes, generation: int) -> str:
    """The access token of a generation."""
    return next(access_tokens(keys, handle, generation))


def access_tokens(keys: KeyRing, handle: bytes, generation: int) -> Iterator[str]:
    """The access token of a generation as each key of the ring would have made it."""
    macs = keys.derivations("access token", handle, generation.to_bytes(_GENERATION))
    return (ACCESS_TOKEN_PREFIX + _text(mac) for mac in macs)


def superseded(keys: KeyRing, handle: bytes, generation: int) -> list[Digest]:
    """The access token that ends when one of this generation is given, as `access_tokens`."""
    old = generation - LIVE_GENERATIONS
    return [digest(token) for token in access_tokens(keys, handle, old)] if old > 0 else []


def refresh_token(keys: KeyRing, handle: bytes, generation: int) -> str:
    """The refresh token of a generation."""
    message = handle + generation.to_bytes(_GENERATION)
    return REFRESH_TOKEN_PREFIX + _text(message + keys.derive("refresh token", message))


def read_refresh_token(keys: KeyRing, token: str) -> RefreshToken | None:
    """The family and generation of a refresh token that we made; None for anything else."""
    if not token.startswith(REFRESH_TOKEN_PREFIX) or len(token) != _REFRESH_TOKEN_LENGTH:
        return None
    text = token.removeprefix(REFRESH_TOKEN_PREFIX)
    if not text.isascii():
        return None
    try:
        data = urlsafe_b64decode(text + "==")
    except ValueError:
        return None
    message, presented = data[:-_MAC], data[-_MAC:]
    # One spelling only: base64 decoders forgive stray characters and spare bits.
    if _text(data) != text or len(data) != _HANDLE + _GENERATION + _MAC:
        return None
    macs = keys.derivations("refresh token", message)
    if not any(compare_digest(mac, presented) for mac in macs):
        return None
    return RefreshToken(message[:_HANDLE], int.from_bytes(message[_HANDLE:]))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
