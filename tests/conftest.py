"""What every test may ask for."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from auth.store import Store
from settings import PREFIX
from startup import collect_less
from tests.clock import Clock
from tests.kit import World, serving
from tests.store_backends import BACKENDS, EACH_BACKEND
from tests.thrift import thrift
from tests.valkey_server import new_valkey_server

# What is drawn is the same in every run, except in the long search (`make fuzz`). A slow machine
# is no fault, so nothing has a deadline.
settings.register_profile(
    "quick", max_examples=40, stateful_step_count=30, derandomize=True, deadline=None
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=200)
settings.register_profile("moderate", settings.get_profile("quick"), max_examples=80)
settings.register_profile(
    "long",
    max_examples=200,
    stateful_step_count=80,
    derandomize=False,
    deadline=None,
    print_blob=True,
)
settings.load_profile("quick")


# What is imported stays, and hundreds of applications are made and dropped: the same as a server
# does at its start keeps the collector from looking through it all again and again.
collect_less()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_this_machine() -> Iterator[None]:
    """The environment of whoever runs the tests decides nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.upper().startswith(PREFIX):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _thrift() -> Iterator[None]:
    """Thousands of applications are made, most of them alike."""
    with thrift():
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The server runs on asyncio, and so do its tests."""
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    """A clock of the test's own."""
    return Clock()


@pytest.fixture(params=EACH_BACKEND)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """Each store in turn, open and empty."""
    async with BACKENDS[request.param](request) as store:
        yield store


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """A Valkey server for the whole run, on a free loopback port."""
    with new_valkey_server() as server:
        yield f"valkey://{server.host}:{server.port}"


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[World]:
    """The combined application on the memory store."""
    async with serving(clock) as world:
        yield world
