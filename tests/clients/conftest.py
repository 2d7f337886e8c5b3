"""The scene of each test, and the table at the end: client × step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.clients.kit import Outcome, Person, Scene, combined

NewScene = Callable[..., Scene]
Step = Callable[[str, str], AbstractContextManager[Outcome]]

STEPS = (
    "connect",
    "document",
    "expiry",
    "step-up",
    "restart, memory",
    "restart, sqlite",
    "revoke",
    "split",
    "foreign, introspection",
    "foreign, jwks",
)
FAILED = "FAILED"
NO = "no: "
_PROPERTY = "step of a client"


@pytest.fixture
def new_scene(tmp_path: Path) -> Iterator[NewScene]:
    """Makes a scene with a running server; tells what everybody said when the test has failed."""
    with ExitStack() as stack:

        def new(**settings: str) -> Scene:
            server = combined(tmp_path, **settings)
            scene = Scene(tmp_path, server, Person(tmp_path))
            stack.callback(lambda: print(scene.story))  # noqa: T201 - pytest shows it with a failure
            stack.enter_context(server.running())
            return scene

        yield new


@pytest.fixture
def step(request: pytest.FixtureRequest) -> Step:
    """Take a step of a client's journey, and write into the table what came of it."""

    @contextmanager
    def take(client: str, name: str) -> Iterator[Outcome]:
        assert name in STEPS
        outcome = Outcome()
        try:
            yield outcome
        except BaseException:
            outcome.text = FAILED
            raise
        finally:
            request.node.user_properties.append((_PROPERTY, (client, name, outcome.text)))

    return take


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, from whichever process the tests ran in."""
    rows: dict[str, dict[str, str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, entry in report.user_properties:
                    if name == _PROPERTY:
                        client, step, outcome = entry
                        rows.setdefault(client, {})[step] = outcome
    if rows:
        terminalreporter.section("clients")
        for line in table(rows):
            terminalreporter.write_line(line)


def table(rows: dict[str, dict[str, str]]) -> list[str]:
    """The rows as aligned text; reasons become notes below."""
    notes: dict[str, int] = {}
    lines = [["client", *STEPS]]
    for client in sorted(rows, key=str.lower):
        outcomes = [rows[client].get(step, "–") for step in STEPS]
        marks = [
            f"no [{notes.setdefault(outcome[len(NO) :], len(notes) + 1)}]"
            if outcome.startswith(NO)
            else outcome
            for outcome in outcomes
        ]
        lines.append([client, *marks])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [*aligned, *(f"[{number}] {note}" for note, number in notes.items())]
