"""docs/conformance.md: every row is there, and every file and test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "conformance.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DOCUMENT.splitlines()
    if re.match(r"\| [RC]-\d+ \|", line)
]
REQUIRED = DOCUMENT.rpartition("# Every row there has to be")[2].split()
REASON = 30
"""So many characters are the least that say why a row has no test."""


@cache
def names_in(file: Path) -> frozenset[str]:
    """The names of the tests in a file."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_row_is_there_once() -> None:
    assert [row[0] for row in ROWS] == REQUIRED
    assert len(set(REQUIRED)) == len(REQUIRED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_names_files_and_tests_that_exist(row: list[str]) -> None:
    _id, requirement, place, files, tests = row
    assert requirement
    assert place
    assert re.findall(r"`([^`]+)`", files)
    for file in re.findall(r"`([^`]+)`", files):
        assert (ROOT / file).is_file(), file
    named = re.findall(r"`([^`]+\.py)::(\w+)`", tests)
    for file, name in named:
        assert name in names_in(ROOT / "tests" / file), f"{file}::{name}"
    assert named or (tests.startswith("None: ") and len(tests) > REASON)


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`([a-z_]+/[\w/]+\.\w+)`", DOCUMENT))))
def test_a_file_named_anywhere_exists(file: str) -> None:
    assert (ROOT / file).is_file()
