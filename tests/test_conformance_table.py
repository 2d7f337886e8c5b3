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
    if re.match(r"\| [ACDEHRW]-\d+ \|", line)
]
IDS = """
R-001 R-002 R-003 R-004 R-005 R-006 R-007 R-008 R-009 R-010 R-011 R-017 R-018 R-019 R-020 R-021
R-022 R-023 R-024 R-025 R-026 R-027 R-030 R-033 R-034 R-035 R-036 R-037 R-038 R-039 R-040 R-041
R-042 R-043 R-044 R-045 R-046 R-047 R-048 R-049 R-050 R-051 R-052 R-053 R-054 R-055 R-058 R-059
R-061 R-062 R-063 R-064 R-065 R-067 R-068 R-076 R-078 R-079 R-080 R-081 R-082 R-083 R-084 R-089
R-090 R-096 R-097 R-098 R-099 R-100 R-101 R-102 R-103 R-104 R-105 R-106 R-107 R-108 R-109 R-110
R-111 R-112 R-113 R-114 R-115 R-116 R-117 R-118 R-119 R-121 R-122 R-123 R-124 R-125 R-126 R-127
R-128 R-129 R-130 R-131 R-132 R-133 R-134 R-135 R-136 R-137 R-138 R-139 R-140 R-141 R-142 R-143
R-145 R-146 R-147 R-148 R-149 R-150 R-151 R-152 R-153 R-154 R-156 R-157 R-158 R-159 R-160 R-161
R-162 R-166 R-167 R-168 R-170 R-172 R-173 R-174 R-175 R-176 R-177 R-178 R-179 R-180 R-181 R-182
R-185 R-186 R-187 R-189 R-191 R-192 R-193 R-195 R-196 R-197 R-198 R-199 R-200 R-201 R-202 R-203
R-204 R-205 R-207 R-208 R-209 R-210 R-212 R-214 R-215 R-216 R-217 R-218 R-219 C-1 C-2 C-3 C-4
C-5 E-1 E-2 E-3 E-4 E-5 E-6 E-7 E-8 E-9 E-10 E-11 E-12 W-1 W-2 W-3 W-4 D-1 D-2 D-3 D-4 A-1 H-1
"""
"""Every row there has to be: kept here, so that none can be taken out of the table unseen."""
REQUIRED = IDS.split()
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
