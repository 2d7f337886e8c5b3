"""Everything that draws its inputs, two searches at a time, and a table of what came of it.

    python -m tests.fuzz.run [--minutes 5] [--seed N]    other inputs in every run (make fuzz)
    python -m tests.fuzz.run --short                     the same in every run (make test-fuzz)

A finding is printed whole, with the seed that leads to it again.
"""

import argparse
import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from collections.abc import Sequence
from dataclasses import dataclass
from random import SystemRandom
from time import monotonic

AT_ONCE = 2
PYTEST = ("pytest", "-n0", "-q", "-m", "", "--timeout=900", "--hypothesis-show-statistics")
MACHINE = "tests/test_state_machine.py::test_whatever_is_done_the_model_agrees"
PROPERTIES = (
    "tests/test_properties.py",
    "tests/test_redirect_properties.py",
    "tests/test_addresses.py",
    "tests/security/test_parsing.py",
)
# How many inputs there were, as hypothesis and schemathesis say it; or how many tests.
INPUTS = re.compile(r"- (\d+) passing|(\d+) generated,")
TESTS = re.compile(r"^(\d+) passed", re.MULTILINE)


@dataclass(eq=False)
class Part:
    """One search, in a short and a long form, and what came of it."""

    name: str
    short: Sequence[str]
    long: Sequence[str] | None
    runs: int = 0
    inputs: int = 0
    seconds: float = 0.0
    findings: int = 0

    async def run(self, seed: int, *, is_short: bool) -> None:
        """Run it once; what it says is shown only if it found something."""
        began = monotonic()
        command = self.short if is_short or self.long is None else self.long
        process = await create_subprocess_exec(
            *(sys.executable, "-m", *(argument.format(seed=seed) for argument in command)),
            stdout=PIPE,
            stderr=STDOUT,
        )
        output = (await process.communicate())[0].decode(errors="replace")
        counts = [int("".join(groups)) for groups in INPUTS.findall(output)]
        self.inputs += sum(counts or map(int, TESTS.findall(output)))
        self.seconds += monotonic() - began
        self.runs += 1
        if process.returncode:
            self.findings += 1
            print(f"==> {self.name}, seed {seed}\n{output}", flush=True)


def drawn(name: str, profile: str, *tests: str) -> Part:
    """Tests for which hypothesis draws the inputs; the short form in this profile."""
    short = f"--hypothesis-profile={profile}"
    long = ("--hypothesis-profile=long", "--hypothesis-seed={seed}")
    return Part(name, (*PYTEST, short, *tests), (*PYTEST, *long, *tests))


def parts() -> list[Part]:
    """Everything, the slowest first."""
    faults = (*PYTEST, "-m", "fuzz", "tests/fuzz/test_mutants.py", "-k")
    return [
        Part("planted faults, all found", (*faults, "not sqlite and not valkey"), None),
        Part("the same in SQLite and Valkey", (*faults, "sqlite or valkey"), None),
        drawn("state machine on Valkey", "moderate", f"{MACHINE}[valkey]"),
        Part("API against its description", api("1", "20"), api("{seed}", "100")),
        drawn("properties", "thorough", *PROPERTIES),
        drawn("state machine on SQLite", "moderate", f"{MACHINE}[sqlite]"),
        drawn("state machine in memory", "moderate", f"{MACHINE}[memory]"),
    ]


def api(seed: str, examples: str) -> Sequence[str]:
    """Schemathesis."""
    return ("tests.fuzz.api", seed, examples)


async def run(todo: Sequence[Part], seed: int, seconds: float) -> None:
    """Each part once; then, until the time is over, again whichever had the least of it."""
    end = monotonic() + seconds
    waiting, busy = [*todo], set[Part]()
    seeds = iter(range(seed, sys.maxsize))

    async def work() -> None:
        while waiting or monotonic() < end:
            idle = [part for part in todo if part.long and part not in busy]
            part = waiting.pop(0) if waiting else min(idle, key=lambda part: part.seconds)
            busy.add(part)
            await part.run(next(seeds), is_short=seconds == 0)
            busy.discard(part)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


def table(done: Sequence[Part]) -> str:
    """What was searched, how much of it, and how often something was found."""
    rows = [("searched", "runs", "inputs", "seconds", "findings")]
    rows += [
        (part.name, str(part.runs), f"{part.inputs:,}", f"{part.seconds:.0f}", str(part.findings))
        for part in done
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def main() -> int:
    """The exit code: 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.run", description=__doc__)
    parser.add_argument("--short", action="store_true", help="each part once, the same every time")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    done = parts()
    seconds = 0 if arguments.short else arguments.minutes * 60
    asyncio.run(run(done, arguments.seed, seconds))
    print(table(done))
    return int(any(part.findings for part in done))


if __name__ == "__main__":
    sys.exit(main())
