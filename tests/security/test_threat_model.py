"""The threat model names tests; they are there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
ROW = re.compile(r"^\| (?P<numbers>[\d,– ]+) \|(?P<rest>.*)\|$", re.MULTILINE)
MODEL = (ROOT / "docs" / "threat-model.md").read_text()


def functions_in(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED.findall(MODEL)}))
def test_every_test_that_the_model_names_exists(file: str) -> None:
    """Without it a defence loses its test, and the document goes on promising it."""
    named = {name for other, name in NAMED.findall(MODEL) if other == file}
    assert named - functions_in(ROOT / "tests" / file) == set()


def test_every_threat_has_a_test_or_says_whose_it_is() -> None:
    """Without it a row is a wish."""
    defended, _, others = MODEL.partition("## Not defended here")
    rows = list(ROW.finditer(defended))
    assert len(rows) > 100
    assert [row["numbers"] for row in rows if not NAMED.search(row["rest"])] == []
    assert len(list(ROW.finditer(others))) > 5
