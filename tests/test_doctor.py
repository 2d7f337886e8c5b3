"""The doctor on broken servers: it names what is wrong, and what mends it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
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
        ("https on port 443", Verdict.OK, ""),
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
    # In one process there is no server that adds the Date header.
    assert doubtful == {"the clock is right"}
    assert findings["https on port 443"].seen == "not needed: only this machine can reach it"


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
    app = serving({"/": lambda _: Response(status_code=401)})
    findings = await ask(app, "https://mcp.example.com/")

    assert findings["examining"].seen == "https://mcp.example.com/"
    assert not [question for question in findings if "answers as" in question]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000/"])
async def test_the_bare_origin_leads_to_the_endpoint(world: World, url: str) -> None:
    findings = await ask(world.app, url, world.clock)

    assert findings["examining"].seen == f"{url.removesuffix('/')}/mcp"
    doubtful = {name for name, found in findings.items() if found.verdict is not Verdict.OK}
    assert doubtful == {"the clock is right"}


@pytest.mark.parametrize(
    ("path", "status", "examined"),
    [
        ("/mcp", 401, "http://127.0.0.1:8000/mcp"),
        ("/mcp", 200, "http://127.0.0.1:8000/mcp"),
        ("/mcp", 405, "http://127.0.0.1:8000"),
        ("/sse", 401, "http://127.0.0.1:8000"),
    ],
)
async def test_without_metadata_the_endpoint_is_where_most_have_it(
    path: str, status: int, examined: str
) -> None:
    app = serving({path: lambda _: Response(status_code=status)})

    assert (await ask(app, "http://127.0.0.1:8000"))["examining"].seen == examined


@pytest.mark.parametrize(
    "resource", ["https://127.0.0.1:8000/mcp", "http://elsewhere.example/mcp", None]
)
async def test_a_resource_elsewhere_is_not_examined(resource: str | None) -> None:
    metadata = {"resource": resource}
    app = serving({"/.well-known/oauth-protected-resource": lambda _: JSONResponse(metadata)})

    findings = await ask(app, "http://127.0.0.1:8000")

    assert [*findings] == ["it answers"]
    assert f"{resource} as its resource" in findings["it answers"].seen


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://127.0.0.1", "https://[::1/mcp"])
async def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    ((_, (finding,)),) = [section async for section in examine(url)]

    assert finding.seen.startswith(
        (f"{url!r} is no URL that can be asked: ", f"{url!r} is not a URL")
    )


@pytest.mark.parametrize("status", [403, 421])
async def test_who_is_refused_by_name_is_told_so_and_nothing_else(status: int) -> None:
    app = serving({"/{path:path}": lambda _: Response(status_code=status)})

    findings = await ask(app, "https://mcp.example.com/mcp")

    remedies = {found.remedy for found in findings.values() if found.seen.startswith(str(status))}
    assert len(remedies) == 1
    assert "allowed hosts" in remedies.pop()
    assert len(findings) > 10


class Endless(httpx2.AsyncByteStream):
    """A body that never ends, and says nothing more after its first words."""

    def __init__(self) -> None:
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b": a comment\n\n"
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.is_closed = True


async def test_a_stream_of_events_is_an_answer_that_need_not_end() -> None:
    bodies: list[Endless] = []

    def open_to_all(request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/mcp":
            return httpx2.Response(404)
        bodies.append(Endless())
        headers = {"Content-Type": "text/event-stream; charset=utf-8"}
        return httpx2.Response(200, headers=headers, stream=bodies[-1])

    transport = httpx2.MockTransport(open_to_all)
    sections = [section async for section in examine(URL, transport, now=Clock())]

    findings = {finding.question: finding for _, found in sections for finding in found}
    finding = findings["GET without a token gets 401"]
    assert (finding.verdict, finding.seen) == (Verdict.FAILURE, "200 OK, text/event-stream")
    assert "nothing is protected" in finding.remedy
    assert all(body.is_closed for body in bodies)


async def test_what_was_found_is_kept_when_a_later_question_has_no_answer() -> None:
    def dripping(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and request.url.path == "/mcp":
            return httpx2.Response(200, stream=Endless())
        return httpx2.Response(401)

    transport = httpx2.MockTransport(dripping)
    sections = examine(URL, transport, now=Clock(), patience=0.05)
    (endpoint,) = [found async for title, found in sections if title == "The MCP endpoint"]

    assert endpoint[0].question == "POST initialize without a token gets 401"
    assert endpoint[0].verdict is Verdict.OK
    (unanswered,) = (found for found in endpoint if found.question == "every question is answered")
    assert unanswered.seen == "http://127.0.0.1:8000/mcp did not answer in time"


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
