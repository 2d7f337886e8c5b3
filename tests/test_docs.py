"""What the documents tell people to open, to type and to set is there."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}
OF_THE_DEMO = {"LATCHGATE_DEMO_PASSWORD", "LATCHGATE_DEMO_CLIENT_SECRET"}
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FOLDERS = "auth|bench|demo|deploy|docs|resource_server|settings|telemetry|templates|tests"

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


def text_of(document: Path) -> str:
    return (ROOT / document).read_text("utf-8")


def code_in(document: Path) -> str:
    """What stands in fenced blocks and in spans of code."""
    text = text_of(document)
    return "\n".join([*(block for _, block in _FENCE.findall(text)), *spans_in(text)])


def spans_in(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))


def anchors_of(document: Path) -> set[str]:
    """The names under which the headings of a document can be linked to."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text_of(document))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = Path(ROOT / document).parent.joinpath(name).resolve().relative_to(ROOT.resolve())
        target = target if name else document
        assert (ROOT / target).exists(), link
        assert not anchor or anchor in anchors_of(target), link


@every_document
def test_commands_and_files_that_are_named_exist(document: Path) -> None:
    code = code_in(document)
    assert {name for name in re.findall(r"\bmake ([a-z-]+)", code) if name not in TARGETS} == set()
    modules = re.findall(r"python -m ([\w.]+)", code) + re.findall(r"uvicorn ([\w.]+):app", code)
    assert [name for name in modules if find_spec(name) is None] == []
    files = [span for span in spans_in(text_of(document)) if re.match(rf"({_FOLDERS})/\S+$", span)]
    assert [name for name in files if not (ROOT / name.partition("::")[0]).exists()] == []


@every_document
def test_settings_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text_of(document)))
    assert named - SETTINGS - OF_THE_DEMO == set()


def test_the_readme_names_the_options_that_make_run_adds() -> None:
    recipe = re.search(r"uvicorn combined_app:app (.*\n.*)", (ROOT / "Makefile").read_text("utf-8"))
    assert recipe
    options = set(re.findall(r"--[a-z-]+(?: \d+)?", recipe[1])) - {"--host", "--port"}
    assert options <= set(spans_in(text_of(Path("README.md"))))


def test_the_image_with_traces_starts_what_the_image_starts() -> None:
    shipped, traced = (
        json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
        for text in ((ROOT / "Dockerfile").read_text("utf-8"), text_of(Path("docs/operations.md")))
    )
    assert traced == ["opentelemetry-instrument", *shipped]


def test_there_is_something_to_look_at() -> None:
    assert len(DOCUMENTS) > 8
    assert sum(len(re.findall(r"\bmake ([a-z-]+)", code_in(each))) for each in DOCUMENTS) > 10
    assert {"run", "test", "check", "lint-container"} <= set(TARGETS)
