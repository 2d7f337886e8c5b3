"""The way to the Valkey server: bounded in time and sockets, and every trouble StoreUnavailable."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from valkey.asyncio import ConnectionPool, Valkey
from valkey.exceptions import ConnectionError as ValkeyConnectionError
from valkey.exceptions import NoScriptError, ReadOnlyError, ResponseError, ValkeyError
from valkey.exceptions import TimeoutError as ValkeyTimeoutError

from auth.store import StoreUnavailable
from auth.store.valkey.scripts import Script, load_scripts
from valkey_urls import tls_options

MAX_CONNECTIONS = 64
PAGE = 500

logger = logging.getLogger("latchgate")


class Connection:
    """Runs scripts on one server, over as many sockets as there are calls at a time, up to 64.

    A call takes at most twice `timeout` seconds, the wait for a socket included. A write is sent
    once: when its answer is lost, nobody knows whether it happened. A read is tried twice.
    """

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        self._pool = _Pool.from_url(
            url,
            decode_responses=True,
            # Answers are waited for under one deadline below; a second one here costs a task each.
            socket_timeout=None,
            socket_connect_timeout=timeout,
            **tls_options(url),
        )
        self._client = Valkey.from_pool(self._pool)
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._scripts = load_scripts()
        self._prefix = prefix
        self._deadline = 2 * timeout

    async def open(self) -> None:
        """Check the server and give it the scripts, so that one too old for them is found out."""
        await self.check()
        if not await self._persists():
            logger.warning(
                "The Valkey server keeps nothing: when it restarts, every account, sign-in and "
                "connection is gone, and so is what was revoked. Set appendonly yes."
            )
        async with self._serving():
            for script in self._scripts.values():
                await self._execute("SCRIPT LOAD", script.text)

    async def run(self, step: str, /, **arguments: object) -> Any:
        """Run the script of this step; its answer."""
        script = self._scripts[step]
        command = (0, self._prefix, json.dumps(arguments))
        async with self._serving():
            try:
                return await self._run(script, *command)
            except ValkeyConnectionError:
                if not script.is_read:
                    raise
            return await self._run(script, *command)

    async def check(self) -> None:
        """Raise StoreUnavailable unless the server can be trusted with tokens, saying why."""
        async with self._serving():
            info = await self._execute("INFO")
        if info["role"] != "master":
            raise StoreUnavailable("the Valkey server is a replica: give the primary's address")
        if info["cluster_enabled"]:
            raise StoreUnavailable("the Valkey server is part of a Cluster, which is not supported")
        if (policy := info["maxmemory_policy"]) != "noeviction":
            raise StoreUnavailable(
                f"the Valkey server may throw live tokens away (maxmemory-policy {policy}): "
                "set maxmemory-policy noeviction"
            )
        # INFO is answered while data is still being loaded, and to users who may do nothing else.
        await self.run("read", keys=())

    async def _persists(self) -> bool:
        """Whether the server outlives its own restart; yes if it does not say."""
        async with self._serving():
            if (await self._execute("INFO"))["aof_enabled"]:
                return True
            try:
                configured = await self._execute("CONFIG GET", "save")
            except ResponseError:
                # Hosted servers do not tell, and users with few rights may not ask.
                return True
        return bool(configured.get("save", "not told"))

    async def close(self) -> None:
        """Let go of every socket."""
        await self._client.aclose()

    async def _run(self, script: Script, *arguments: str | int) -> Any:
        try:
            return await self._execute("EVALSHA", script.sha, *arguments)
        except NoScriptError:
            return await self._execute("EVAL", script.text, *arguments)

    async def _execute(self, *command: str | int) -> Any:
        return await self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # valkey's

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline), self._slots:
                yield
        except (ValkeyConnectionError, ValkeyTimeoutError, ReadOnlyError, OSError) as error:
            # Gone, silent (TimeoutError is an OSError) or demoted: idle sockets lead there too.
            await self._pool.drop_idle()
            raise StoreUnavailable(f"the Valkey server is out of reach: {error!r}") from error
        except ValkeyError as error:
            raise StoreUnavailable(f"the Valkey server refuses: {error!r}") from error


class _Pool(ConnectionPool):
    async def drop_idle(self) -> None:
        """Close the sockets that nobody uses, without a pause in which somebody might take one."""
        for connection in self._available_connections:
            await connection.disconnect(nowait=True)
