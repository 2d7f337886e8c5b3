"""What a client that runs in a page may ask and read: preflights and exposed headers (CORS)."""

from collections.abc import AsyncIterator, Iterable

import httpx2

from demo.checks.deployment import INSPECTOR, Deployment, remedy_for, seen
from demo.checks.finding import Finding, Question
from demo.discovery import PROTECTED_RESOURCE, authorization_server_metadata_urls

PAGES = "Inspector and other clients in a browser"
FIRST = "answer OPTIONS before anything asks for a token, with Access-Control-Allow-Origin"

_MCP_HEADERS = (
    "authorization",
    "content-type",
    "mcp-protocol-version",
    "mcp-session-id",
    "mcp-method",
    "mcp-name",
    "last-event-id",
)


async def check_preflights(deployment: Deployment) -> AsyncIterator[Finding]:
    """A browser asks first whether it may send these headers."""
    path = deployment.path.rstrip("/")
    asked: list[tuple[str, str | None, str, tuple[str, ...]]] = [
        ("the MCP endpoint", deployment.url, "POST", _MCP_HEADERS),
        (
            "the resource's metadata",
            deployment.origin + PROTECTED_RESOURCE + path,
            "GET",
            ("mcp-protocol-version",),
        ),
        (
            "the server's metadata",
            authorization_server_metadata_urls(deployment.issuer)[0],
            "GET",
            ("mcp-protocol-version",),
        ),
        (
            "registration",
            deployment.endpoint("registration_endpoint"),
            "POST",
            ("content-type",),
        ),
        (
            "the token endpoint",
            deployment.endpoint("token_endpoint"),
            "POST",
            ("authorization", "content-type"),
        ),
    ]
    for what, url, method, headers in asked:
        if url is None:
            continue
        response = await deployment.ask(
            "OPTIONS",
            url,
            headers={
                "Origin": INSPECTOR,
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": ",".join(headers),
            },
        )
        yield _judge_preflight(Question(f"preflight of {what}", PAGES), response, headers)


async def check_readable(deployment: Deployment) -> AsyncIterator[Finding]:
    """A page sees of an answer only what it is shown."""
    response = await deployment.ask_for_mcp(headers={"Origin": INSPECTOR})
    question = Question("a page may read the 401", PAGES)
    if not _allows_origin(response):
        yield question.failure(
            f"{seen(response)}, no Access-Control-Allow-Origin",
            remedy_for(
                response,
                "send Access-Control-Allow-Origin on errors too: the CORS layer has to be "
                "outermost",
            ),
        )
        return
    exposed = _words(response, "access-control-expose-headers")
    yield question.judge(
        holds="www-authenticate" in exposed,
        seen=", ".join(sorted(exposed)) or "nothing exposed",
        remedy="Access-Control-Expose-Headers: WWW-Authenticate, Mcp-Session-Id; without it a page "
        "never learns where the metadata is",
    )
    yield Question("a page may read Mcp-Session-Id", f"{PAGES} before 2026-07-28").judge(
        holds="mcp-session-id" in exposed,
        seen="exposed" if "mcp-session-id" in exposed else "not exposed",
        remedy="add Mcp-Session-Id to Access-Control-Expose-Headers",
        mild=True,
    )
    if url := deployment.endpoint("authorization_endpoint"):
        response = await deployment.ask("GET", url, headers={"Origin": INSPECTOR})
        yield Question("no page may read the authorization endpoint", "nobody, and so be it").judge(
            holds="access-control-allow-origin" not in response.headers,
            seen=response.headers.get("access-control-allow-origin", "closed"),
            remedy="no CORS on the authorization endpoint (OAuth 2.1 §3.1): people go there, "
            "scripts do not",
        )


def _judge_preflight(
    question: Question, response: httpx2.Response, headers: Iterable[str]
) -> Finding:
    if not response.is_success:
        return question.failure(seen(response), remedy_for(response, FIRST))
    if not _allows_origin(response):
        return question.failure(f"{seen(response)}, no Access-Control-Allow-Origin", FIRST)
    allowed = _words(response, "access-control-allow-headers")
    # The Fetch standard lets * stand for every header but Authorization.
    missing = [
        name
        for name in headers
        if name not in allowed and ("*" not in allowed or name == "authorization")
    ]
    return question.judge(
        holds=not missing,
        seen=f"not allowed: {', '.join(missing)}" if missing else seen(response),
        remedy=f"add {', '.join(missing)} to Access-Control-Allow-Headers",
    )


def _allows_origin(response: httpx2.Response) -> bool:
    return response.headers.get("access-control-allow-origin") in {"*", INSPECTOR}


def _words(response: httpx2.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in response.headers.get(header, "").split(",")} - {""}
