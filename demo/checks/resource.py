"""Protected resource metadata: wherever a client looks, and the same everywhere (RFC 9728)."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2

from demo.checks.deployment import Deployment, empty_members, is_json, remedy_for, seen
from demo.checks.finding import Finding, Question
from demo.discovery import PROTECTED_RESOURCE, covers
from demo.narration import StepFailed
from origins import is_loopback_host

HTML = (
    "a page came where a document was asked for: a catch-all route (an app's index.html) must not "
    "cover /.well-known"
)


async def check_places(deployment: Deployment) -> AsyncIterator[Finding]:
    """The document is wherever one of the clients looks, without a redirect."""
    path = deployment.path.rstrip("/")
    named = (deployment.challenge or {}).get("resource_metadata")
    inserted = deployment.origin + PROTECTED_RESOURCE + path
    places = [
        (named, "Claude, VS Code and every SDK, as the challenge says", False),
        (inserted, "Cursor, VS Code and every SDK without the challenge", False),
        (deployment.origin + PROTECTED_RESOURCE, "ChatGPT, which strips the path", False),
        (inserted + "/" if path else None, "SDKs given the URL with a slash", True),
    ]
    bodies: dict[str, bytes] = {}
    for place, asked_by, mild in places:
        if place is None or place in bodies:
            continue
        question = Question(f"GET {_path(place)}", asked_by)
        bodies[place] = b""
        try:
            response = await deployment.ask("GET", place)
        except StepFailed as failure:
            yield question.failure(failure.reason, failure.remedy)
            continue
        is_found = response.status_code == httpx2.codes.OK and is_json(response)
        if is_found:
            bodies[place] = response.content
        yield question.judge(
            holds=is_found, seen=seen(response), remedy=_remedy(response), mild=mild
        )
    found = {body for body in bodies.values() if body}
    if len(found) > 1:
        yield Question("the same document in all places").warning(
            f"{len(found)} different documents", "serve one document, byte for byte, everywhere"
        )


async def check_head(deployment: Deployment) -> AsyncIterator[Finding]:
    """HEAD where GET works."""
    place = (deployment.challenge or {}).get("resource_metadata")
    if place is None or deployment.resource is None:
        return
    response = await deployment.ask("HEAD", place)
    yield Question(f"HEAD {_path(place)}", "uptime checks and some proxies").judge(
        holds=response.status_code == httpx2.codes.OK,
        seen=seen(response),
        remedy=remedy_for(response, "answer HEAD as GET, without the body (RFC 9110 §9.3.2)"),
        mild=True,
    )


async def check_resource(deployment: Deployment) -> AsyncIterator[Finding]:
    """The document is about the URL that people type, and says only what it has to say."""
    document = deployment.resource
    if document is None:
        return
    yield _judge_resource(deployment, document.get("resource"))
    servers = document.get("authorization_servers")
    are_named = isinstance(servers, list) and bool(servers) and all(map(_is_issuer, servers))
    yield Question("authorization_servers names issuers").judge(
        holds=are_named,
        seen=", ".join(map(str, servers)) if isinstance(servers, list) else "not named",
        remedy="list the issuer, an https URL without query or fragment, exactly as it stands in "
        "its own metadata (RFC 9728 §2)",
    )
    scopes = document.get("scopes_supported")
    named = [*scopes] if isinstance(scopes, list) else []
    challenged = str((deployment.challenge or {}).get("scope", "")).split()
    yield Question("offline_access is not a scope of the resource", "SDKs, which ask for it").judge(
        holds="offline_access" not in [*named, *challenged],
        seen="listed" if "offline_access" in [*named, *challenged] else "not listed",
        remedy="list offline_access in the authorization server's metadata only: whether tokens "
        "are refreshed is not the resource's business",
    )
    empty = empty_members(document)
    yield Question("nothing empty in the resource's metadata", "strict parsers").judge(
        holds=not empty,
        seen=", ".join(empty) or "nothing",
        remedy="leave out what has no value (RFC 9728 §3.2): an empty list of scopes reads as "
        "“there are none to ask for”",
    )
    methods = document.get("bearer_methods_supported", ["header"])
    yield Question("tokens are taken in the header").judge(
        holds=isinstance(methods, list) and "header" in methods,
        seen=str(methods),
        remedy="bearer_methods_supported needs header: MCP clients send tokens in no other way",
    )


def _judge_resource(deployment: Deployment, resource: object) -> Finding:
    question = Question("resource is the URL that was called", "VS Code, to the byte; every SDK")
    if not isinstance(resource, str):
        return question.failure(str(resource), "resource has to be one URL (RFC 9728 §2)")
    if resource == deployment.url:
        return question.ok(resource)
    remedy = (
        f"make resource {deployment.url} by setting the server's public URL, or give people the "
        "URL that stands in resource"
    )
    if resource.rstrip("/") == deployment.url.rstrip("/"):
        return question.warning(f"{resource}: a slash apart", remedy)
    try:
        is_parent = covers(resource, deployment.url)
    except StepFailed:
        is_parent = False
    seen_here = f"{resource}: a parent of the URL" if is_parent else resource
    return question.failure(seen_here, remedy + "; clients refuse to send a token elsewhere")


def _is_issuer(value: object) -> bool:
    if not isinstance(value, str):
        return False
    parts = urlsplit(value)
    is_safe = parts.scheme == "https" or is_loopback_host(parts.netloc)
    return is_safe and bool(parts.netloc) and not parts.query and not parts.fragment


def _remedy(response: httpx2.Response) -> str:
    if response.is_redirect:
        return "answer here, not by a redirect: clients do not follow it"
    if response.status_code == httpx2.codes.OK:
        return HTML
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        return "metadata is for clients that have no token yet: no authorization in front of it"
    return remedy_for(
        response,
        "serve the protected resource metadata here as well, as application/json (RFC 9728 §3)",
    )


def _path(url: str) -> str:
    return urlsplit(url).path
