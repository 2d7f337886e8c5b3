"""The endpoints by themselves: no token, introspection, refresh, the exchange of a code.

python -m bench.endpoints [--short] [--json FILE]
"""

import argparse
import base64
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import uvloop

from bench.http_client import Client, request
from bench.journey import (
    Endpoints,
    Tokens,
    authorize,
    connect,
    discover,
    exchange,
    refresh,
    register,
)
from bench.machine import pin_load
from bench.mcp_requests import OPERATIONS, WrongAnswer, modern
from bench.measuring import Sample, closed_loop, in_turns, read_options, report, write_json
from bench.subjects import INTROSPECTING_CLIENT, LATCHGATE, SECRET, Subject, scope_of, serving

CONNECTIONS = 16
CODES = 6
"""How many codes each connection exchanges in a turn."""

ISSUERS = (LATCHGATE, "Latchgate, sqlite", "SDK's own server", "FastMCP, tuned", "oidc-provider")
Act = Callable[[], Awaitable[None]]
Measure = Callable[[], Awaitable[Sample]]


async def no_token(subject: Subject, seconds: float) -> Measure:
    """A call that brings no token: 401 and a challenge."""
    assert subject.mcp_url is not None
    params, _ = OPERATIONS["tools/call"]
    call = modern(subject.mcp_url, "tools/call", params)
    status = 401 if subject.tokens else 200
    acts = [asking(subject.mcp_url, call, status) for _ in range(CONNECTIONS)]
    return partial(closed_loop, acts, seconds, subject.pids)


async def introspection(subject: Subject, seconds: float) -> Measure:
    """A resource server asks about a good token, and proves who it is (RFC 7662 §2.1)."""
    assert subject.issuer is not None
    assert subject.tokens is not None
    metadata = await Client().ask("GET", f"{subject.issuer}{metadata_path(subject)}")
    url = metadata.json()["introspection_endpoint"]
    pair = base64.b64encode(f"{INTROSPECTING_CLIENT}:{SECRET}".encode()).decode()
    headers = {
        "Authorization": f"Basic {pair}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = urlencode({"token": subject.tokens.access_token}).encode()
    question = request("POST", url, headers, body)
    acts = [asking(url, question, 200, b'"active":true') for _ in range(CONNECTIONS)]
    return partial(closed_loop, acts, seconds, subject.pids)


async def refreshing(subject: Subject, seconds: float) -> Measure:
    """Each connection is a client of its own, which refreshes again and again."""
    assert subject.issuer is not None
    endpoints = await discover(Client(), subject.issuer)
    acts = []
    for _ in range(CONNECTIONS):
        http = Client()
        tokens = await connect(http, endpoints, subject.mcp_url, scope_of(subject.mcp_url))
        acts.append(refresher(http, endpoints, tokens))
    return partial(closed_loop, acts, seconds, subject.pids)


def refresher(http: Client, endpoints: Endpoints, tokens: Tokens) -> Act:
    """Refresh what the last refresh gave."""

    async def act() -> None:
        nonlocal tokens
        tokens = await refresh(http, endpoints, tokens)

    return act


async def exchanging(subject: Subject, _seconds: float) -> Measure:
    """Codes that were given just now; getting them is not measured."""
    assert subject.issuer is not None
    https = [Client() for _ in range(CONNECTIONS)]
    endpoints = await discover(https[0], subject.issuer)
    client = await register(https[0], endpoints, scope_of(subject.mcp_url))

    async def measure() -> Sample:
        acts = []
        for http in https:
            codes = [
                await authorize(http, endpoints, client, subject.mcp_url, scope_of(subject.mcp_url))
                for _ in range(CODES)
            ]
            acts.append(exchanger(http, endpoints, client, codes, subject.mcp_url))
        return await closed_loop(acts, 0, subject.pids)

    return measure


def exchanger(
    http: Client,
    endpoints: Endpoints,
    client: dict[str, object],
    codes: Sequence[tuple[str, str]],
    resource: str | None,
) -> Act:
    """Exchange them all; one act."""

    async def act() -> None:
        for code, verifier in codes:
            await exchange(http, endpoints, client, code, verifier, resource)

    return act


def asking(url: str, question: bytes, status: int, contains: bytes = b"") -> Act:
    """Ask the same again and again, on a connection of its own."""
    http = Client()

    async def act() -> None:
        answer = await http.send(url, question)
        if answer.status != status or contains not in answer.body:
            raise WrongAnswer(f"{answer.status} {answer.body[:300]!r}")

    return act


def metadata_path(subject: Subject) -> str:
    """Where it describes itself."""
    name = "oauth-authorization-server" if subject.mcp_url else "openid-configuration"
    return f"/.well-known/{name}"


CASES: dict[str, tuple[Callable[[Subject, float], Awaitable[Measure]], Sequence[str]]] = {
    "401, no token": (no_token, (*ISSUERS[:4], "bare ASGI")),
    "introspection": (introspection, (*ISSUERS[:2], ISSUERS[-1])),
    "token endpoint, refresh": (refreshing, ISSUERS),
    f"token endpoint, {CODES} codes": (exchanging, ISSUERS),
}


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    seconds, rounds = (0.3, 5) if options.short else (1.0, 9)
    seconds, rounds = options.seconds or seconds, options.rounds or rounds
    results = []
    with tempfile.TemporaryDirectory() as folder:
        async with serving((*ISSUERS, "bare ASGI"), Path(folder)) as subjects:
            for title, (prepare, names) in CASES.items():
                measures = {
                    subject.name: await prepare(subject, seconds)
                    for subject in subjects
                    if subject.name in names
                }
                for measure in measures.values():
                    await measure()
                samples = await in_turns(measures, rounds)
                results.append(report(f"{title}, connections: {CONNECTIONS}", samples, LATCHGATE))
    write_json(options.json, results)


if __name__ == "__main__":
    pin_load()
    uvloop.run(main(read_options(__doc__, sys.argv[1:])))
