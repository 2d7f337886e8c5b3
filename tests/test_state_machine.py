"""Codes, grants and refresh families on every backend, against a naive model (`tests/model.py`)."""

import pytest
from hypothesis import settings

from tests.driven_server import BACKENDS
from tests.state_machine import search

pytestmark = pytest.mark.slow

QUICK = 8
"""Enough to visit every rule; `make test-fuzz` searches."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_is_done_the_model_agrees(backend: str, request: pytest.FixtureRequest) -> None:
    is_quick = settings.get_current_profile_name() == "quick"
    budget = settings(max_examples=QUICK) if is_quick else None
    search(BACKENDS[backend](request), budget)
