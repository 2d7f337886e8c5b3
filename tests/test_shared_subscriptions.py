"""The bus of `subscriptions/listen` that replicas share."""

import json
import logging
import socket
from asyncio import Event, TaskGroup, timeout
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from mcp.server.mcpserver import MCPServer
from mcp.server.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)
from valkey import Valkey

from resource_server.shared_subscriptions import SharedSubscriptionBus
from tests.certificates import server_tls
from tests.relay import relay_to
from tests.valkey_server import new_valkey_server

pytestmark = pytest.mark.slow

CHANNEL = "latchgate:1:subscriptions:0"
LAST = ResourceUpdated("test://last")
END = ResourceUpdated("test://end")


class Listener:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[ServerEvent] = []
        self._came = Event()

    def __call__(self, event: ServerEvent) -> None:
        self.heard.append(event)
        self._came.set()

    async def until(self, last: ServerEvent) -> list[ServerEvent]:
        """What was heard before this event."""
        async with timeout(5):
            while last not in self.heard:
                self._came.clear()
                await self._came.wait()
        return self.heard[: self.heard.index(last)]

    async def until_last(self) -> list[ServerEvent]:
        """What was heard before the last event of a test."""
        return await self.until(LAST)


class Warned(logging.Handler):
    """Waits for a warning."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived = Event()
        self._text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self._text = record.getMessage()
        self._arrived.set()

    async def text(self) -> str:
        async with timeout(5):
            await self._arrived.wait()
        self._arrived.clear()
        return self._text


@pytest.fixture
def warned() -> Iterator[Warned]:
    handler, logger = Warned(), logging.getLogger("latchgate")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@asynccontextmanager
async def running(*buses: SharedSubscriptionBus) -> AsyncIterator[None]:
    """Buses that exchange events, all of them connected."""
    async with TaskGroup() as tasks:
        runs = [tasks.create_task(bus.run()) for bus in buses]
        for bus in buses:
            await connected(bus)
        yield
        for run in runs:
            run.cancel()


async def connected(bus: SharedSubscriptionBus) -> None:
    async with timeout(5):
        await bus.connected.wait()


@pytest.fixture
def server(valkey_url: str) -> Iterator[Any]:
    """The server as its operator sees it."""
    with Valkey.from_url(valkey_url) as client:
        yield client


async def test_every_event_is_heard_once_on_every_replica(valkey_url: str) -> None:
    here, there = SharedSubscriptionBus(valkey_url), SharedSubscriptionBus(valkey_url)
    on_here, on_there = Listener(), Listener()
    here.subscribe(on_here)
    there.subscribe(on_there)
    events: list[ServerEvent] = [
        ToolsListChanged(),
        PromptsListChanged(),
        ResourcesListChanged(),
        ResourceUpdated("user://stats"),
    ]
    async with running(here, there):
        for event in (*events, LAST):
            await here.publish(event)
        assert await on_there.until_last() == events
        # Whatever came back to where it was published came before this.
        await there.publish(END)
        assert await on_here.until(END) == [*events, LAST]


async def test_whoever_unsubscribed_hears_nothing(valkey_url: str) -> None:
    here, there = SharedSubscriptionBus(valkey_url), SharedSubscriptionBus(valkey_url)
    gone, still_there = Listener(), Listener()
    unsubscribe = there.subscribe(gone)
    there.subscribe(still_there)
    unsubscribe()
    unsubscribe()
    async with running(here, there):
        await here.publish(LAST)
        await still_there.until_last()
    assert gone.heard == []


@pytest.mark.parametrize(("database", "prefix"), [("/0", "other:1:"), ("/1", "latchgate:1:")])
async def test_deployments_on_one_server_do_not_hear_each_other(
    valkey_url: str, database: str, prefix: str
) -> None:
    here, there = SharedSubscriptionBus(valkey_url), SharedSubscriptionBus(valkey_url + "/0")
    stranger = SharedSubscriptionBus(valkey_url + database, prefix=prefix)
    on_there, on_stranger = Listener(), Listener()
    there.subscribe(on_there)
    stranger.subscribe(on_stranger)
    async with running(here, there, stranger):
        await here.publish(LAST)
        await on_there.until_last()
    assert on_stranger.heard == []


async def test_a_client_of_one_replica_hears_of_a_change_on_the_other(valkey_url: str) -> None:
    here, there = SharedSubscriptionBus(valkey_url), SharedSubscriptionBus(valkey_url)
    async with (
        running(here, there),
        Client(MCPServer("there", subscriptions=there)) as client,
        client.listen(tools_list_changed=True) as events,
        timeout(5),
    ):
        await here.publish(ToolsListChanged())
        assert await anext(aiter(events)) == ToolsListChanged()


async def test_what_cannot_be_read_is_passed_over(
    valkey_url: str, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = SharedSubscriptionBus(valkey_url), SharedSubscriptionBus(valkey_url)
    on_there = Listener()
    there.subscribe(on_there)
    async with running(here, there):
        for data in (
            "{",
            "1",
            "[1]",
            '["x", "Unknown", {}]',
            '["x", "ResourceUpdated", {}]',
            "[[]]",
            b"\xff\xfe",
        ):
            server.publish(CHANNEL, data)
        await here.publish(LAST)
        assert await on_there.until_last() == []
    assert caplog.text.count("could not be read") == 14


async def test_whatever_goes_wrong_the_exchange_is_taken_up_again(
    valkey_url: str, server: Any, warned: Warned
) -> None:
    here = SharedSubscriptionBus(valkey_url, reconnect_after=0)
    on_here = Listener()
    here.subscribe(on_here)
    async with running(here):
        server.publish(CHANNEL, "[" * 100_000)
        assert "other replicas" in await warned.text()
        await connected(here)
        server.publish(CHANNEL, json.dumps(["x", "ResourceUpdated", asdict(LAST)]))
        assert await on_here.until_last() == []


async def test_a_bus_that_lost_its_connection_takes_up_again(
    valkey_url: str, server: Any, warned: Warned
) -> None:
    here = SharedSubscriptionBus(valkey_url, reconnect_after=0)
    there = SharedSubscriptionBus(valkey_url, reconnect_after=0)
    on_there = Listener()
    there.subscribe(on_there)
    async with running(there):
        for _ in range(2):
            server.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            assert "other replicas" in await warned.text()
            await connected(there)
        async with running(here):
            await here.publish(LAST)
            await on_there.until_last()


async def test_what_was_published_unconnected_goes_out_later(valkey_url: str) -> None:
    here, there = SharedSubscriptionBus(valkey_url), SharedSubscriptionBus(valkey_url)
    on_there = Listener()
    there.subscribe(on_there)
    async with running(there):
        await here.publish(ToolsListChanged())
        await here.publish(LAST)
        async with running(here):
            assert await on_there.until_last() == [ToolsListChanged()]
    assert not here.connected.is_set()


async def test_a_silent_connection_is_given_up(valkey_url: str, warned: Warned) -> None:
    port = int(valkey_url.rpartition(":")[2])
    async with relay_to("127.0.0.1", port) as relay:
        bus = SharedSubscriptionBus(
            f"valkey://127.0.0.1:{relay.port}", quiet=0.05, reconnect_after=0
        )
        async with running(bus):
            relay.keeps_answers = True
            assert "silent" in await warned.text()
            relay.keeps_answers = False
            await connected(bus)


async def test_a_certificate_must_name_the_host(
    valkey_url: str, tmp_path: Path, warned: Warned
) -> None:
    port = int(valkey_url.rpartition(":")[2])
    tls, authority = server_tls(tmp_path, "127.0.0.1")
    async with relay_to("127.0.0.1", port, tls=tls) as relay:
        url = f"valkeys://127.0.0.1:{relay.port}?ssl_ca_certs={authority}"
        async with running(SharedSubscriptionBus(url)):
            pass
        async with TaskGroup() as tasks:
            run = tasks.create_task(
                SharedSubscriptionBus(url.replace("127.0.0.1", "localhost")).run()
            )
            assert "certificate" in await warned.text()
            run.cancel()


async def test_without_a_server_listeners_here_still_hear(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    bus = SharedSubscriptionBus(f"valkey://127.0.0.1:{port}", reconnect_after=0.001)
    listener = Listener()
    bus.subscribe(listener)
    async with TaskGroup() as tasks:
        run = tasks.create_task(bus.run())
        for _ in range(2000):
            await bus.publish(ToolsListChanged())
        await bus.publish(LAST)
        assert len(await listener.until_last()) == 2000
        run.cancel()
    assert len(caplog.records) == 1


@pytest.mark.process
async def test_a_restarted_server_is_found_again() -> None:
    server = new_valkey_server()
    server.start()
    url = f"valkey://{server.host}:{server.port}"
    here = SharedSubscriptionBus(url, reconnect_after=0.1)
    there = SharedSubscriptionBus(url, reconnect_after=0.1)
    on_there = Listener()
    there.subscribe(on_there)
    async with running(here, there):
        again = new_valkey_server(port=server.port)
        server.terminate()
        there.connected.clear()
        await here.publish(ToolsListChanged())
        with again:
            await connected(there)
            await here.publish(LAST)
            await on_there.until_last()
