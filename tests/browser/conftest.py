"""What every browser test may ask for."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.browser.kit import WEB_HOSTS, Person, Site, Strangers, chromium, listening, strangers
from tests.clock import Clock
from tests.kit import World, new_http_client, serving
from tests.web_host import new_authority


@pytest.fixture(scope="session")
async def web(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Strangers]:
    """Clients elsewhere."""
    authority = new_authority(tmp_path_factory.mktemp("tls"), WEB_HOSTS)
    async with strangers(authority.server) as web:
        yield web


@pytest.fixture(scope="session")
async def browser(web: Strangers) -> AsyncIterator[Browser]:
    """The one browser of a run; each person has a profile of their own."""
    async with chromium(web.web_port) as browser:
        yield browser


@pytest.fixture
async def site(clock: Clock) -> AsyncIterator[Site]:
    """Latchgate, on a clock of the test's own."""
    async with serving(clock) as world, listening(world.app) as port:
        origin = f"http://127.0.0.1:{port}"
        async with new_http_client(world.app, origin) as http:
            yield Site(origin, World(world.app, world.settings, world.store, clock, http))


@pytest.fixture
async def person(browser: Browser) -> AsyncIterator[Person]:
    """Somebody whose browser had no reason to refuse anything."""
    async with await browser.new_context(ignore_https_errors=True) as context:
        person = await Person.at(context)
        yield person
        assert person.refused == []
