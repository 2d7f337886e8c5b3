"""Codes, grants and refresh families on every backend, against a naive model (`tests/model.py`)."""

import pytest

from tests.driven_server import BACKENDS
from tests.state_machine import search


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_is_done_the_model_agrees(backend: str, request: pytest.FixtureRequest) -> None:
    search(BACKENDS[backend](request))
