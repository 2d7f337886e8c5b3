"""Client authentication by a signed assertion, `private_key_jwt` (RFC 7523 §3, rfc7523bis)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import ceil, nan
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.types import Options

from auth.credentials import digest
from auth.errors import InvalidClient, TemporarilyUnavailable
from auth.models import Client, Digest
from auth.safe_fetch import DocumentInvalid, DocumentUnreachable

# What an assertion may be signed with, and the keys that fit: asymmetric only (RFC 8725 §3.1).
_KEYS_BY_ALGORITHM: Mapping[str, Mapping[str, str]] = {
    "RS256": {"kty": "RSA"},
    "PS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
ALGORITHMS = tuple(_KEYS_BY_ALGORITHM)

MAX_LIFETIME = 10 * 60
CLOCK_SKEW = 60
MAX_LENGTH = 8 * 1024
MAX_JTI_LENGTH = 256

# Clients known by their documents that sign for the token endpoint, as RFC 7523 had it. Only these:
# whoever trusts another server's metadata can be made to sign for ours (rfc7523bis).
_SIGN_FOR_THE_TOKEN_ENDPOINT = ("https://chatgpt.com/",)

# No type at all is common; any other is a JWT made for something else (RFC 8725 §3.11).
_TYPES = frozenset({"", "jwt", "client-authentication+jwt", "oauth-client-auth+jwt"})

# Checking a signature takes as long as the key is made to take, and the key may be a stranger's.
_RSA_BITS = range(2048, 4096 + 1)
_RSA_EXPONENT_BITS = 32
_MOST_TRIED = 4

# What PyJWT raises for a stranger's JWT or key: in some versions not only its own.
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, RecursionError)

# PyJWT proves the signature; the claims are judged here, by the server's clock.
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class SpendsOnce(Protocol):
    """The one verb of the store that is needed here."""

    async def spend(self, digest: Digest, expires_at: int, now: int) -> bool:
        """Use a one-time thing: True for the first caller before `expires_at`."""


class FetchJwks(Protocol):
    """How a client's `jwks_uri` becomes the JSON text of its key set."""

    async def __call__(self, url: str, *, anew: bool = False) -> str:
        """`anew`: not from a cache, unless it was filled a moment ago."""


def unverified_issuer(assertion: str) -> str | None:
    """Whom an assertion names as its issuer, to find its keys by: nothing is proved yet."""
    try:
        issuer = jwt.decode(_sized(assertion), options={"verify_signature": False}).get("iss")
    except (InvalidClient, *_UNREADABLE):
        return None
    return issuer if isinstance(issuer, str) else None


async def verify_client_assertion(
    assertion: str,
    *,
    client: Client,
    issuer: str,
    token_endpoint: str,
    store: SpendsOnce,
    now: int,
    fetch_jwks: FetchJwks,
) -> None:
    """Return if this client signed the assertion for this issuer, just now and for the first time.

    Raises InvalidClient, and TemporarilyUnavailable if the client's keys cannot be fetched.
    """
    header = _read_header(_sized(assertion))
    claims = await _proved_claims(assertion, header, client, fetch_jwks)
    audiences = [issuer]
    if client.client_id.startswith(_SIGN_FOR_THE_TOKEN_ENDPOINT):
        audiences.append(token_endpoint)
    _check_claims(claims, client.client_id, audiences, now)
    once = f"client assertion\0{client.client_id}\0{claims['jti']}"
    if not await store.spend(digest(once), ceil(claims["exp"]) + CLOCK_SKEW, now):
        raise InvalidClient("the client assertion was used before: make a new jti for each request")


def _sized(assertion: str) -> str:
    if len(assertion) > MAX_LENGTH or not assertion.isascii():
        raise InvalidClient("the client assertion is not a JWT of a reasonable size")
    return assertion


def _read_header(assertion: str) -> Mapping[str, Any]:
    try:
        header = jwt.get_unverified_header(assertion)
    except _UNREADABLE:
        raise InvalidClient("the client assertion is not a well-formed JWT") from None
    if header.get("alg") not in ALGORITHMS:
        raise InvalidClient(f"the client assertion must be signed with {', '.join(ALGORITHMS)}")
    if str(header.get("typ", "")).lower() not in _TYPES:
        raise InvalidClient("the client assertion has the typ of another kind of JWT")
    return header


async def _proved_claims(
    assertion: str, header: Mapping[str, Any], client: Client, fetch_jwks: FetchJwks
) -> dict[str, Any]:
    """The claims, signed by one of the client's keys; new keys at its `jwks_uri` are looked for."""
    try:
        if client.jwks_uri is None:
            claims = _claims_if_signed(assertion, header, client.jwks or '{"keys":[]}')
        else:
            claims = _claims_if_signed(assertion, header, await fetch_jwks(client.jwks_uri))
            claims = claims or _claims_if_signed(
                assertion, header, await fetch_jwks(client.jwks_uri, anew=True)
            )
    except DocumentUnreachable as error:
        raise TemporarilyUnavailable(
            "the client's keys cannot be fetched at the moment", retry_after=30
        ) from error
    except DocumentInvalid as error:
        raise InvalidClient("the client's jwks_uri does not lead to a valid key set") from error
    if claims is None:
        raise InvalidClient("the client assertion is not signed with a key of this client")
    return claims


def _claims_if_signed(
    assertion: str, header: Mapping[str, Any], jwks: str
) -> dict[str, Any] | None:
    for key in islice(_fitting_keys(header, jwks), _MOST_TRIED):
        try:
            return jwt.decode(assertion, key, [key.algorithm_name], options=_SIGNATURE_ONLY)
        except _UNREADABLE:
            continue
    return None


def _fitting_keys(header: Mapping[str, Any], jwks: str) -> Iterator[jwt.PyJWK]:
    algorithm, kid = header["alg"], header.get("kid")
    for key in json.loads(jwks)["keys"]:
        required = {**_KEYS_BY_ALGORITHM[algorithm], "use": "sig", "alg": algorithm}
        if kid is not None:
            required["kid"] = kid
        # `use`, `alg` and `kid` are optional in a key (RFC 7517 §4): what is not said fits.
        if any(key.get(name, value) != value for name, value in required.items()):
            continue
        try:
            usable = jwt.PyJWK(key, algorithm)
        except _UNREADABLE:
            continue
        if _is_sound(usable.key):
            yield usable


def _is_sound(key: Any) -> bool:
    """Whether an RSA key is neither weak nor made to cost; of the other kinds all are alike."""
    return not isinstance(key, RSAPublicKey) or (
        key.key_size in _RSA_BITS and key.public_numbers().e.bit_length() <= _RSA_EXPONENT_BITS
    )


def _check_claims(
    claims: Mapping[str, Any], client_id: str, audiences: Sequence[str], now: int
) -> None:
    jti = claims.get("jti")
    rules = (
        (
            claims.get("iss") == claims.get("sub") == client_id,
            "iss and sub of the client assertion must both be the client_id",
        ),
        (
            _is_audience(claims.get("aud"), audiences),
            "aud of the client assertion must be the issuer identifier of this server alone",
        ),
        (
            now - CLOCK_SKEW < _time(claims, "exp", nan) <= now + MAX_LIFETIME + CLOCK_SKEW,
            "exp of the client assertion must lie in the next ten minutes",
        ),
        (
            _time(claims, "iat", now) <= now + CLOCK_SKEW,
            "iat of the client assertion lies in the future",
        ),
        (
            _time(claims, "nbf", now) <= now + CLOCK_SKEW,
            "nbf of the client assertion lies in the future",
        ),
        (
            isinstance(jti, str) and 0 < len(jti) <= MAX_JTI_LENGTH,
            f"jti of the client assertion must be a string of 1 to {MAX_JTI_LENGTH} characters",
        ),
    )
    for holds, description in rules:
        if not holds:
            raise InvalidClient(description)


def _is_audience(audience: Any, audiences: Sequence[str]) -> bool:
    """One of these and nothing else (rfc7523bis); URL libraries write a slash at the end."""
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    return isinstance(audience, str) and audience.removesuffix("/") in audiences


def _time(claims: Mapping[str, Any], name: str, default: float) -> float:
    """A NumericDate (RFC 7519 §2); not a number compares with nothing and so never passes."""
    value = claims.get(name, default)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else nan
