"""What the maps of the packages name is there."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

import auth
import demo
import resource_server

ROOT = Path(__file__).parents[1]

_NAMED = re.compile(r"[\w/]+(?:\.py|/)(?=[\s,])")


@pytest.mark.parametrize("package", [auth, resource_server, demo], ids=lambda p: p.__name__)
def test_every_file_that_a_map_names_exists(package: ModuleType) -> None:
    (folder,) = package.__path__
    lines = (package.__doc__ or "").splitlines()
    named = [name for line in lines for name in _NAMED.findall(line.partition("  ")[0] + " ")]
    assert len(named) > 5
    assert [name for name in named if not (Path(folder) / name).exists()] == []


@pytest.mark.parametrize(
    ("root", "folders", "document"),
    [
        (Path(auth.__path__[0]), ("", "endpoints"), auth.__doc__),
        (Path(resource_server.__path__[0]), ("",), resource_server.__doc__),
        (Path(demo.__path__[0]), ("",), demo.__doc__),
        (ROOT, ("",), (ROOT / "docs" / "how-it-works.md").read_text()),
    ],
    ids=["auth", "resource_server", "demo", "all"],
)
def test_every_file_is_on_the_map(root: Path, folders: Sequence[str], document: str) -> None:
    files = [file for folder in folders for file in (root / folder).glob("[!_]*.py")]
    names = {file.relative_to(root).as_posix() for file in files}
    assert len(names) > 5
    assert names - set(_NAMED.findall(document)) == set()
