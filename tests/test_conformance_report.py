"""How a run of the official conformance runner is judged: a green exit code is not enough."""

import json
from pathlib import Path

import pytest

from tests.conformance.report import read_expected, read_outcome, tell

EXPECTED = {"extension": "we have none: https://example.com/issue"}
GOOD = {"ping": ["SUCCESS", "INFO"], "extension": ["FAILURE", "SUCCESS"]}


def write(folder: Path, results: dict[str, list[str]]) -> None:
    """Results as the runner writes them."""
    for scenario, statuses in results.items():
        directory = folder / f"server-{scenario}-2026-11-24T03-54-20-200Z"
        directory.mkdir(parents=True)
        checks = [{"id": "a-check", "status": status} for status in statuses]
        (directory / "checks.json").write_text(json.dumps(checks))


@pytest.mark.parametrize(
    ("results", "code", "least", "problem"),
    [
        (GOOD, 0, 2, None),
        (GOOD, 1, 2, "the runner ended with 1"),
        (GOOD, None, 2, "the runner ended with None"),
        (GOOD, 0, 3, "only 2 checks passed, 3 should"),
        (GOOD | {"tools": ["FAILURE"]}, 0, 2, "tools: a-check: FAILURE "),
        (GOOD | {"tools": ["WARNING"]}, 0, 2, "tools: a-check: WARNING "),
        (GOOD | {"tools": ["SKIPPED"]}, 0, 2, "tools: a-check: SKIPPED "),
        (GOOD | {"extension": ["SUCCESS"]}, 0, 2, "extension: passes now, take it out"),
        ({}, 0, 2, "only 0 checks passed, 2 should"),
    ],
)
def test_only_what_is_expected_may_not_pass(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    results: dict[str, list[str]],
    code: int | None,
    least: int,
    problem: str | None,
) -> None:
    write(tmp_path, results)
    outcome = read_outcome("a suite", tmp_path, code, least, EXPECTED)
    assert tell([outcome], EXPECTED) == (problem is not None)
    printed = capsys.readouterr().out
    assert (f"NOT EXPECTED in a suite: {problem}" in printed) == (problem is not None)


def test_it_ends_with_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, GOOD | {"tools": ["FAILURE", "WARNING"]})
    tell([read_outcome("a suite", tmp_path, 0, 2, EXPECTED)], EXPECTED)
    head, row = (line.split() for line in capsys.readouterr().out.splitlines()[-2:])
    assert head == ["suite", "scenarios", "passed", "failed", "expected", "warned", "skipped"]
    assert row == ["a", "suite", "3", "2", "1", "1", "1", "0"]


def test_every_expectation_has_its_reason_and_its_issue() -> None:
    for reason in read_expected().values():
        assert ": https://github.com/" in reason
