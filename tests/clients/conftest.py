"""The scene of each test, and the table at the end: client × step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.clients.kit import Person, Scene, combined

NewScene = Callable[..., Scene]

STEPS = (
    "connect",
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
def record(request: pytest.FixtureRequest) -> Callable[[str, str, str], None]:
    """Write into the table what came of a client's step."""

    def write(client: str, step: str, outcome: str) -> None:
        assert step in STEPS
        request.node.user_properties.append((_PROPERTY, (client, step, outcome)))

    return write


@pytest.fixture
def step(record: Callable[[str, str, str], None]) -> Callable[..., AbstractContextManager[None]]:
    """Take a step of a client's journey, and write down whether it came off."""

    @contextmanager
    def take(client: str, name: str, outcome: str = "ok") -> Iterator[None]:
        try:
            yield
        except BaseException:
            record(client, name, FAILED)
            raise
        record(client, name, outcome)

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
    """The rows as aligned text; what is longer than a word becomes a note below."""
    notes: dict[str, int] = {}
    lines = [["client", *STEPS]]
    for client in sorted(rows, key=str.lower):
        outcomes = [rows[client].get(step, "–") for step in STEPS]
        marks = [
            outcome if " " not in outcome else f"no [{notes.setdefault(outcome, len(notes) + 1)}]"
            for outcome in outcomes
        ]
        lines.append([client, *marks])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [*aligned, *(f"[{number}] {note}" for note, number in notes.items())]
