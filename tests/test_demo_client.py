"""The demo's client on its journey: through ours to the end, and no further than is safe."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from demo.client import Journey, travel
from demo.mcp_session import Protocol
from demo.narration import SECRET_NAMES, Narrator, StepFailed
from demo.oauth import AuthorizationRequest
from demo.user_agent import system_browser
from tests.clock import Clock
from tests.kit import PASSWORD, RESOURCE, World, serving

JOURNEY = Journey(RESOURCE, password=PASSWORD)
PRM = "/.well-known/oauth-protected-resource/mcp"
ASM = "/.well-known/oauth-authorization-server"


Change = Callable[[httpx2.Response], httpx2.Response]


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    """One server for all: no journey changes it for the next."""
    async with serving(Clock()) as world:
        yield world


@dataclass
class Wire(httpx2.AsyncBaseTransport):
    """The way to a server: remembers every secret that passes, and may change what comes back."""

    world: World
    changes: Mapping[str, Change] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    requests: list[httpx2.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        body = (await request.aread()).decode()
        if request.headers.get("content-type") == "application/x-www-form-urlencoded":
            self._remember(dict(parse_qsl(body)))
        response = await httpx2.ASGITransport(self.world.app).handle_async_request(request)
        await response.aread()
        if response.content and response.headers.get("content-type") == "application/json":
            self._remember(response.json())
        change = self.changes.get(request.url.path)
        return change(response) if change else response

    def _remember(self, values: Mapping[str, Any]) -> None:
        self.secrets |= {values[name] for name in SECRET_NAMES & set(values)}


def members(**changes: Any) -> Change:
    """A JSON answer with some members changed; None takes one out."""

    def change(response: httpx2.Response) -> httpx2.Response:
        document = response.json() | changes
        kept = {name: value for name, value in document.items() if value is not None}
        return httpx2.Response(response.status_code, json=kept)

    return change


def status(code: int, **headers: str) -> Change:
    """Another status, and nothing else."""
    return lambda _: httpx2.Response(code, headers=headers)


def location(old: str, new: str) -> Change:
    """The same answer, leading elsewhere."""

    def change(response: httpx2.Response) -> httpx2.Response:
        leads_to = response.headers.get("location", "").replace(old, new)
        headers = response.headers | {"location": leads_to}
        return httpx2.Response(response.status_code, headers=headers, content=response.content)

    return change


def without(header: str) -> Change:
    """The same answer without a header."""

    def change(response: httpx2.Response) -> httpx2.Response:
        response.headers.pop(header, None)
        return response

    return change


def page(html: str, code: int = 200) -> Change:
    """A page."""
    return lambda _: httpx2.Response(code, html=html)


async def told(journey: Journey, wire: Wire, *, as_json: bool = False) -> str:
    """What the journey tells. Raises StepFailed where it ends too soon."""
    out = io.StringIO()
    await travel(journey, Narrator(out, as_json=as_json), wire)
    return out.getvalue()


async def failure(journey: Journey, wire: Wire) -> tuple[int, str]:
    """In which step the journey fails, and everything that is told about it."""
    out = io.StringIO()
    narrator = Narrator(out)
    with pytest.raises(StepFailed) as failed:
        await travel(journey, narrator, wire)
    narrator.failed(failed.value)
    last = out.getvalue().rpartition("✗ Step ")[2]
    return int(last.partition(" ")[0]), last


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "version"),
    [("auto", "2026-07-28"), ("2026-07-28", "2026-07-28"), ("legacy", "2025-11-25")],
)
async def test_the_whole_journey_ends_with_the_tools_answer_and_tells_no_secret(
    world: World, protocol: Protocol, version: str
) -> None:
    wire = Wire(world)

    story = await told(replace(JOURNEY, protocol=protocol), wire)

    assert f"protocol {version}" in story
    assert "user://profile, user://stats" in story
    assert '"username": "admin"' in story
    assert "refused, as it has to be" in story
    assert "error: invalid_grant" in story
    assert {PASSWORD} < wire.secrets
    assert len(wire.secrets) >= 7
    assert not [secret for secret in wire.secrets if secret in story]


async def test_the_story_as_json_has_an_object_a_line(world: World) -> None:
    wire = Wire(world)

    story = await told(JOURNEY, wire, as_json=True)

    events = [json.loads(line) for line in story.splitlines()]
    assert [event["title"] for event in events if event["event"] == "step"] == [
        "Ask for the MCP endpoint without a token",
        "Read the protected resource's metadata",
        "Read the authorization server's metadata",
        "Register as a client",
        "Sign in and allow",
        "Exchange the code for a token",
        "Use the MCP server",
        "Refresh the token and call again",
        "Revoke it, and see that it no longer works",
    ]
    assert not [secret for secret in wire.secrets if secret in story]


async def test_the_password_and_the_tokens_never_travel_in_a_url(world: World) -> None:
    wire = Wire(world)

    await told(JOURNEY, wire)

    queries = [value for request in wire.requests for _, value in parse_qsl(request.url.query)]
    assert queries
    assert not wire.secrets & set(queries)


async def test_a_url_with_a_slash_at_the_end_is_the_same_place(world: World) -> None:
    assert "not quite the URL" in await told(replace(JOURNEY, url=RESOURCE + "/"), Wire(world))


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_where_public_clients_are_not_welcome_it_has_a_secret(
    world: World, method: str
) -> None:
    wire = Wire(world, {ASM: members(token_endpoint_auth_methods_supported=[method])})

    story = await told(JOURNEY, wire)

    assert f"token_endpoint_auth_method: {method}" in story
    assert not [secret for secret in wire.secrets if secret in story]


async def test_a_client_that_is_registered_already_does_not_register(world: World) -> None:
    known = await world.register(redirect_uris=["http://127.0.0.1:1/callback"])
    wire = Wire(world)

    await told(replace(JOURNEY, client_id=known["client_id"]), wire)

    assert "/oauth/register" not in [request.url.path for request in wire.requests]


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        ("/oauth/token", members(refresh_token=None), "no refresh token was given"),
        (ASM, members(revocation_endpoint=None), "offers no revocation"),
        ("/mcp", without("www-authenticate"), "no Bearer challenge"),
        (ASM, members(authorization_response_iss_parameter_supported=None), "are ours"),
    ],
)
async def test_what_a_server_need_not_offer_is_done_without(
    world: World, path: str, change: Change, words: str
) -> None:
    assert words in await told(JOURNEY, Wire(world, {path: change}))


@pytest.mark.parametrize(
    ("step", "path", "change", "words"),
    [
        (1, "/mcp", status(200), "answers without a token"),
        (1, "/mcp", status(307, location="http://127.0.0.1:8000/mcp/"), "redirects to"),
        (1, "/mcp", status(404), "most servers have /mcp"),
        (2, PRM, members(resource="http://127.0.0.1:9000/mcp"), "about http://127.0.0.1:9000"),
        (2, PRM, members(authorization_servers=None), "no authorization server"),
        (3, PRM, members(authorization_servers=["http://a.example"]), "in clear"),
        (3, ASM, members(issuer="http://127.0.0.1:8000/"), "to the last slash"),
        (3, ASM, members(code_challenge_methods_supported=None), "PKCE"),
        (3, ASM, status(404), "no metadata of the authorization server"),
        (4, ASM, members(registration_endpoint=None), "--client-id"),
        (3, ASM, members(registration_endpoint="http://localhost:8000/x"), "the registration_end"),
        (3, ASM, members(revocation_endpoint="http://localhost:8000/x"), "the revocation_end"),
        (3, ASM, members(authorization_endpoint="http://evil.example/"), "in clear"),
        (4, ASM, members(token_endpoint_auth_methods_supported=["tls"]), "client authentication"),
        (4, "/oauth/register", members(client_id=None), "no client_id"),
        (4, "/oauth/register", members(token_endpoint_auth_method="x"), "cannot authenticate"),
        (4, "/oauth/register", status(500), "500"),
        (5, "/oauth/authorize", page("<title>Oops</title>No."), "“Oops” leads no further"),
        (5, "/oauth/authorize", page("<form><button>Allow</button></form>", 400), "no further"),
        (5, "/oauth/authorize", page("<form><input type=password></form>"), "into a URL"),
        (
            5,
            "/oauth/authorize",
            page("<form method=post action=http://localhost:1/><input type=password></form>"),
            "--trust-origin http://localhost:1",
        ),
        (5, "/oauth/authorize", status(303, location="http://evil.example/"), "in clear"),
        (5, "/oauth/authorize", status(303, location="/oauth/authorize"), "after 20 pages"),
        (5, "/oauth/sign-in", status(307, location="http://localhost:1/"), "--trust-origin"),
        (5, "/oauth/consent", location("state=", "state=x"), "does not carry our state"),
        (5, "/oauth/consent", location("iss=", "iss=https://evil.example/"), "mixed itself in"),
        (5, "/oauth/consent", location("iss=", "is="), "none came"),
        (5, "/oauth/consent", location("code=", "code=1&code="), "repeats a parameter"),
        (5, "/oauth/consent", location("code=", "error=access_denied&x="), "access_denied"),
        (5, "/oauth/consent", location("code=", "x="), "no code"),
        (6, "/oauth/token", members(token_type="DPoP"), "not Bearer"),
        (6, "/oauth/token", members(access_token=None), "no access_token"),
        (6, "/oauth/token", page("<p>gateway</p>"), "not a JSON object"),
        (7, "/oauth/token", members(access_token="of-nobody"), "invalid_token"),
        (9, "/oauth/revoke", status(503), "the revocation was refused"),
    ],
)
async def test_it_stops_where_going_on_would_be_wrong_and_says_why(
    world: World, step: int, path: str, change: Change, words: str
) -> None:
    failed_in, story = await failure(JOURNEY, Wire(world, {path: change}))

    assert failed_in == step
    assert words in story


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000", "try http://127.0.0.1:8000/mcp"),
        ("localhost:8000/mcp", "try http://localhost:8000/mcp"),
        ("mcp.example.com/mcp", "try https://mcp.example.com/mcp"),
        ("http://127.0.0.1:8000", "try http://127.0.0.1:8000/mcp"),
        ("http://127.0.0.1:8000/", "try http://127.0.0.1:8000/mcp"),
        ("http://127.0.0.1:8000/nowhere", "most servers have /mcp"),
    ],
)
async def test_of_a_wrong_url_it_says_which_to_try(world: World, url: str, words: str) -> None:
    failed_in, story = await failure(replace(JOURNEY, url=url), Wire(world))

    assert failed_in == 1
    assert words in story


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (members(resource="http://127.0.0.1:8000/tools"), "try http://127.0.0.1:8000/tools"),
        (status(404), "try http://127.0.0.1:8000/mcp"),
    ],
)
async def test_at_a_bare_origin_the_metadata_says_where_to_go(
    world: World, change: Change, words: str
) -> None:
    wire = Wire(world, {"/.well-known/oauth-protected-resource": change})

    _, story = await failure(replace(JOURNEY, url="http://127.0.0.1:8000"), wire)

    assert words in story


async def test_only_a_trusted_origin_has_the_tokens(world: World) -> None:
    elsewhere = "http://localhost:8000/oauth/token"
    wire = Wire(world, {ASM: members(token_endpoint=elsewhere)})

    failed_in, story = await failure(JOURNEY, wire)
    assert failed_in == 3
    assert "--trust-origin http://localhost:8000" in story
    assert not [request for request in wire.requests if request.url == elsewhere]

    await told(replace(JOURNEY, trusted=("http://localhost:8000",)), wire)
    assert [request for request in wire.requests if request.url == elsewhere]


async def test_a_wrong_password_is_told_in_the_servers_words(world: World) -> None:
    failed_in, story = await failure(replace(JOURNEY, password="wrong"), Wire(world))

    assert failed_in == 5
    assert "signing in as admin was refused" in story
    assert "Wrong username or password" in story


async def test_a_token_that_survives_its_revocation_is_a_failure(world: World) -> None:
    class Forgetful(Wire):
        """Answers revocations without passing them on."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/oauth/revoke":
                return httpx2.Response(200)
            return await super().handle_async_request(request)

    failed_in, story = await failure(JOURNEY, Forgetful(world))

    assert failed_in == 9
    assert "not refused with 401" in story


async def test_the_persons_own_browser_brings_the_code_back(world: World) -> None:
    opened: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def open_url(url: str) -> bool:
        loop.call_soon_threadsafe(opened.put_nowait, url)
        return True

    async with system_browser(Narrator(io.StringIO()), open_url) as agent:
        request = AuthorizationRequest("http://127.0.0.1/a", agent.redirect_uri, "ours", "v")
        waiting = asyncio.create_task(agent.authorize(request, frozenset()))
        assert await opened.get() == request.url
        async with httpx2.AsyncClient(trust_env=False) as browser:
            elsewhere = await browser.get(agent.redirect_uri.replace("/callback", "/favicon.ico"))
            forged = await browser.get(f"{agent.redirect_uri}?code=evil&state=theirs")
            arrived = await browser.get(f"{agent.redirect_uri}?code=good&state=ours")

        assert await waiting == f"{agent.redirect_uri}?code=good&state=ours"
    assert [elsewhere.status_code, forged.status_code, arrived.status_code] == [404, 200, 200]
    assert "close this window" in arrived.text
