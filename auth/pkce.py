"""Proof Key for Code Exchange (RFC 7636), S256 only."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from auth.credentials import is_same

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_challenge(code_challenge: str) -> bool:
    """Whether this can be an S256 challenge: BASE64URL of 32 bytes (RFC 7636 §4.2)."""
    return _CHALLENGE.fullmatch(code_challenge) is not None


def is_verifier(code_verifier: str) -> bool:
    """Whether this is a verifier by its alphabet and length (RFC 7636 §4.1)."""
    return _VERIFIER.fullmatch(code_verifier) is not None


def challenge_of(code_verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 §4.2)."""
    return urlsafe_b64encode(sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


def matches(code_verifier: str, code_challenge: str) -> bool:
    """Whether the verifier is the one behind the challenge (RFC 7636 §4.6)."""
    return is_verifier(code_verifier) and is_same(challenge_of(code_verifier), code_challenge)
