"""What the maps of the packages name is there."""

import re
from pathlib import Path
from types import ModuleType

import pytest

import auth
import demo
import resource_server

_NAMED = re.compile(r"[\w/]+(?:\.py|/)(?=[\s,])")


@pytest.mark.parametrize("package", [auth, resource_server, demo], ids=lambda p: p.__name__)
def test_every_file_that_a_map_names_exists(package: ModuleType) -> None:
    (folder,) = package.__path__
    lines = (package.__doc__ or "").splitlines()
    named = [name for line in lines for name in _NAMED.findall(line.partition("  ")[0] + " ")]
    assert len(named) > 5
    assert [name for name in named if not (Path(folder) / name).exists()] == []


def test_every_endpoint_and_grant_is_on_the_map() -> None:
    folder = Path(auth.__path__[0])
    assert auth.__doc__
    assert "grants/ " in auth.__doc__
    for endpoint in (folder / "endpoints").glob("[!_]*.py"):
        assert f"endpoints/{endpoint.name} " in auth.__doc__
