"""Experiments: each prints one line, and all of them a table (`make experiments`)."""

import signal
import time
from dataclasses import asdict, dataclass
from random import Random
from typing import Protocol

import pytest


@dataclass(frozen=True)
class Line:
    """What came of one experiment."""

    name: str
    store: str
    seed: int
    n: int
    result: str
    seconds: str


class Report(Protocol):
    """How an experiment says what came of it."""

    def __call__(self, name: str, store: str, n: int, result: str) -> None: ...


_LINE = "experiment"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=1, help="what the experiments draw from")


def pytest_configure(config: pytest.Config) -> None:
    # Who ends the experiments ends their servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    lines = [
        line.values()
        for report in sorted(reports, key=lambda report: report.location)
        for name, line in report.user_properties
        if name == _LINE and isinstance(line, dict)
    ]
    if lines:
        terminalreporter.section("experiments")
        rows = [("experiment", "store", "seed", "n", "result", "s"), *lines]
        widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (str(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
            terminalreporter.write_line("  ".join(cells).rstrip())


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What everything random in an experiment comes from."""
    seed: int = request.config.getoption("--seed", default=1)
    return seed


@pytest.fixture
def random(seed: int) -> Random:
    """Randomness that can be had again."""
    return Random(seed)  # noqa: S311 - it decides when to kill, and nothing secret


@pytest.fixture
def report(request: pytest.FixtureRequest, seed: int) -> Report:
    """Adds a line to the table."""
    began = time.monotonic()

    def add(name: str, store: str, n: int, result: str) -> None:
        nonlocal began
        now = time.monotonic()
        line = Line(name, store, seed, n, result, f"{now - began:.1f}")
        began = now
        request.node.user_properties.append((_LINE, asdict(line)))

    return add
