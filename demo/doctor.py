"""Ask a deployment what real clients ask, and say in words what is wrong and what mends it.

    python -m demo.doctor URL [--json] [--register]

Works against any MCP server. Exit codes: 0 nothing keeps a client away, 1 something does,
130 interrupted, 141 nobody reads what is found.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict
from typing import TextIO

import httpx2

from demo import INTERRUPTED
from demo.checks.browsers import check_preflights, check_readable
from demo.checks.deployment import Deployment, find_endpoint, first_look
from demo.checks.endpoint import (
    check_bad_token,
    check_challenge,
    check_other_loopback_name,
    check_refusal,
    check_slash,
)
from demo.checks.finding import Finding, Question, Verdict
from demo.checks.reach import check_clock, check_reach
from demo.checks.registration import check_registrations
from demo.checks.resource import check_head, check_places, check_resource
from demo.checks.server import (
    check_metadata,
    check_other_places,
    check_registering_badly,
    check_unknown_client,
    check_unknown_client_on_pages,
)
from demo.conversation import new_http_client
from demo.narration import StepFailed, abridge, printable, wants_color

Check = Callable[[Deployment], AsyncIterator[Finding]]

CHECKS: tuple[tuple[str, tuple[Check, ...]], ...] = (
    ("Reach", (check_reach, check_clock)),
    (
        "The MCP endpoint",
        (check_refusal, check_slash, check_other_loopback_name, check_challenge, check_bad_token),
    ),
    ("The resource's metadata", (check_places, check_head, check_resource)),
    (
        "The authorization server",
        (
            check_metadata,
            check_other_places,
            check_unknown_client,
            check_unknown_client_on_pages,
            check_registering_badly,
        ),
    ),
    ("Clients in a browser", (check_preflights, check_readable)),
)
REGISTRATIONS: tuple[str, tuple[Check, ...]] = ("Registrations", (check_registrations,))

TIMEOUT = 10.0
BROKEN_PIPE = 141

_MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.FAILURE: "✗"}
_COLORS = {Verdict.OK: "32", Verdict.WARNING: "33", Verdict.FAILURE: "31;1"}

Section = tuple[str, list[Finding]]


async def examine(
    url: str,
    transport: httpx2.AsyncBaseTransport | None = None,
    *,
    now: Callable[[], float] = time.time,
    registers: bool = False,
    patience: float = TIMEOUT,
) -> AsyncIterator[Section]:
    """Every section of questions with what was found. Only the first if nobody answers.

    `patience` is how many seconds an answer may take.
    """
    http = new_http_client(transport, timeout=patience)
    async with http:
        try:
            endpoint = await find_endpoint(url, http)
            deployment = await first_look(endpoint, http, now)
        except StepFailed as failure:
            yield "Reach", [Question("it answers").failure(failure.reason, failure.remedy)]
            return
        yield "The URL", [Question("examining", "whoever typed it").ok(endpoint)]
        for title, checks in (*CHECKS, *([REGISTRATIONS] if registers else [])):
            findings: list[Finding] = []
            for check in checks:
                try:
                    async for finding in check(deployment):
                        findings.append(finding)  # noqa: PERF401 - kept if a later one fails
                except StepFailed as failure:
                    answered = Question("every question is answered")
                    findings.append(answered.failure(failure.reason, failure.remedy))
            yield title, findings


def show(section: Section, out: TextIO, *, color: bool) -> None:
    """One section of the table: green what works, red what does not, and what to do."""
    title, findings = section
    print(f"\n{title}", file=out)
    for finding in findings:
        mark = _MARKS[finding.verdict]
        if color:
            mark = f"\x1b[{_COLORS[finding.verdict]}m{mark}\x1b[0m"
        seen = printable(abridge(" ".join(finding.seen.split())))
        print(f"  {mark} {printable(finding.question):<52}  {seen}", file=out)
        if finding.verdict is not Verdict.OK:
            print(f"      asked by: {finding.asked_by}", file=out)
            print(f"      remedy:   {printable(finding.remedy)}", file=out)


async def report(
    url: str,
    sections: AsyncIterator[Section],
    out: TextIO,
    *,
    color: bool = False,
    as_json: bool = False,
) -> int:
    """Tell what was found, and answer with the exit code."""
    findings: list[Finding] = []
    async for section in sections:
        findings += section[1]
        if not as_json:
            show(section, out, color=color)
            out.flush()
    counts = Counter(finding.verdict for finding in findings)
    if as_json:
        listed = [asdict(finding) | {"verdict": finding.verdict.value} for finding in findings]
        document = {"url": url, "healthy": not counts[Verdict.FAILURE], "findings": listed}
        print(json.dumps(document, indent=2, ensure_ascii=False), file=out)
    else:
        print(
            f"\n{counts[Verdict.OK]} as they should be, {counts[Verdict.WARNING]} to think about, "
            f"{counts[Verdict.FAILURE]} that keep clients away",
            file=out,
        )
    out.flush()
    return 1 if counts[Verdict.FAILURE] else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="the MCP endpoint, or its origin, as people type it")
    parser.add_argument("--json", action="store_true", help="the findings as one JSON document")
    parser.add_argument(
        "--register",
        action="store_true",
        help="also register as real clients do; a server that stores registrations keeps them",
    )
    parser.add_argument("--no-color", action="store_true")
    options = parser.parse_args(arguments)
    color = wants_color(sys.stdout, refused=options.no_color)
    sections = examine(options.url, registers=options.register)
    try:
        return asyncio.run(
            report(options.url, sections, sys.stdout, color=color, as_json=options.json)
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read along has seen enough. What is still in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


if __name__ == "__main__":
    sys.exit(main())
