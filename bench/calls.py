"""Calls to an MCP server with a good token: every server, operation, era and number of connections.

python -m bench.calls [--short] [--json FILE]
"""

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop

from bench.http_client import Client
from bench.machine import pin_load
from bench.mcp_requests import ERAS, OPERATIONS, Era, WrongAnswer, prepared
from bench.measuring import (
    closed_loop,
    in_turns,
    read_options,
    report,
    write_json,
)
from bench.subjects import LATCHGATE, PROGRAMS, Subject, serving

WARM_UP = 0.3


async def line(subject: Subject, era: Era, operation: str) -> Callable[[], Awaitable[None]]:
    """A connection of its own, ready to ask the same again and again."""
    assert subject.mcp_url is not None
    token = subject.tokens.access_token if subject.tokens else None
    http = Client()
    if subject.name == "bare ASGI":
        era = "2026-07-28"
    url = subject.mcp_url
    request, contains = await prepared(await http.connection(url), url, era, operation, token)

    async def ask() -> None:
        answer = await http.send(url, request)
        if answer.status != 200 or (contains not in answer.body and subject.tokens):
            raise WrongAnswer(f"{subject.name}: {answer.status} {answer.body[:300]!r}")

    return ask


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    names = [name for name in PROGRAMS if name != "oidc-provider"]
    operations = ["tools/call"] if options.short else list(OPERATIONS)
    numbers = (16,) if options.short else (1, 16, 64)
    seconds, rounds = (0.3, 5) if options.short else (1.0, 9)
    seconds, rounds = options.seconds or seconds, options.rounds or rounds
    results = []
    with tempfile.TemporaryDirectory() as folder:
        async with serving(options.only or names, Path(folder)) as subjects:
            for era in ERAS:
                for operation in operations:
                    for number in numbers:
                        measures = {}
                        for subject in subjects:
                            acts = [await line(subject, era, operation) for _ in range(number)]
                            await closed_loop(acts, WARM_UP)
                            measures[subject.name] = partial(
                                closed_loop, acts, seconds, subject.pids
                            )
                        samples = await in_turns(measures, rounds)
                        title = f"{operation}, protocol {era}, connections: {number}"
                        results.append(report(title, samples, LATCHGATE))
    write_json(options.json, results)


if __name__ == "__main__":
    pin_load()
    uvloop.run(main(read_options(__doc__, sys.argv[1:])))
