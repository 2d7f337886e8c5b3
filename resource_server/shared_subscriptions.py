"""`subscriptions/listen` across replicas: the SDK's bus over Valkey pub/sub (SEP-2575)."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import get_args
from uuid import uuid4

from mcp.server.subscriptions import InMemorySubscriptionBus, ServerEvent
from valkey.asyncio import Valkey
from valkey.asyncio.client import PubSub
from valkey.asyncio.connection import parse_url
from valkey.exceptions import ConnectionError as ValkeyConnectionError

from valkey_urls import tls_options

MAX_WAITING = 1024

logger = logging.getLogger("latchgate")


class SharedSubscriptionBus:
    """A `SubscriptionBus` whose events reach the listeners of every replica with this `prefix`.

    And on this database: another deployment may use another one of the same server.

    Listeners here hear at once, whatever becomes of Valkey; what is published while it is away
    goes out when it is back. Nothing is replayed to a replica that was not connected: an event
    only says "fetch again". Every `quiet` seconds the connection must answer.

    What is published on `local`, the bus of this process, counts as published here.
    """

    def __init__(
        self,
        url: str,
        *,
        local: InMemorySubscriptionBus | None = None,
        prefix: str = "latchgate:1:",
        timeout: float = 0.5,
        quiet: float = 10,
        reconnect_after: float = 1,
    ) -> None:
        self._url = url
        # The databases of a server share its channels: without the number they heard each other.
        database = parse_url(url).get("db", 0)
        self._channel = f"{prefix}subscriptions:{database}"
        self._timeout = timeout
        self._quiet = quiet
        self._reconnect_after = reconnect_after
        self._replica = uuid4().hex
        self._arriving: ServerEvent | None = None
        self._waiting: deque[ServerEvent] = deque(maxlen=MAX_WAITING)
        self._is_waiting = asyncio.Event()
        self._is_answering = False
        self.connected = asyncio.Event()
        """Set while events of other replicas are heard here."""
        self._local = local or InMemorySubscriptionBus()
        self._local.subscribe(self._forward)

    async def publish(self, event: ServerEvent) -> None:
        """Deliver an event to every listener here, and leave it to `run` for the others."""
        await self._local.publish(event)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Register a listener; what is returned ends that, however often it is called."""
        return self._local.subscribe(listener)

    def _forward(self, event: ServerEvent) -> None:
        # Not back to where it came from: listeners are called before `publish` first waits.
        if event is not self._arriving:
            self._waiting.append(event)
            self._is_waiting.set()

    async def run(self) -> None:
        """Exchange events with the other replicas until cancelled; reconnects by itself."""
        is_news = True
        while True:
            try:
                await self._exchange()
            except* Exception as trouble:  # noqa: BLE001 - whatever it is, others are still heard
                if is_news or self.connected.is_set():
                    logger.warning("events do not reach other replicas: %s", trouble.exceptions[0])
                is_news = False
            finally:
                self.connected.clear()
            await asyncio.sleep(self._reconnect_after)

    def _client(self) -> Valkey:
        client: Valkey = Valkey.from_url(
            self._url,
            # `_watch` tells a dead connection from one on which nothing happens.
            socket_timeout=None,
            socket_connect_timeout=self._timeout,
            **tls_options(self._url),
        )
        return client

    async def _exchange(self) -> None:
        async with self._client() as client, client.pubsub() as pubsub:
            async with asyncio.timeout(self._timeout):
                await pubsub.subscribe(self._channel)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._receive(pubsub))
                tasks.create_task(self._send(client))
                tasks.create_task(self._watch(pubsub))

    async def _receive(self, pubsub: PubSub) -> None:
        async for message in pubsub.listen():
            self._is_answering = True
            if message["type"] == "subscribe":
                self.connected.set()
            elif message["type"] == "message":
                await self._deliver(message["data"])

    async def _watch(self, pubsub: PubSub) -> None:
        self._is_answering = True
        while self._is_answering:
            self._is_answering = False
            await pubsub.ping()
            await asyncio.sleep(self._quiet)
        raise ValkeyConnectionError("the server is silent")

    async def _deliver(self, data: bytes) -> None:
        try:
            sender, kind, values = json.loads(data)
            event = _KINDS[kind](**values)
        except (ValueError, KeyError, TypeError):
            logger.warning("an event of another replica could not be read: is it of this version?")
            return
        if sender != self._replica:
            self._arriving = event
            await self._local.publish(event)

    async def _send(self, client: Valkey) -> None:
        while True:
            await self._is_waiting.wait()
            while self._waiting:
                event = self._waiting[0]
                data = json.dumps([self._replica, type(event).__name__, asdict(event)])
                await client.publish(self._channel, data)
                self._waiting.popleft()
            self._is_waiting.clear()


_KINDS: dict[str, Callable[..., ServerEvent]] = {
    kind.__name__: kind for kind in get_args(ServerEvent)
}
