"""The MCP endpoint as clients meet it before they have a token (RFC 6750 §3, RFC 9728 §5.1)."""

from collections.abc import AsyncIterator

import httpx2

from demo.checks.deployment import Deployment, remedy_for, seen
from demo.checks.finding import Finding, Question
from demo.discovery import bearer_challenge
from demo.first_request import DISCOVER
from demo.narration import abridge

UNAUTHORIZED = httpx2.codes.UNAUTHORIZED
NO_SUCH_CREDENTIALS = "Bearer latchgate-doctor-asks-with-a-token-that-nobody-issued"

OPEN = "it answers without a token, so nothing is protected: the guard must stand before this path"
MOVED = (
    "clients do not follow it, or lose the Authorization header on the way: answer at this very "
    "URL, with and without the slash at the end"
)
MISSING = "there is no MCP endpoint at this path: check the URL; most servers have /mcp"
EXPECTED = "without a token the answer has to be 401 with a Bearer challenge (RFC 6750 §3)"


async def check_refusal(deployment: Deployment) -> AsyncIterator[Finding]:
    """Whatever comes without a token is refused with 401."""
    question = Question("POST initialize without a token gets 401")
    yield _judge_refusal(question, deployment.refusal)
    question = Question(
        f"POST {DISCOVER.name} without a token gets 401", "clients of the 2026-07-28 protocol"
    )
    yield _judge_refusal(question, await deployment.ask_for_mcp(first=DISCOVER))
    accept = {"Accept": "text/event-stream"}
    question = Question("GET without a token gets 401", "mcp-remote, which begins with it")
    yield _judge_refusal(question, await deployment.ask("GET", deployment.url, headers=accept))
    question = Question("HEAD without a token gets 401", "hosted clients' reachability probes")
    response = await deployment.ask("HEAD", deployment.url, headers=accept)
    yield question.judge(
        holds=response.status_code in {UNAUTHORIZED, httpx2.codes.METHOD_NOT_ALLOWED},
        seen=seen(response),
        remedy=_remedy(response),
        mild=not response.is_server_error,
    )


async def check_slash(deployment: Deployment) -> AsyncIterator[Finding]:
    """With and without the slash at the end, and never by a redirect."""
    path = deployment.path.rstrip("/")
    if not path:
        return
    is_slashed = deployment.path.endswith("/")
    other = path if is_slashed else path + "/"
    question = Question(f"{other} answers as {deployment.path} does", "people who type the other")
    yield _judge_refusal(question, await deployment.ask_for_mcp(deployment.origin + other))


async def check_challenge(deployment: Deployment) -> AsyncIterator[Finding]:
    """The challenge says where the metadata is and what to ask for, and blames nobody."""
    if deployment.refusal.status_code != UNAUTHORIZED:
        return
    question = Question("the 401 carries a Bearer challenge")
    challenge = deployment.challenge
    if challenge is None:
        header = deployment.refusal.headers.get("www-authenticate")
        yield question.failure(
            f"WWW-Authenticate: {header}" if header else "no WWW-Authenticate",
            "every 401 needs WWW-Authenticate: Bearer (RFC 6750 §3); without it the browser never "
            "opens",
        )
        return
    yield question.ok("Bearer")
    place = challenge.get("resource_metadata")
    yield Question("the challenge names resource_metadata", "every SDK, first of all").judge(
        holds=bool(place) and str(place).startswith(("https://", "http://")),
        seen=abridge(place) if place else "not named",
        remedy="add resource_metadata with the whole URL of the metadata document (RFC 9728 §5.1)",
    )
    yield Question("the challenge names the scope to ask for", "SDKs, mcp-remote").judge(
        holds=bool(challenge.get("scope")),
        seen=challenge.get("scope") or "no scope",
        remedy='add scope="…" to the challenge: otherwise clients ask for everything you list',
        mild=True,
    )
    error = challenge.get("error")
    yield Question("no error when no token came", "clients that report it to the person").judge(
        holds=error is None,
        seen=f"error={error}" if error else "no error",
        remedy="leave error out when the request had no token (RFC 6750 §3.1): clients take it for "
        "a bad token, throw theirs away and loop",
    )


async def check_bad_token(deployment: Deployment) -> AsyncIterator[Finding]:
    """A token nobody issued is invalid_token, so that clients get a new one."""
    question = Question("an unknown token gets 401 invalid_token")
    response = await deployment.ask_for_mcp(headers={"Authorization": NO_SUCH_CREDENTIALS})
    if response.status_code != UNAUTHORIZED:
        yield question.failure(
            seen(response),
            OPEN
            if response.is_success
            else remedy_for(response, "answer 401: clients renew their token on nothing else"),
        )
        return
    challenge = bearer_challenge(response.headers.get_list("www-authenticate")) or {}
    error = challenge.get("error")
    yield question.judge(
        holds=error == "invalid_token",
        seen=f"401, error={error}" if error else "401 without error",
        remedy='say error="invalid_token" in the challenge when the token is bad (RFC 6750 §3.1)',
        mild=True,
    )
    yield Question("that 401 names resource_metadata too", "clients whose token expired").judge(
        holds="resource_metadata" in challenge,
        seen="named" if "resource_metadata" in challenge else "not named",
        remedy="add resource_metadata to every 401 (RFC 9728 §5.1)",
        mild=True,
    )


async def check_other_loopback_name(deployment: Deployment) -> AsyncIterator[Finding]:
    """Called localhost it is localhost, called 127.0.0.1 it is that: clients compare the host."""
    if not deployment.is_loopback:
        return
    names = ("//127.0.0.1", "//localhost")
    here, there = names if names[0] in deployment.url else reversed(names)
    other = deployment.url.replace(here, there, 1)
    if other == deployment.url:
        return
    question = Question(f"it answers as {there[2:]} too", "people who type the other name")
    response = await deployment.ask_for_mcp(other)
    challenge = bearer_challenge(response.headers.get_list("www-authenticate")) or {}
    place = challenge.get("resource_metadata", "")
    yield question.judge(
        holds=response.status_code == UNAUTHORIZED and there in place,
        seen=f"{seen(response)}, resource_metadata {place or 'not named'}",
        remedy=remedy_for(
            response,
            "let the host that was called select the name in the metadata: every SDK refuses "
            "a resource on another host than the one that was typed",
        ),
        mild=True,
    )


def _judge_refusal(question: Question, response: httpx2.Response) -> Finding:
    return question.judge(
        holds=response.status_code == UNAUTHORIZED, seen=seen(response), remedy=_remedy(response)
    )


def _remedy(response: httpx2.Response) -> str:
    if response.is_success:
        return OPEN
    if response.is_redirect:
        return MOVED
    is_missing = response.status_code == httpx2.codes.NOT_FOUND
    return remedy_for(response, MISSING if is_missing else EXPECTED)
