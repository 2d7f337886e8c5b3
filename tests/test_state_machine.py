"""Codes, grants and refresh families on every backend, against a naive model (`tests/model.py`)."""

import asyncio
from functools import partial
from os import environ
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.driven_server import BACKENDS
from tests.state_machine import Machine


@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_is_done_the_model_agrees(backend: str, request: pytest.FixtureRequest) -> None:
    with asyncio.Runner() as runner:
        run_state_machine_as_test(partial(Machine, BACKENDS[backend](request), runner.get_loop()),settings=settings(max_examples=int(environ.get("N", "20")), stateful_step_count=30, derandomize=True, deadline=None, phases=[Phase.generate, Phase.shrink] if "SHRINK" in environ else [Phase.generate]))
