"""Client assertions (`private_key_jwt`): who signed, for whom, when, and only once."""

import base64
import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from auth.client_assertion import (
    ALGORITHMS,
    CLOCK_SKEW,
    MAX_LENGTH,
    MAX_LIFETIME,
    unverified_issuer,
    verify_client_assertion,
)
from auth.errors import InvalidClient, TemporarilyUnavailable
from auth.models import Client, Digest, Identity
from auth.safe_fetch import DocumentInvalid, DocumentUnreachable
from tests.clock import Clock

ISSUER = "https://as.example"
CLIENT_ID = "https://c.example/client.json"
JWKS_URI = "https://c.example/jwks.json"

RSA_KEY = rsa.generate_private_key(65537, 2048)
SMALL_RSA_KEY = rsa.generate_private_key(65537, 1024)  # noqa: S505 - as weak as it is meant to be
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
P384_KEY = ec.generate_private_key(ec.SECP384R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
KEYS = {"RS256": RSA_KEY, "PS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    """The public half of a key as a JSON Web Key."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        members = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        members = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        members = OKPAlgorithm.to_jwk(public, as_dict=True)
    members.pop("key_ops", None)
    return {**members, **more}


def jwks(*keys: Mapping[str, Any]) -> str:
    return json.dumps({"keys": keys})


def client(keys: str | None = None, jwks_uri: str | None = None) -> Client:
    return Client(
        client_id=CLIENT_ID,
        client_name="An example",
        redirect_uris=("https://c.example/cb",),
        identity=Identity.METADATA_DOCUMENT,
        token_endpoint_auth_method="private_key_jwt",
        jwks=keys,
        jwks_uri=jwks_uri,
    )


class Spent:
    """What was used once, as the store remembers it."""

    def __init__(self) -> None:
        self.until: dict[Digest, int] = {}

    async def spend(self, digest: Digest, expires_at: int, now: int) -> bool:
        if self.until.get(digest, 0) > now:
            return False
        self.until[digest] = expires_at
        return True


class KeyHost:
    """A `jwks_uri` of the test's own: what it serves now, and what a cache still remembers."""

    def __init__(self, keys: str, cached: str | None = None) -> None:
        self.keys = keys
        self.cached = cached or keys
        self.failure: Exception | None = None
        self.asked: list[tuple[str, bool]] = []

    async def fetch(self, url: str, *, anew: bool = False) -> str:
        self.asked.append((url, anew))
        if self.failure:
            raise self.failure
        return self.keys if anew else self.cached


@pytest.fixture
def spent() -> Spent:
    return Spent()


def claims(clock: Clock, **changes: Any) -> dict[str, Any]:
    """Good claims with some changed; `...` leaves one out."""
    good = {
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "aud": ISSUER,
        "exp": clock() + 300,
        "iat": clock(),
        "jti": "1",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def signed(payload: Mapping[str, Any], algorithm: str = "ES256", **header: Any) -> str:
    headers = {name: value for name, value in header.items() if name != "key"}
    key = header.get("key", KEYS.get(algorithm))
    return jwt.encode(dict(payload), key, algorithm, headers=headers)


async def verify(
    assertion: str, spent: Spent, clock: Clock, who: Client, host: KeyHost | None = None
) -> None:
    await verify_client_assertion(
        assertion,
        client=who,
        issuer=ISSUER,
        token_endpoint=f"{ISSUER}/oauth/token",
        store=spent,
        now=clock(),
        fetch_jwks=(host or KeyHost(jwks())).fetch,
    )


ES256_CLIENT = client(jwks(jwk(EC_KEY)))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_client_is_who_signs_with_its_key(
    algorithm: str, spent: Spent, clock: Clock
) -> None:
    who = client(jwks(jwk(P384_KEY), jwk(OTHER_EC_KEY), jwk(KEYS[algorithm], use="sig")))

    await verify(signed(claims(clock), algorithm), spent, clock, who)


@pytest.mark.parametrize(
    "typ",
    [None, "JWT", "jwt", "client-authentication+jwt", "oauth-client-auth+jwt", ""],
)
async def test_these_types_are_client_assertions(
    typ: str | None, spent: Spent, clock: Clock
) -> None:
    await verify(signed(claims(clock), typ=typ), spent, clock, ES256_CLIENT)


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "oauth-id-jag+jwt", "JWS"])
async def test_a_jwt_made_for_something_else_is_refused(
    typ: str, spent: Spent, clock: Clock
) -> None:
    with pytest.raises(InvalidClient, match="typ"):
        await verify(signed(claims(clock), typ=typ), spent, clock, ES256_CLIENT)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [ISSUER]},
        {"aud": ISSUER + "/"},
        {"iat": ...},
        {"iat": 1},
        {"nbf": 1},
        {"iat": 1_800_000_000.5, "exp": 1_800_000_300.5},
        {"jti": "x" * 256},
        {"jti": "\ud800"},
        {"anything": {"else": 1}},
    ],
)
async def test_a_good_assertion_may_look_like_this(
    changes: dict[str, Any], spent: Spent, clock: Clock
) -> None:
    await verify(signed(claims(clock, **changes)), spent, clock, ES256_CLIENT)


CHATGPT = "https://chatgpt.com/oauth/6Fz3kVtA9uQ/client.json"


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/oauth/token"])
async def test_chatgpt_may_sign_for_the_token_endpoint(
    audience: str, spent: Spent, clock: Clock
) -> None:
    """What it signs: https://github.com/Artexis10/exomem/pull/380."""
    signs = signed(claims(clock, iss=CHATGPT, sub=CHATGPT, aud=audience))
    await verify(signs, spent, clock, replace(ES256_CLIENT, client_id=CHATGPT))


@pytest.mark.parametrize(
    ("client_id", "audience"),
    [
        (CHATGPT, f"{ISSUER}/oauth/introspect"),
        (CHATGPT, [ISSUER, f"{ISSUER}/oauth/token"]),
        (CHATGPT, "https://elsewhere.example/oauth/token"),
        ("https://chatgpt.com.evil.example/client.json", f"{ISSUER}/oauth/token"),
        ("https://chatgpt.com@evil.example/client.json", f"{ISSUER}/oauth/token"),
        ("http://chatgpt.com/client.json", f"{ISSUER}/oauth/token"),
    ],
)
async def test_nobody_else_may_and_for_nothing_else(
    client_id: str, audience: Any, spent: Spent, clock: Clock
) -> None:
    signs = signed(claims(clock, iss=client_id, sub=client_id, aud=audience))
    with pytest.raises(InvalidClient, match="aud"):
        await verify(signs, spent, clock, replace(ES256_CLIENT, client_id=client_id))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "other"}, "iss and sub"),
        ({"sub": "other"}, "iss and sub"),
        ({"iss": "other", "sub": "other"}, "iss and sub"),
        ({"iss": ...}, "iss and sub"),
        ({"sub": ...}, "iss and sub"),
        ({"aud": ...}, "aud"),
        ({"aud": ISSUER + "/oauth/token"}, "aud"),
        ({"aud": ISSUER + "//"}, "aud"),
        ({"aud": [ISSUER, "https://other.example"]}, "aud"),
        ({"aud": [ISSUER, ISSUER]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": [[ISSUER]]}, "aud"),
        ({"aud": {"iss": ISSUER}}, "aud"),
        ({"exp": ...}, "exp"),
        ({"exp": "1800000300"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": math.nan}, "exp"),
        ({"exp": math.inf}, "exp"),
        ({"exp": -math.inf}, "exp"),
        ({"iat": "now"}, "iat"),
        ({"iat": True}, "iat"),
        ({"nbf": None}, "nbf"),
        ({"jti": ...}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 7}, "jti"),
        ({"jti": "x" * 257}, "jti"),
    ],
)
async def test_an_assertion_that_breaks_a_rule_is_refused(
    changes: dict[str, Any], reason: str, spent: Spent, clock: Clock
) -> None:
    with pytest.raises(InvalidClient, match=reason):
        await verify(signed(claims(clock, **changes)), spent, clock, ES256_CLIENT)

    assert spent.until == {}


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("exp", 1 - CLOCK_SKEW, MAX_LIFETIME + CLOCK_SKEW),
        ("iat", -(10**9), CLOCK_SKEW),
        ("nbf", -(10**9), CLOCK_SKEW),
    ],
)
async def test_clocks_may_differ_by_a_minute(
    name: str, first: int, last: int, spent: Spent, clock: Clock
) -> None:
    for offset in (first, last):
        good = claims(clock, jti=str(offset), **{name: clock() + offset})
        await verify(signed(good), spent, clock, ES256_CLIENT)

    for offset in (first - 1, last + 1):
        if name == "exp" or offset > 0:
            bad = signed(claims(clock, jti="new", **{name: clock() + offset}))
            with pytest.raises(InvalidClient, match=name):
                await verify(bad, spent, clock, ES256_CLIENT)


async def test_an_assertion_counts_once(spent: Spent, clock: Clock) -> None:
    assertion = signed(claims(clock))
    await verify(assertion, spent, clock, ES256_CLIENT)

    for seconds in (0, 300, CLOCK_SKEW - 1):
        clock.advance(seconds)
        with pytest.raises(InvalidClient, match="jti"):
            await verify(assertion, spent, clock, ES256_CLIENT)
    clock.advance(1)
    with pytest.raises(InvalidClient, match="exp"):
        await verify(assertion, spent, clock, ES256_CLIENT)


async def test_a_jti_is_the_clients_own(spent: Spent, clock: Clock) -> None:
    await verify(signed(claims(clock)), spent, clock, ES256_CLIENT)
    await verify(signed(claims(clock, jti="2")), spent, clock, ES256_CLIENT)
    spent.until = dict.fromkeys(spent.until, clock() + 10**6)

    other = Client("other", "Other", (), Identity.PREREGISTERED, jwks=jwks(jwk(EC_KEY)))
    await verify(signed(claims(clock, iss="other", sub="other")), spent, clock, other)


def unsigned(header: Mapping[str, Any], payload: Mapping[str, Any], signature: str = "") -> str:
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (header, payload)
    )
    return ".".join([*parts, signature])


async def test_algorithms_that_prove_nothing_are_refused(spent: Spent, clock: Clock) -> None:
    assertions = [
        unsigned({"alg": "none"}, claims(clock)),
        unsigned({"alg": "None"}, claims(clock)),
        unsigned({"alg": ["ES256"]}, claims(clock)),
        unsigned({}, claims(clock)),
        jwt.encode(claims(clock), jwk(EC_KEY)["x"], "HS256"),  # everybody knows a public key
        jwt.encode(claims(clock), P384_KEY, "ES384"),
        jwt.encode(claims(clock), RSA_KEY, "RS512"),
    ]
    for assertion in assertions:
        with pytest.raises(InvalidClient, match="must be signed with RS256, PS256, ES256, EdDSA"):
            await verify(assertion, spent, clock, ES256_CLIENT)


@pytest.mark.parametrize(
    "assertion",
    [
        "",
        "x",
        "a.b",
        "a.b.c",
        "é.b.c",
        unsigned({"alg": "ES256", "kid": 7}, {}),
        unsigned({"alg": "ES256", "crit": ["exp"]}, {}),
        "x" * (MAX_LENGTH + 1),
    ],
)
async def test_what_is_no_jwt_is_refused(assertion: str, spent: Spent, clock: Clock) -> None:
    with pytest.raises(InvalidClient, match="JWT"):
        await verify(assertion, spent, clock, ES256_CLIENT)


@pytest.mark.parametrize(
    "keys",
    [
        None,
        jwks(),
        jwks(jwk(OTHER_EC_KEY)),
        jwks(jwk(RSA_KEY)),
        jwks(jwk(EC_KEY, use="enc")),
        jwks(jwk(EC_KEY, alg="ES384")),
        jwks(jwk(EC_KEY, kid="2")),
        jwks({"kty": "EC", "crv": "P-256"}),
        jwks({"kty": "EC", "crv": "P-256", "x": 7, "y": []}),
        jwks({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        jwks({"kty": "EC", "crv": "P-256", "x": "é", "y": {}}),
    ],
)
async def test_a_key_that_is_not_the_clients_or_not_for_this_proves_nothing(
    keys: str | None, spent: Spent, clock: Clock
) -> None:
    with pytest.raises(InvalidClient, match="not signed with a key of this client"):
        await verify(signed(claims(clock), kid="1"), spent, clock, client(keys))


@pytest.mark.parametrize("more", [{}, {"kid": "1"}, {"alg": "ES256", "use": "sig"}])
async def test_what_a_key_does_not_say_fits(
    more: dict[str, str], spent: Spent, clock: Clock
) -> None:
    await verify(signed(claims(clock), kid="1"), spent, clock, client(jwks(jwk(EC_KEY, **more))))


REFUSED = pytest.raises(InvalidClient, match="not signed")


def rsa_key(p: int, q: int, e: int) -> rsa.RSAPrivateKey:
    """The RSA key of these primes and this public exponent."""
    d = pow(e, -1, (p - 1) * (q - 1))
    crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    public = rsa.RSAPublicNumbers(e, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, *crt, public).private_key(
        unsafe_skip_rsa_key_validation=True
    )


@pytest.mark.parametrize(
    ("p", "q", "e", "outcome"),
    [
        (2**2281 - 1, 2**1815 - 759, 65_537, nullcontext()),
        (2**2281 - 1, 2**2203 - 1, 65_537, REFUSED),
        (2**1279 - 1, 2**1815 - 759, 4_294_967_291, nullcontext()),
        (2**1279 - 1, 2**1815 - 759, 4_294_967_311, REFUSED),
    ],
    ids=["4096 bits", "4484 bits", "an exponent of 32 bits", "an exponent of 33 bits"],
)
async def test_an_rsa_key_that_takes_long_to_try_is_not_tried(
    p: int, q: int, e: int, outcome: AbstractContextManager[Any], spent: Spent, clock: Clock
) -> None:
    key = rsa_key(p, q, e)

    with outcome:
        await verify(signed(claims(clock), "RS256", key=key), spent, clock, client(jwks(jwk(key))))


async def test_four_keys_are_tried_and_a_client_with_more_says_which(
    spent: Spent, clock: Clock
) -> None:
    others = [jwk(OTHER_EC_KEY, kid=str(number)) for number in range(4)]

    def who(*keys: Mapping[str, Any]) -> Client:
        return client(jwks(*keys, jwk(EC_KEY, kid="its")))

    await verify(signed(claims(clock)), spent, clock, who(*others[1:]))
    with pytest.raises(InvalidClient, match="not signed"):
        await verify(signed(claims(clock, jti="2")), spent, clock, who(*others))
    await verify(signed(claims(clock, jti="3"), kid="its"), spent, clock, who(*others))


@pytest.mark.filterwarnings("ignore:.*below the minimum")
async def test_a_weak_rsa_key_proves_nothing(spent: Spent, clock: Clock) -> None:
    assertion = signed(claims(clock), "RS256", key=SMALL_RSA_KEY)

    with pytest.raises(InvalidClient, match="not signed"):
        await verify(assertion, spent, clock, client(jwks(jwk(SMALL_RSA_KEY))))


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", {"kty": "RSA", "n": 7, "e": "AQAB"}),
        ("RS256", {"kty": "RSA", "n": [], "e": {}}),
        ("EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": []}),
        ("EdDSA", {"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
    ],
)
async def test_what_is_no_key_proves_nothing(
    algorithm: str, key: dict[str, Any], spent: Spent, clock: Clock
) -> None:
    with pytest.raises(InvalidClient, match="not signed"):
        await verify(signed(claims(clock), algorithm), spent, clock, client(jwks(key)))


async def test_signed_nonsense_is_refused(spent: Spent, clock: Clock) -> None:
    assertion = jwt.api_jws.encode(b"[" * 5000, EC_KEY, "ES256")

    with pytest.raises(InvalidClient, match="not signed"):
        await verify(assertion, spent, clock, ES256_CLIENT)


async def test_a_changed_assertion_is_refused(spent: Spent, clock: Clock) -> None:
    header, _, signature = signed(claims(clock)).split(".")
    other = signed(claims(clock, jti="2")).split(".")[1]

    with pytest.raises(InvalidClient, match="not signed"):
        await verify(f"{header}.{other}.{signature}", spent, clock, ES256_CLIENT)


async def test_keys_are_found_at_the_jwks_uri(spent: Spent, clock: Clock) -> None:
    host = KeyHost(jwks(jwk(EC_KEY)))

    await verify(signed(claims(clock)), spent, clock, client(jwks_uri=JWKS_URI), host)

    assert host.asked == [(JWKS_URI, False)]


async def test_a_new_key_at_the_jwks_uri_is_found_at_once(spent: Spent, clock: Clock) -> None:
    host = KeyHost(jwks(jwk(EC_KEY)), cached=jwks(jwk(OTHER_EC_KEY)))

    await verify(signed(claims(clock)), spent, clock, client(jwks_uri=JWKS_URI), host)

    assert host.asked == [(JWKS_URI, False), (JWKS_URI, True)]


async def test_a_key_that_is_nowhere_is_looked_for_twice_and_no_more(
    spent: Spent, clock: Clock
) -> None:
    host = KeyHost(jwks(jwk(OTHER_EC_KEY)))

    with pytest.raises(InvalidClient, match="not signed"):
        await verify(signed(claims(clock)), spent, clock, client(jwks_uri=JWKS_URI), host)

    assert len(host.asked) == 2


async def test_keys_out_of_reach_are_a_trouble_that_passes(spent: Spent, clock: Clock) -> None:
    host = KeyHost(jwks())
    host.failure = DocumentUnreachable("its host could not be reached")

    with pytest.raises(TemporarilyUnavailable):
        await verify(signed(claims(clock)), spent, clock, client(jwks_uri=JWKS_URI), host)


async def test_a_jwks_uri_that_leads_nowhere_is_the_clients_fault(
    spent: Spent, clock: Clock
) -> None:
    host = KeyHost(jwks())
    host.failure = DocumentInvalid("it is not JSON")

    with pytest.raises(InvalidClient, match="jwks_uri"):
        await verify(signed(claims(clock)), spent, clock, client(jwks_uri=JWKS_URI), host)


def test_an_assertion_names_its_issuer_before_anything_is_proved(clock: Clock) -> None:
    assert unverified_issuer(signed(claims(clock), key=OTHER_EC_KEY)) == CLIENT_ID


@pytest.mark.parametrize(
    "assertion",
    [
        "",
        "x",
        "é.é.é",
        unsigned({"alg": "none"}, {}),
        unsigned({"alg": "x"}, {"iss": 7}),
        jwt.api_jws.encode(b"[" * 5000, EC_KEY, "ES256"),
    ],
)
def test_an_assertion_that_names_no_issuer(assertion: str) -> None:
    assert unverified_issuer(assertion) is None
