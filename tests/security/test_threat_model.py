"""The threat model names tests; they are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| (?P<numbers>[\d,– ]+) \|(?P<rest>.*)\|$", re.MULTILINE)
NUMBERS = """
1-9 11-13 15-23 25-30 32-36 38-41 43-46 48-57 59-74 76-79 81-82 84-91 93-103 105-112
114-122 124-130 132-135 137-138 140-149 151-160 162-170 172-174 176-182 184-192 194-200
202-206 208-215 217-220 222-227 229-239 241-250 252 254-265 267-272 274-276 278-283 285
287
"""
"""The numbers that the model has to have; a line of it may name several, or a range."""
MODEL = (ROOT / "docs" / "threat-model.md").read_text()


def numbers(text: str) -> set[int]:
    """What is meant by 1, 4-6 (or 4–6)."""
    bounds = (part.replace("–", "-").partition("-") for part in re.findall(r"\d[\d–-]*", text))
    return {n for first, _, last in bounds for n in range(int(first), int(last or first) + 1)}


def functions_in(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED.findall(MODEL)}))
def test_every_test_that_the_model_names_exists(file: str) -> None:
    """Without it a defence loses its test, and the document goes on promising it."""
    named = {name for other, name in NAMED.findall(MODEL) if other == file}
    assert named - functions_in(ROOT / "tests" / file) == set()


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parent.glob("test_*.py")), ids=lambda p: p.name
)
def test_every_test_says_what_goes_wrong_without_it(path: Path) -> None:
    """Without it somebody takes a test for a formality, and the defence with it."""
    found = ast.walk(ast.parse(path.read_text()))
    functions = [node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tests = [function for function in functions if function.name.startswith("test_")]
    assert [test.name for test in tests if not ast.get_docstring(test)] == []


def test_every_threat_has_a_test_or_says_whose_it_is() -> None:
    """Without it a row is a wish."""
    defended, _, others = MODEL.partition("## Not defended here")
    rows = list(ROW.finditer(defended))
    assert [row["numbers"] for row in rows if not NAMED.search(row["rest"])] == []
    named = numbers(" ".join(row["numbers"] for row in (*rows, *ROW.finditer(others))))
    assert numbers(NUMBERS) - named == set()
