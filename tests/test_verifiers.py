"""Tokens of an authorization server elsewhere: introspection (RFC 7662) and JWT (RFC 9068)."""

import asyncio
import base64
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import jwt
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from origins import Origins
from resource_server.discovery import MAX_DOCUMENT, is_safe_url, metadata_urls, new_http_client
from resource_server.verifiers import IntrospectionVerifier, JwtVerifier, VerifierUnavailable
from tests.authorization_server import ELSEWHERE, KEYS, AuthorizationServer, sign
from tests.clock import Clock
from tests.resource_server_kit import RESOURCE

NOW = Clock()()
GONE = object()
CLAIMS = {
    "iss": ELSEWHERE,
    "sub": "person_1",
    "client_id": "client_1",
    "scope": "user user:write",
    "aud": RESOURCE,
    "exp": NOW + 60,
    "iat": NOW,
}


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, but for the changes."""
    return {name: value for name, value in (CLAIMS | changes).items() if value is not GONE}


@pytest.fixture
def server() -> AuthorizationServer:
    return AuthorizationServer()


@pytest.fixture
async def http(server: AuthorizationServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with new_http_client(httpx2.ASGITransport(app=server.app)) as http:
        yield http


@pytest.fixture
def introspect(
    http: httpx2.AsyncClient, server: AuthorizationServer, clock: Clock
) -> IntrospectionVerifier:
    return IntrospectionVerifier(http, server.issuer, server.credentials, Origins(()), clock)


@pytest.fixture
def check(http: httpx2.AsyncClient, server: AuthorizationServer, clock: Clock) -> JwtVerifier:
    return JwtVerifier(http, server.issuer, Origins(()), clock)


ACCEPTED: list[dict[str, Any]] = [
    {},
    {"aud": [RESOURCE]},
    {"aud": ["account", 7, "https://other.example/mcp", RESOURCE]},
    {"aud": f"{RESOURCE}/"},
    {"aud": GONE, "resource": RESOURCE},
    {"nbf": NOW + 60},
    {"exp": NOW + 0.5},
    {"token_type": "bearer", "typ": "Bearer"},
]
REFUSED: list[dict[str, Any]] = [
    {"aud": GONE},
    {"aud": []},
    {"aud": "account"},
    {"aud": "http://127.0.0.1:8000"},
    {"aud": f"{RESOURCE}/more"},
    {"aud": f"{RESOURCE}more"},
    {"aud": "https://127.0.0.1:8000/mcp"},
    {"aud": "http://127.0.0.1:8000/MCP"},
    {"aud": {"not": "a string"}},
    {"iss": "https://as.example/"},
    {"iss": "https://other.example"},
    {"exp": NOW},
    {"exp": "tomorrow"},
    {"exp": True},
    {"exp": None},
    {"exp": 10**400},
    {"exp": -1},
    {"nbf": NOW + 61},
    {"nbf": "today"},
    {"cnf": {"jkt": "x"}},
    {"token_type": "DPoP"},
    {"token_type": "N_A"},
    {"typ": "Refresh"},
    {"typ": "ID"},
]


@pytest.mark.parametrize("changes", ACCEPTED)
async def test_a_token_for_us_is_introspected(
    introspect: IntrospectionVerifier, server: AuthorizationServer, changes: dict[str, Any]
) -> None:
    server.tokens["good"] = {"active": True, **claims(**changes)}
    token = await introspect("good")
    assert token is not None
    assert (token.subject, token.client_id, token.resource) == ("person_1", "client_1", RESOURCE)
    assert token.scopes == ["user", "user:write"]
    assert token.claims is not None
    assert token.claims["iss"] == ELSEWHERE


@pytest.mark.parametrize(
    "answer",
    [{"active": True, **claims(**changes)} for changes in REFUSED]
    + [{"active": active, **claims()} for active in (False, "true", 1, None)]
    + [{}, claims()],
)
async def test_any_other_token_is_refused(
    introspect: IntrospectionVerifier, server: AuthorizationServer, answer: dict[str, Any]
) -> None:
    server.tokens["bad"] = answer
    assert await introspect("bad") is None
    assert await introspect("unknown") is None


async def test_what_an_introspection_answer_may_leave_out(
    introspect: IntrospectionVerifier, server: AuthorizationServer
) -> None:
    server.tokens["bare"] = {"active": True, "aud": RESOURCE}
    token = await introspect("bare")
    assert token is not None
    assert (token.subject, token.client_id, token.expires_at, token.scopes) == (None, "", None, [])
    server.tokens["keycloak"] = {"active": True, "aud": RESOURCE, "azp": "client_2"}
    token = await introspect("keycloak")
    assert token is not None
    assert token.client_id == "client_2"


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": GONE, "scp": ["user", "more"]}, ["user", "more"]),
        ({"scope": ["user", 7, 'a"b', "c\\", ""]}, ["user"]),
        ({"scope": 'user ä a"b'}, ["user"]),
        ({"scope": None}, []),
        ({"scope": {"user": 1}}, []),
    ],
)
async def test_scopes_come_as_a_string_or_a_list(
    introspect: IntrospectionVerifier,
    server: AuthorizationServer,
    changes: dict[str, Any],
    scopes: list[str],
) -> None:
    server.tokens["good"] = {"active": True, **claims(**changes)}
    token = await introspect("good")
    assert token is not None
    assert token.scopes == scopes


async def test_a_revocation_counts_at_once(
    introspect: IntrospectionVerifier, server: AuthorizationServer
) -> None:
    server.tokens["good"] = {"active": True, **claims()}
    assert await introspect("good") is not None
    del server.tokens["good"]
    assert await introspect("good") is None


async def test_a_token_is_for_the_origin_that_is_configured(
    http: httpx2.AsyncClient, server: AuthorizationServer, clock: Clock
) -> None:
    origins = Origins(("https://mcp.example.com", "https://two.example"))
    verify = IntrospectionVerifier(http, ELSEWHERE, server.credentials, origins, clock)
    for audience, resource in {
        "HTTPS://MCP.example.com:443/mcp/": "https://mcp.example.com/mcp",
        "https://two.example/mcp": "https://two.example/mcp",
        RESOURCE: None,
    }.items():
        server.tokens["token"] = {"active": True, **claims(aud=audience)}
        token = await verify("token")
        assert (token and token.resource) == resource


TROUBLE = {
    "error": JSONResponse({}, 500),
    "no object": JSONResponse([]),
    "no JSON": PlainTextResponse("<html>"),
    "too deep": PlainTextResponse("[" * 200_000),
    "redirect": Response(status_code=302, headers={"Location": "https://evil.example"}),
}


@pytest.mark.parametrize("answer", TROUBLE.values(), ids=TROUBLE)
async def test_introspection_in_trouble_makes_no_token_bad(
    introspect: IntrospectionVerifier, server: AuthorizationServer, answer: Response
) -> None:
    await introspect.ready()
    server.answer = answer
    with pytest.raises(VerifierUnavailable, match="introspection"):
        await introspect("good")


@pytest.mark.parametrize("answer", TROUBLE.values(), ids=TROUBLE)
async def test_discovery_in_trouble_makes_no_token_bad(
    introspect: IntrospectionVerifier, server: AuthorizationServer, answer: Response
) -> None:
    server.answer = answer
    with pytest.raises(VerifierUnavailable, match="well-known"):
        await introspect("good")


async def test_a_document_without_end_is_not_used(
    introspect: IntrospectionVerifier, server: AuthorizationServer
) -> None:
    server.metadata = {"padding": "x" * MAX_DOCUMENT}
    with pytest.raises(VerifierUnavailable, match="sensible size"):
        await introspect("good")


async def test_a_server_that_cannot_be_reached_makes_no_token_bad(clock: Clock) -> None:
    def fail(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("nobody there")

    async with new_http_client(httpx2.MockTransport(fail)) as http:
        introspect = IntrospectionVerifier(http, ELSEWHERE, ("a", "b"), Origins(()), clock)
        with pytest.raises(VerifierUnavailable, match="ConnectError"):
            await introspect("good")


async def test_an_endpoint_that_cannot_be_reached_makes_no_token_bad(clock: Clock) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            raise httpx2.ReadTimeout("too slow")
        endpoint = f"{ELSEWHERE}/introspect"
        return httpx2.Response(200, json={"issuer": ELSEWHERE, "introspection_endpoint": endpoint})

    async with new_http_client(httpx2.MockTransport(answer)) as http:
        introspect = IntrospectionVerifier(http, ELSEWHERE, ("a", "b"), Origins(()), clock)
        with pytest.raises(VerifierUnavailable, match="ReadTimeout"):
            await introspect("good")


@pytest.mark.parametrize("answer", [None, PlainTextResponse("<html>", 401)])
async def test_wrong_credentials_are_the_operator_s_to_mend_not_the_client_s(
    introspect: IntrospectionVerifier, server: AuthorizationServer, answer: Response | None
) -> None:
    server.credentials = ("other", "other")
    await introspect.endpoint()
    server.answer = answer
    with pytest.raises(VerifierUnavailable, match="LATCHGATE_INTROSPECTION_CLIENT_SECRET"):
        await introspect("good")


@pytest.mark.parametrize(
    "endpoint",
    [None, 7, "http://as.example/introspect", "ftp://as.example", "http://127.0.0.1.evil.example/"],
)
async def test_tokens_are_only_sent_over_tls_or_on_this_machine(
    introspect: IntrospectionVerifier, server: AuthorizationServer, endpoint: Any
) -> None:
    server.metadata = {"introspection_endpoint": endpoint}
    with pytest.raises(VerifierUnavailable, match="introspection_endpoint"):
        await introspect("good")


@pytest.mark.parametrize(
    "url",
    ["https://as.example/x", "http://127.0.0.1:9000/x", "http://localhost/x", "http://[::1]:1/"],
)
def test_safe_urls(url: str) -> None:
    assert is_safe_url(url)


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://as.example", "/.well-known/oauth-authorization-server"),
        ("https://as.example", "/.well-known/openid-configuration"),
        ("https://as.example/", "/.well-known/openid-configuration"),
        ("https://as.example/realms/x", "/.well-known/oauth-authorization-server/realms/x"),
        ("https://as.example/realms/x", "/.well-known/openid-configuration/realms/x"),
        ("https://as.example/realms/x", "/realms/x/.well-known/openid-configuration"),
        ("https://as.example/realms/x/", "/realms/x/.well-known/openid-configuration"),
    ],
)
async def test_the_server_is_found_wherever_it_publishes(
    server: AuthorizationServer, clock: Clock, issuer: str, path: str
) -> None:
    server.issuer, server.metadata_path = issuer, path
    server.tokens["good"] = {"active": True, **claims(iss=issuer)}
    async with new_http_client(httpx2.ASGITransport(app=server.app)) as http:
        verify = IntrospectionVerifier(http, issuer, server.credentials, Origins(()), clock)
        assert await verify("good") is not None
    assert len(server.asked) - 2 == metadata_urls(issuer).index(f"https://as.example{path}")


async def test_metadata_of_another_issuer_is_not_used_and_both_are_named(
    introspect: IntrospectionVerifier, server: AuthorizationServer
) -> None:
    server.metadata = {"issuer": f"{ELSEWHERE}/"}
    with pytest.raises(VerifierUnavailable, match=re.escape(f"{ELSEWHERE}/, and not {ELSEWHERE}:")):
        await introspect("good")


async def test_discovery_is_asked_once_again_after_ten_minutes_and_outlives_trouble(
    introspect: IntrospectionVerifier, server: AuthorizationServer, clock: Clock
) -> None:
    await asyncio.gather(*(introspect("unknown") for _ in range(5)))
    assert server.asked.count(server.metadata_path) == 1
    clock.advance(600)
    server.metadata_path = "/away"
    assert await introspect("unknown") is None
    assert await introspect("unknown") is None
    assert server.asked.count("/.well-known/oauth-authorization-server") == 2


async def test_a_failed_discovery_is_not_repeated_at_every_request(
    introspect: IntrospectionVerifier, server: AuthorizationServer, clock: Clock
) -> None:
    path, server.metadata_path = server.metadata_path, "/away"
    for _ in range(3):
        with pytest.raises(VerifierUnavailable, match="404"):
            await introspect.ready()
    assert server.asked.count(path) == 1
    server.metadata_path = path
    clock.advance(5)
    await introspect.ready()


# JSON Web Tokens


@pytest.mark.parametrize("changes", ACCEPTED)
@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
async def test_a_signed_token_for_us_is_taken(
    check: JwtVerifier, changes: dict[str, Any], key: str
) -> None:
    token = await check(sign(claims(**changes), key))
    assert token is not None
    assert (token.subject, token.client_id, token.resource) == ("person_1", "client_1", RESOURCE)


@pytest.mark.parametrize("changes", [*REFUSED, {"exp": GONE}, {"iss": GONE}, {"exp": float("inf")}])
async def test_any_other_signed_token_is_refused(
    check: JwtVerifier, changes: dict[str, Any]
) -> None:
    assert await check(sign(claims(**changes))) is None


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "application/at+jwt"},
        {"typ": "AT+JWT"},
        {"typ": "JWT"},
        {"alg": "PS256"},
        {"alg": "RS512"},
    ],
)
async def test_headers_that_access_tokens_have(check: JwtVerifier, header: dict[str, Any]) -> None:
    assert await check(sign(claims(), **header)) is not None


def unsigned(header: Any, payload: Any, signature: str = "") -> str:
    """Whatever one likes in the shape of a JSON Web Token."""
    parts = (json.dumps(part) if not isinstance(part, str) else part for part in (header, payload))
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, signature])


BAD_TOKENS = {
    "opaque": "mcp_at_something",
    "empty": "",
    "no signature": unsigned({"alg": "none"}, claims()),
    "wrong signature": sign(claims())[:-8] + "AAAAAAAA",
    "changed": ".".join([*sign(claims()).split(".")[:1], "e30", sign(claims()).split(".")[2]]),
    "another key": sign(claims(), "rsa2", kid="rsa"),
    "unknown key": sign(claims(), "rsa2"),
    "symmetric": jwt.encode(claims(), "a" * 64, "HS256", headers={"kid": "rsa"}),
    "key of another kind": sign(claims(), "ec", kid="rsa"),
    "id token": sign(claims(), typ="id+jwt"),
    "logout token": sign(claims(), typ="logout+jwt"),
    "crit": unsigned({"alg": "RS256", "kid": "rsa", "crit": ["x"], "x": 1}, claims(), "AAAA"),
    "too long": sign(claims(padding="x" * 9000)),
    "deep header": unsigned("[" * 5000, claims(), "AAAA"),
    "no object": unsigned([], claims(), "AAAA"),
    "odd kid": unsigned({"alg": "RS256", "kid": {"a": 1}}, claims(), "AAAA"),
    "odd alg": unsigned({"alg": ["RS256"]}, claims(), "AAAA"),
    "no claims": jwt.api_jws.encode(b"[]", KEYS["rsa"], "RS256", headers={"kid": "rsa"}),
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_what_is_no_signed_token_of_the_issuer_is_refused(
    check: JwtVerifier, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert await check(token) is None
    assert caplog.records[-1].getMessage().startswith("refused a token: ")


@pytest.mark.parametrize(
    ("changes", "is_taken"),
    [
        ({}, True),
        ({"kid": None}, False),
        ({"use": None}, True),
        ({"use": "enc"}, False),
        ({"alg": "RS256"}, True),
        ({"alg": "RS384"}, False),
        ({"n": "!"}, False),
        ({"n": None}, False),
        ({"kty": "oct"}, False),
    ],
)
async def test_only_a_key_that_is_meant_for_it_checks_a_signature(
    check: JwtVerifier, server: AuthorizationServer, *, changes: dict[str, Any], is_taken: bool
) -> None:
    server.published, server.key_changes = ["rsa"], changes
    assert (await check(sign(claims())) is not None) is is_taken


@pytest.mark.parametrize(
    ("published", "is_taken"), [(["rsa", "ec"], True), (["rsa", "rsa2"], False)]
)
async def test_a_token_that_names_no_key_is_checked_if_only_one_can_be_meant(
    check: JwtVerifier, server: AuthorizationServer, *, published: list[str], is_taken: bool
) -> None:
    server.published = published
    token = jwt.encode(claims(), KEYS["rsa"], "RS256")
    assert (await check(token) is not None) is is_taken


async def test_a_new_key_is_fetched_but_not_at_every_unknown_one(
    check: JwtVerifier, server: AuthorizationServer, clock: Clock
) -> None:
    await check.ready()
    server.published = ["rsa2"]
    for _ in range(3):
        assert await check(sign(claims(exp=NOW + 600), "rsa2")) is None
    assert server.asked.count("/jwks") == 1
    clock.advance(30)
    assert await check(sign(claims(exp=NOW + 600), "rsa2")) is not None
    assert server.asked.count("/jwks") == 2


async def test_a_token_with_an_unknown_key_holds_up_no_other(
    check: JwtVerifier, server: AuthorizationServer, clock: Clock
) -> None:
    """Without it a stranger has everybody wait for an issuer that is slow."""
    await check.ready()
    clock.advance(30)
    server.go_on = asyncio.Event()
    stranger = asyncio.create_task(check(sign(claims(), kid="unknown")))
    async with asyncio.timeout(1):
        await server.waiting.wait()
        assert await check(sign(claims())) is not None
    server.go_on.set()
    assert await stranger is None


@pytest.mark.parametrize("uri", [None, "http://as.example/jwks", "file:///etc/passwd"])
async def test_keys_are_only_fetched_from_where_nobody_can_change_them(
    check: JwtVerifier, server: AuthorizationServer, uri: str | None
) -> None:
    server.metadata = {"jwks_uri": uri}
    with pytest.raises(VerifierUnavailable, match="jwks_uri"):
        await check(sign(claims()))


@pytest.mark.slow
@pytest.mark.parametrize("keys", [None, {}, [], [7], ["x"]])
async def test_a_key_set_that_is_none_checks_nothing(
    check: JwtVerifier, server: AuthorizationServer, keys: Any
) -> None:
    await check._metadata.get()  # noqa: SLF001 - the next answer is the key set
    server.answer = JSONResponse({"keys": keys})
    assert await check(sign(claims())) is None
