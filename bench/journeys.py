"""Whole journeys: from knowing nothing but a URL to the answer of a first call.

    python -m bench.journeys [--short] [--json FILE]

Latchgate and oidc-provider show pages that a browser fills in; the SDK and FastMCP allow whoever
asks. A password costs Latchgate next to nothing here: hashing one is measured by itself.
"""

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop

from bench.http_client import Client
from bench.journey import connect, discover, travel
from bench.machine import pin_load
from bench.measuring import closed_loop, in_turns, read_options, report, write_json
from bench.subjects import LATCHGATE, Subject, scope_of, serving

CONNECTIONS = 16
NAMES = (
    LATCHGATE,
    "Latchgate, sqlite",
    "Latchgate, valkey",
    "SDK's own server",
    "FastMCP",
    "FastMCP, tuned",
    "oidc-provider",
)

Act = Callable[[], Awaitable[None]]


async def to_a_token(subject: Subject) -> Act:
    """Register, sign in, allow, exchange."""
    assert subject.issuer is not None
    http = Client()
    endpoints = await discover(http, subject.issuer)

    async def act() -> None:
        await connect(http, endpoints, subject.mcp_url, scope_of(subject.mcp_url))

    return act


async def to_a_call(subject: Subject) -> Act:
    """All of it: the challenge, two documents, a token, a call."""
    http = Client()

    async def act() -> None:
        assert subject.issuer is not None
        await travel(http, subject.issuer, subject.mcp_url, scope_of(subject.mcp_url))

    return act


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    seconds, rounds = (0.5, 3) if options.short else (1.5, 9)
    seconds, rounds = options.seconds or seconds, options.rounds or rounds
    results = []
    with tempfile.TemporaryDirectory() as folder:
        async with serving(NAMES, Path(folder)) as subjects:
            for title, prepare in (
                ("register, sign in, allow, exchange", to_a_token),
                ("the whole journey, with a call", to_a_call),
            ):
                measures = {}
                for subject in subjects:
                    if subject.mcp_url is None and prepare is to_a_call:
                        continue
                    acts = [await prepare(subject) for _ in range(CONNECTIONS)]
                    await closed_loop(acts, 0.3)
                    measures[subject.name] = partial(closed_loop, acts, seconds, subject.pids)
                samples = await in_turns(measures, rounds)
                results.append(report(f"{title}, connections: {CONNECTIONS}", samples, LATCHGATE))
    write_json(options.json, results)


if __name__ == "__main__":
    pin_load()
    uvloop.run(main(read_options(__doc__, sys.argv[1:])))
