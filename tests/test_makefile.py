"""What the fast suite leaves out is run by a command of the Makefile."""

import tomllib
from pathlib import Path

import pytest

from tests.fuzz.run import parts

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MARKERS = [line.partition(":")[0] for line in PROJECT["tool"]["pytest"]["markers"]]
ELSEWHERE = [marker for marker in MARKERS if marker != "slow"]
COMMANDS = [
    *(ROOT / "Makefile").read_text().splitlines(),
    *(" ".join(part.short) for part in parts()),  # make test-fuzz
]


def places(marker: str) -> list[str]:
    """The files and directories in which commands look for tests with this marker."""
    chosen = (command.partition(f"-m {marker} ")[2] for command in COMMANDS)
    return [word for words in chosen for word in words.split() if word.startswith("tests")]


def test_the_whole_suite_leaves_out_what_has_a_command_of_its_own() -> None:
    whole = f'-m "not ({" or ".join(ELSEWHERE)})"'
    assert f"WHOLE = -n auto {whole}" in COMMANDS


@pytest.mark.parametrize("marker", ELSEWHERE)
def test_every_slow_test_is_run_by_a_command(marker: str) -> None:
    files = [
        path.relative_to(ROOT)
        for pattern in ("test_*.py", "*/test_*.py")
        for path in (ROOT / "tests").glob(pattern)
        if f"pytest.mark.{marker}" in path.read_text()
    ]
    assert files
    assert not [file for file in files if not any(map(file.is_relative_to, places(marker)))]
