"""The doctor on broken servers: it names what is wrong, and what mends it."""

import io
import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from demo.checks.finding import Finding, Question, Verdict
from demo.doctor import examine, report
from tests.clock import Clock
from tests.kit import World, new_settings
from tests.kit import serving as serving_ours

URL = "http://127.0.0.1:8000/mcp"
PUBLIC = "https://mcp.example.com/mcp"
ANY = ["GET", "POST", "HEAD", "OPTIONS"]


async def ask(
    app: ASGIApp, url: str = URL, clock: Clock | None = None, *, registers: bool = False
) -> dict[str, Finding]:
    """What the doctor finds, by question."""
    transport = httpx2.ASGITransport(app)
    sections = examine(url, transport, now=clock or Clock(), registers=registers)
    return {finding.question: finding async for _, found in sections for finding in found}


def serving(answers: Mapping[str, Callable[[Request], Response]]) -> Starlette:
    """An application that answers these paths, and 404 in plain text elsewhere."""

    def endpoint(answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            return answer(request)

        return respond

    routes = [Route(path, endpoint(answer), methods=ANY) for path, answer in answers.items()]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def unprotected() -> Starlette:
    """Answers everything with a page, as a single-page application's catch-all route does."""
    return serving(
        {
            "/mcp": lambda _: JSONResponse({"jsonrpc": "2.0", "id": 1, "result": {}}),
            "/{path:path}": lambda _: HTMLResponse("<!doctype html><div id=app></div>"),
        }
    )


def redirecting() -> Starlette:
    """Moves people to the other slash, blames them, and keeps its metadata at the root only."""
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    metadata = {"resource": "http://127.0.0.1:8000/", "authorization_servers": []}
    return serving(
        {
            "/mcp": lambda _: Response(status_code=401, headers=challenge),
            "/mcp/": lambda _: RedirectResponse("http://127.0.0.1:8000/mcp", 307),
            "/.well-known/oauth-protected-resource": lambda _: JSONResponse(metadata),
            "/.well-known/openid-configuration": lambda _: Response(status_code=401),
        }
    )


def contradictory(clock: Clock) -> Starlette:
    """Says one thing here and another there, in the dialect of no client."""
    origin = "https://mcp.example.com"
    place = f"{origin}/.well-known/oauth-protected-resource/mcp"
    headers = {
        "WWW-Authenticate": f'Bearer resource_metadata="{place}", scope="user offline_access"',
        "Date": formatdate(clock() - 3600, usegmt=True),
        "Access-Control-Allow-Origin": "*",
    }
    resource = {"resource": PUBLIC, "authorization_servers": [origin], "scopes_supported": []}
    server = {
        "issuer": f"{origin}/",
        "authorization_endpoint": f"{origin}/authorize",
        "token_endpoint": "http://10.0.0.7:8000/token",
        "registration_endpoint": f"{origin}/register",
        "grant_types_supported": ["authorization_code"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "scopes_supported": [],
    }
    preflight = {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "*",
    }

    def mcp(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(headers=preflight)
        return JSONResponse({"error": "unauthorized"}, 401, headers)

    return serving(
        {
            "/mcp": mcp,
            "/.well-known/oauth-protected-resource/mcp": lambda _: JSONResponse(resource),
            "/.well-known/oauth-protected-resource": lambda _: JSONResponse(resource | {"x": 1}),
            "/.well-known/oauth-authorization-server": lambda _: JSONResponse(server),
            "/.well-known/oauth-authorization-server/mcp": lambda _: JSONResponse(server),
            "/authorize": lambda _: RedirectResponse("http://127.0.0.1:8765/callback?error=x"),
            "/token": lambda _: JSONResponse({"error": "invalid_grant"}, 400),
            "/register": lambda _: JSONResponse({"client_id": "c", "redirect_uris": []}, 201),
        }
    )


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("POST initialize without a token gets 401", "nothing is protected"),
        ("an unknown token gets 401 invalid_token", "nothing is protected"),
        ("GET /.well-known/oauth-protected-resource/mcp", "catch-all route"),
        ("GET /.well-known/oauth-authorization-server", "catch-all route"),
        ("GET /.well-known/latchgate-doctor is a document or 404", "catch-all route"),
        ("preflight of the MCP endpoint", "before anything asks for a token"),
    ],
)
async def test_a_catch_all_route_over_an_open_endpoint(question: str, words: str) -> None:
    finding = (await ask(unprotected()))[question]

    assert finding.verdict is Verdict.FAILURE
    assert words in finding.remedy


@pytest.mark.parametrize(
    ("question", "verdict", "words"),
    [
        ("https on port 443", Verdict.WARNING, "TLS proxy"),
        ("the clock is right", Verdict.WARNING, "send Date"),
        ("/mcp/ answers as /mcp does", Verdict.FAILURE, "clients do not follow it"),
        ("it answers as localhost too", Verdict.WARNING, "host that was called"),
        ("the challenge names resource_metadata", Verdict.FAILURE, "RFC 9728 §5.1"),
        ("the challenge names the scope to ask for", Verdict.WARNING, "scope="),
        ("no error when no token came", Verdict.FAILURE, "loop"),
        ("GET /.well-known/oauth-protected-resource/mcp", Verdict.FAILURE, "here as well"),
        ("GET /.well-known/oauth-protected-resource", Verdict.OK, ""),
        ("resource is the URL that was called", Verdict.FAILURE, "public URL"),
        ("authorization_servers names issuers", Verdict.FAILURE, "list the issuer"),
        ("nothing empty in the resource's metadata", Verdict.FAILURE, "no value"),
        ("GET /.well-known/oauth-authorization-server", Verdict.FAILURE, "RFC 8414 §3"),
        (
            "GET /.well-known/openid-configuration is a document or 404",
            Verdict.FAILURE,
            "stops the search",
        ),
        ("a page may read the 401", Verdict.FAILURE, "outermost"),
    ],
)
async def test_a_server_that_redirects_and_blames(
    question: str, verdict: Verdict, words: str
) -> None:
    finding = (await ask(redirecting()))[question]

    assert finding.verdict is verdict
    assert words in finding.remedy


@pytest.mark.parametrize(
    ("question", "verdict", "words"),
    [
        ("https on port 443", Verdict.OK, ""),
        ("the clock is right", Verdict.FAILURE, "NTP"),
        ("/mcp/ answers as /mcp does", Verdict.FAILURE, "no MCP endpoint at this path"),
        ("offline_access is not a scope of the resource", Verdict.FAILURE, "authorization server"),
        ("the same document in all places", Verdict.WARNING, "byte for byte"),
        ("nothing empty in the resource's metadata", Verdict.FAILURE, "no value"),
        ("issuer is the one that the resource names", Verdict.FAILURE, "to the last slash"),
        ("token_endpoint is safe to use", Verdict.FAILURE, "public URL"),
        ("authorization_endpoint is safe to use", Verdict.OK, ""),
        ("clients can introduce themselves", Verdict.OK, ""),
        ("PKCE with S256 is announced", Verdict.FAILURE, "S256"),
        ("public clients are welcome", Verdict.FAILURE, "add none"),
        ("response type code", Verdict.FAILURE, "RFC 8414 §2"),
        ("tokens can be refreshed", Verdict.WARNING, "sign in again"),
        ("iss in authorization responses", Verdict.WARNING, "RFC 9207"),
        ("signing algorithms for private_key_jwt", Verdict.WARNING, "signing_alg"),
        ("nothing empty in the server's metadata", Verdict.FAILURE, "leave out"),
        (
            "GET /.well-known/oauth-authorization-server/mcp is a document or 404",
            Verdict.WARNING,
            "about the issuer",
        ),
        (
            "an unknown client gets invalid_client at the token endpoint",
            Verdict.FAILURE,
            "register anew",
        ),
        (
            "an unknown client gets 400 at the authorization endpoint",
            Verdict.FAILURE,
            "open redirector",
        ),
        ("a bad registration gets an error in JSON", Verdict.WARNING, "invalid_redirect_uri"),
        ("preflight of the MCP endpoint", Verdict.FAILURE, "add authorization to"),
        ("a page may read the 401", Verdict.FAILURE, "Expose-Headers"),
        ("a page may read Mcp-Session-Id", Verdict.WARNING, "Mcp-Session-Id"),
        ("no page may read the authorization endpoint", Verdict.OK, ""),
        ("registration of Cursor", Verdict.FAILURE, "redirect URIs"),
    ],
)
async def test_a_server_that_contradicts_itself(
    question: str, verdict: Verdict, words: str, clock: Clock
) -> None:
    finding = (await ask(contradictory(clock), PUBLIC, clock, registers=True))[question]

    assert finding.verdict is verdict
    assert words in finding.remedy


async def test_ours_is_as_every_client_wants_it(world: World) -> None:
    findings = await ask(world.app, clock=world.clock, registers=True)

    doubtful = {name for name, found in findings.items() if found.verdict is not Verdict.OK}
    # In one process there is neither TLS nor a server that adds the Date header.
    assert doubtful == {"https on port 443", "the clock is right"}


async def test_ours_under_a_public_url_has_nothing_to_mend(clock: Clock) -> None:
    settings = new_settings(public_url="https://mcp.example.com")
    async with serving_ours(clock, settings) as world:
        findings = await ask(world.app, PUBLIC, clock, registers=True)

    doubtful = {name for name, found in findings.items() if found.verdict is not Verdict.OK}
    assert doubtful == {"the clock is right"}


async def test_nobody_there_is_the_only_finding() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused", request=request)

    sections = [section async for section in examine(URL, httpx2.MockTransport(refuse))]

    ((_, (finding,)),) = sections
    assert finding.verdict is Verdict.FAILURE
    assert "127.0.0.1:8000" in finding.seen
    assert "make run" in finding.remedy


@pytest.mark.parametrize("url", ["http://mcp.example.com/mcp", "https://mcp.example.com:8443/mcp"])
async def test_hosted_clients_come_over_tls_to_port_443(url: str) -> None:
    finding = (await ask(unprotected(), url))["https on port 443"]

    assert finding.verdict is Verdict.FAILURE
    assert "TLS proxy" in finding.remedy


async def test_an_endpoint_at_the_root_has_no_slash_to_spare() -> None:
    assert not [
        question
        for question in await ask(unprotected(), "https://mcp.example.com/")
        if "answers as" in question
    ]


async def test_the_table_says_who_cannot_connect_and_what_to_do() -> None:
    out = io.StringIO()
    transport = httpx2.ASGITransport(redirecting())

    code = await report(URL, examine(URL, transport, now=Clock()), out)

    assert code == 1
    assert "  ✗ no error when no token came" in out.getvalue()
    assert "asked by: ChatGPT, which strips the path" not in out.getvalue()
    assert "remedy:   leave error out" in out.getvalue()
    assert "\x1b" not in out.getvalue()


async def test_the_findings_as_json() -> None:
    out = io.StringIO()
    transport = httpx2.ASGITransport(redirecting())

    code = await report(URL, examine(URL, transport, now=Clock()), out, as_json=True)

    document = json.loads(out.getvalue())
    assert code == 1
    assert document["url"] == URL
    assert document["healthy"] is False
    assert {"question", "asked_by", "verdict", "seen", "remedy"} == set(document["findings"][0])


async def test_a_hostile_answer_cannot_write_on_the_terminal() -> None:
    async def sections() -> Any:
        yield "Reach", [Question("\x1b[2J?").failure("seen \x1b]0;owned\x07", "\x1b[1A gone")]

    out = io.StringIO()
    await report(URL, sections(), out)

    assert "owned" in out.getvalue()
    assert "\x1b" not in out.getvalue()
