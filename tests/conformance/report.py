"""What the conformance runner found: its checks, counted, against what is expected to fail."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

EXPECTED = Path(__file__).parent / "expected.toml"
COLUMNS = ("suite", "scenarios", "passed", "failed", "expected", "warned", "skipped")
NOT_PASSED = ("FAILURE", "WARNING", "SKIPPED")

_TIME = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")


class Check(NamedTuple):
    """One check of a scenario, as the runner wrote it down."""

    scenario: str
    name: str
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One suite after its run. `problems` are what nobody expected."""

    suite: str
    checks: Sequence[Check]
    problems: Sequence[str]
    expected: frozenset[str]

    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        unexpected = Counter(c.status for c in self.checks if c.scenario not in self.expected)
        counts = (
            len({check.scenario for check in self.checks}),
            sum(check.status == "SUCCESS" for check in self.checks),
            unexpected["FAILURE"],
            sum(c.status == "FAILURE" and c.scenario in self.expected for c in self.checks),
            sum(check.status == "WARNING" for check in self.checks),
            sum(check.status == "SKIPPED" for check in self.checks),
        )
        return (self.suite, *map(str, counts))


def read_outcome(
    suite: str, folder: Path, code: int | None, least: int, expected: Mapping[str, str]
) -> Outcome:
    """Judge a run by its checks and its exit code.

    The code is 0 if all that is scored passed. Beyond that every check that did not pass has to be
    expected, what is expected must not pass, and `least` checks have to: a run that skips half of
    them is green, too.
    """
    checks = [check for file in sorted(folder.glob("*/checks.json")) for check in read_checks(file)]
    problems = [] if code == 0 else [f"the runner ended with {code}"]
    passed = sum(check.status == "SUCCESS" for check in checks)
    if passed < least:
        problems.append(f"only {passed} checks passed, {least} should")
    problems += [
        f"{check.scenario}: {check.name}: {check.status} {check.message}"
        for check in checks
        if check.status in NOT_PASSED and check.scenario not in expected
    ]
    ran = {check.scenario for check in checks}
    not_passed = {check.scenario for check in checks if check.status in NOT_PASSED}
    problems += [
        f"{scenario}: passes now, take it out of {EXPECTED.name}"
        for scenario in sorted(ran & expected.keys() - not_passed)
    ]
    return Outcome(suite, checks, problems, frozenset(expected))


def read_checks(file: Path) -> Iterable[Check]:
    """The checks in one of the runner's files; its folder is named by scenario and time."""
    scenario = _TIME.sub("", file.parent.name.removeprefix("server-"))
    found: list[dict[str, Any]] = json.loads(file.read_text())
    for check in found:
        yield Check(scenario, check["id"], check["status"], check.get("errorMessage") or "")


def read_expected() -> Mapping[str, str]:
    """Why a scenario is expected not to pass, by its name."""
    tables = tomllib.loads(EXPECTED.read_text())["expected"]
    return {
        scenario: f"{table['reason']}: {table['issue']}"
        for table in tables
        for scenario in table["scenarios"]
    }


def tell(outcomes: Sequence[Outcome], expected: Mapping[str, str]) -> int:
    """Print what was expected and what was not, and the table; 0 if there was nothing else."""
    seen = {check.scenario for outcome in outcomes for check in outcome.checks}
    for reason in dict.fromkeys(expected.values()):
        names = [name for name in expected if expected[name] == reason and name in seen]
        if names:
            print(f"expected: {', '.join(names)}\n    {reason}")
    for outcome in outcomes:
        for problem in outcome.problems:
            print(f"NOT EXPECTED in {outcome.suite}: {problem}")
    rows = [COLUMNS, *(outcome.row() for outcome in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]))
    return int(any(outcome.problems for outcome in outcomes))
