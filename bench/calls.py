"""Calls to an MCP server with a good token: every server, operation, era and number of connections.

    python -m bench.calls [--short] [--json FILE]
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop

from bench.http_client import Connection
from bench.machine import pin_load
from bench.mcp_requests import ERAS, OPERATIONS, Era, WrongAnswer, prepared
from bench.measuring import (
    Sample,
    closed_loop,
    cpu,
    in_turns,
    percentile,
    print_table,
    rate,
    times_as_fast,
    write_json,
)
from bench.subjects import LATCHGATE, PROGRAMS, Subject, serving

WARM_UP = 0.3
COLUMNS = ("cpu", "p50", "p95", "p99")
HEADS = ("", "calls/s", "Latchgate is", "CPU µs", "p50 ms", "p95 ms", "p99 ms")


async def line(subject: Subject, era: Era, operation: str) -> Callable[[], Awaitable[None]]:
    """A connection of its own, ready to ask the same again and again."""
    assert subject.mcp_url is not None  # noqa: S101 - all here have one
    token = subject.tokens.access_token if subject.tokens else None
    connection = await Connection.to(subject.mcp_url)
    if subject.name == "bare ASGI":
        era = "2026-07-28"
    request, contains = await prepared(connection, subject.mcp_url, era, operation, token)

    async def ask() -> None:
        answer = await connection.ask(request)
        if answer.status != 200 or (contains not in answer.body and subject.tokens):  # noqa: PLR2004
            raise WrongAnswer(f"{subject.name}: {answer.status} {answer.body[:300]!r}")

    return ask


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    names = [name for name in PROGRAMS if name != "oidc-provider"]
    operations = ["tools/call"] if options.short else list(OPERATIONS)
    numbers = (16,) if options.short else (1, 16, 64)
    seconds, rounds = (0.4, 5) if options.short else (1.0, 9)
    rounds = options.rounds or rounds
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
                            measures[subject.name] = partial(closed_loop, acts, seconds, subject.pids)
                        samples = await in_turns(measures, rounds)
                        title = f"{operation}, protocol {era}, connections: {number}"
                        results.append(report(title, samples))
    write_json(options.json, results)


def report(title: str, samples: dict[str, list[Sample]]) -> dict[str, object]:
    """Print one table, and the same for programs."""
    ours = samples[LATCHGATE]
    lines = {
        name: {
            "rate": rate(theirs),
            "cpu": cpu(theirs),
            "ratio": times_as_fast(ours, theirs),
            **{f"p{percent}": percentile(theirs, percent) for percent in (50, 95, 99)},
            "rates": [round(sample.rate, 1) for sample in theirs],
        }
        for name, theirs in samples.items()
    }
    rows = [
        (name, line["rate"], f"{line['ratio']:.2f}×", *map(line.get, COLUMNS))
        for name, line in lines.items()
    ]
    print_table(title, HEADS, rows)
    return {"title": title, "servers": lines}


def read_options(description: str | None, arguments: Sequence[str]) -> argparse.Namespace:
    """What every script here understands."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer cases, fewer rounds")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--rounds", type=int, help="how many rounds, instead of the usual number")
    parser.add_argument("--only", action="append", help="only this server; may be repeated")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    pin_load()
    uvloop.run(main(read_options(__doc__, sys.argv[1:])))
