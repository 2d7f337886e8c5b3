"""Who a token is of: the seam `VerifyToken`, and what fills it when we run apart from the issuer.

Inside one process `combined_app` looks into the store; here are introspection (RFC 7662) and JSON
Web Tokens (RFC 9068), both of which find their endpoints by discovery.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote_plus

import httpx2
import jwt
from mcp.server.auth.provider import AccessToken

from origins import InvalidOrigin, Origins, canonical_resource
from resource_server.discovery import (
    Remembered,
    Unreachable,
    fetch_json,
    fetch_metadata,
    is_safe_url,
)
from settings.values import SCOPE_TOKEN

MAX_TOKEN = 8192
MAX_SKEW = 60
MAX_TIME = 2**40
KEYS_REFETCH_INTERVAL = 30
ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""The signature algorithms taken and the kind of key each needs: asymmetric ones only, so that no
public key can be used as a shared secret (RFC 8725 §3.1)."""

VerifyToken = Callable[[str], Awaitable[AccessToken | None]]
"""Says who a token is of, None if it is of nobody any more; VerifierUnavailable if it cannot tell.

`subject` is the person, `client_id` the client, `resource` the one resource of ours it is for,
`claims["iss"]` who issued it.
"""

_OTHER_KINDS = frozenset({"refresh", "offline", "id"})
_OTHER_PREFIXES = ("mcp_ac_", "mcp_rt_", "mcp_cs_")
"""Codes, refresh tokens and secrets of Latchgate: whoever sends one here has mixed them up."""

logger = logging.getLogger("latchgate.verifiers")


class VerifierUnavailable(Exception):
    """Whether the token is good cannot be told now; asking again after `retry_after` may help."""

    def __init__(self, reason: str, retry_after: int = 5) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Claims:
    """Reads what an issuer says of a token and decides whether it is one for us."""

    def __init__(self, issuer: str, origins: Origins, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._origins = origins
        self._clock = clock

    def access_token(self, token: str, claims: Mapping[str, Any]) -> AccessToken | None:
        """The token that these claims describe (RFC 7662 §2.2, RFC 9068 §2.2), None if refused."""
        resource = self._resource(claims)
        problem = self._problem(claims) or (None if resource else "it is for another resource")
        if problem:
            logger.info("refused a token: %s", problem)
            return None
        return AccessToken(
            token=token,
            client_id=str(claims.get("client_id") or claims.get("azp") or ""),
            scopes=_scopes(claims),
            expires_at=int(claims["exp"]) if "exp" in claims else None,
            resource=resource,
            subject=str(claims["sub"]) if claims.get("sub") else None,
            claims={**claims, "iss": self._issuer},
        )

    def _problem(self, claims: Mapping[str, Any]) -> str | None:
        now = self._clock()
        nbf = claims.get("nbf", 0)
        expires_at = claims.get("exp", MAX_TIME - 1)
        kind = str(claims.get("token_type", "Bearer"))
        checks = {
            "its issuer is another": claims.get("iss", self._issuer) == self._issuer,
            "it has expired": _is_time(expires_at) and now < expires_at,
            "it is not valid yet": _is_time(nbf) and nbf <= now + MAX_SKEW,
            # RFC 9449 §7.2, RFC 8705 §3: bound to a key, it must not be taken as a bearer token.
            "it is bound to a key": "cnf" not in claims and kind.lower() == "bearer",
            "it is no access token": str(claims.get("typ", "")).lower() not in _OTHER_KINDS,
        }
        return next((problem for problem, passed in checks.items() if not passed), None)

    def _resource(self, claims: Mapping[str, Any]) -> str | None:
        """The first resource of ours in its audience; no prefix counts, a slash at the end may."""
        audience = claims.get("aud", claims.get("resource"))
        for value in audience if isinstance(audience, list) else [audience]:
            try:
                resource = canonical_resource(value) if isinstance(value, str) else ""
            except InvalidOrigin:
                continue
            host = resource.partition("://")[2].partition("/")[0]
            origin = self._origins.select(host)
            if origin is not None and origin.resource == resource:
                return resource
        return None


def _is_time(value: Any) -> bool:
    """Whether a claim is a time: a number (true is none), and one that any clock can show."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MAX_TIME


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Its scopes: `scope` as a string (RFC 9068 §2.2.3), or a list under either usual name."""
    scope = claims.get("scope", claims.get("scp", ""))
    values = scope.split() if isinstance(scope, str) else scope
    if not isinstance(values, list):
        return []
    return [value for value in values if isinstance(value, str) and SCOPE_TOKEN.fullmatch(value)]


class IntrospectionVerifier:
    """Asks the issuer about every token (RFC 7662), so that a revocation counts at once.

    Nothing is cached: what was true a second ago need not be.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        issuer: str,
        credentials: tuple[str, str],
        origins: Origins,
        clock: Callable[[], float],
    ) -> None:
        self._http = http
        self._claims = Claims(issuer, origins, clock)
        self._metadata = Remembered(partial(fetch_metadata, http, issuer), clock)
        # RFC 6749 §2.3.1: name and secret are form-encoded before they become Basic credentials.
        self._auth = httpx2.BasicAuth(*map(quote_plus, credentials))

    async def __call__(self, token: str) -> AccessToken | None:
        """Verify a token."""
        if token.startswith(_OTHER_PREFIXES):
            logger.info("refused a token: it is no access token")
            return None
        url = await self.endpoint()
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            answer = await self._http.post(
                url, data=form, auth=self._auth, headers={"Accept": "application/json"}
            )
        except httpx2.HTTPError as error:
            raise VerifierUnavailable(f"introspection failed: {type(error).__name__}") from error
        if answer.status_code in {401, 403}:
            raise VerifierUnavailable(
                f"introspection answered {answer.status_code}: check "
                "LATCHGATE_INTROSPECTION_CLIENT_ID and LATCHGATE_INTROSPECTION_CLIENT_SECRET"
            )
        if answer.status_code != httpx2.codes.OK:
            raise VerifierUnavailable(f"introspection answered {answer.status_code}")
        try:
            claims = answer.json()
        except (ValueError, RecursionError) as error:
            raise VerifierUnavailable(f"introspection failed: {type(error).__name__}") from error
        if not isinstance(claims, dict):
            raise VerifierUnavailable("introspection answered no JSON object")
        # Nothing but true is true: a server that says "false" must not be taken at its letters.
        return self._claims.access_token(token, claims) if claims.get("active") is True else None

    async def endpoint(self) -> str:
        """The introspection endpoint; VerifierUnavailable if there is none that is safe to ask."""
        url = (await _need(self._metadata)).get("introspection_endpoint")
        if not is_safe_url(url):
            raise VerifierUnavailable(
                "the authorization server names no introspection_endpoint with https"
            )
        return url

    async def ready(self) -> None:
        """Ask about a token of nobody; VerifierUnavailable if tokens cannot be verified now."""
        await self("-")


class JwtVerifier:
    """Checks signature and claims of a JSON Web Token itself (RFC 9068 §4).

    A revocation is not seen: what such a token allows, it allows until it expires.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        issuer: str,
        origins: Origins,
        clock: Callable[[], float],
    ) -> None:
        self._http = http
        self._clock = clock
        self._claims = Claims(issuer, origins, clock)
        self._metadata = Remembered(partial(fetch_metadata, http, issuer), clock)
        self._keys = Remembered(self._fetch_keys, clock)

    async def __call__(self, token: str) -> AccessToken | None:
        """Verify a token."""
        try:
            header = jwt.get_unverified_header(token) if len(token) <= MAX_TOKEN else {}
        except (jwt.PyJWTError, ValueError, RecursionError):
            header = {}
        if not _is_acceptable(header):
            logger.info("refused a token: its header is none of an access token")
            return None
        key = await self._find_key(header)
        if key is None:
            logger.info("refused a token: no such key")
            return None
        try:
            claims = jwt.decode(token, key.key, [header["alg"]], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            logger.info("refused a token: its signature is wrong")
            return None
        # Unlike an introspection answer, these claims are all there is: issuer and end must be in.
        return self._claims.access_token(token, claims) if {"iss", "exp"} <= claims.keys() else None

    async def ready(self) -> None:
        """Find the keys; VerifierUnavailable if tokens cannot be verified now."""
        await _need(self._keys)

    async def _find_key(self, header: Mapping[str, Any]) -> jwt.PyJWK | None:
        """The key that a header names; an unknown one may be new, so look again, but not often."""
        key = _pick(await _need(self._keys), header)
        if key is None:
            newer = await _need(self._keys, self._clock() - KEYS_REFETCH_INTERVAL)
            key = _pick(newer, header)
        return key

    async def _fetch_keys(self) -> dict[str, Any]:
        url = (await self._metadata.get()).get("jwks_uri")
        if not is_safe_url(url):
            raise Unreachable("the authorization server names no https jwks_uri")
        return await fetch_json(self._http, url)


_SIGNATURE_ONLY: Any = {
    f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
}


async def _need(remembered: Remembered, newer_than: float = float("-inf")) -> dict[str, Any]:
    try:
        return await remembered.get(newer_than)
    except Unreachable as error:
        raise VerifierUnavailable(str(error)) from error


def _is_acceptable(header: Mapping[str, Any]) -> bool:
    """Whether this can be the header of an access token (RFC 9068 §2.1, RFC 8725 §3.11)."""
    media_type = str(header.get("typ", "JWT")).lower().removeprefix("application/")
    return (
        str(header.get("alg")) in ALGORITHMS
        and media_type in {"jwt", "at+jwt"}
        and "crit" not in header
    )


def _pick(keys: Mapping[str, Any], header: Mapping[str, Any]) -> jwt.PyJWK | None:
    """The one key that fits a header: by its id if it names one, by its kind in any case."""
    candidates = [
        key
        for key in keys.get("keys") or ()
        if isinstance(key, dict)
        and key.get("kty") == ALGORITHMS[header["alg"]]
        and key.get("alg", header["alg"]) == header["alg"]
        and key.get("use", "sig") == "sig"
        and ("kid" not in header or key.get("kid") == header["kid"])
    ]
    if len(candidates) != 1:
        return None
    try:
        return jwt.PyJWK.from_dict(candidates[0], header["alg"])
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
