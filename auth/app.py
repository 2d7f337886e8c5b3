"""The authorization server: put together, kept running, and as an application of its own."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware

from auth.accounts import Passwords, ensure_first_account
from auth.failures import exception_handlers, misdirected
from auth.jwks import JwksDocuments
from auth.keys import open_key_ring
from auth.known_clients import metadata_documents, new_fetcher, preregistered_clients
from auth.limits import open_limits
from auth.pages import Pages
from auth.routes import CROSS_ORIGIN_PATHS, routes
from auth.scopes import ScopeCatalogue
from auth.server import AuthorizationServer, Tool
from auth.store import Store, StoreUnavailable
from auth.store.measured import measured
from auth.store.urls import open_store
from auth.usage import UseCounter
from cors import CrossOrigin
from host_guard import HostGuard
from origins import MCP_PATH
from request_limits import RequestLimits
from settings import Settings
from startup import PlainStart, start, tell_operator
from telemetry.metrics import Metrics, Reading
from telemetry.requests import ObserveRequests
from telemetry.scraping import PortTaken, metrics_port, metrics_routes

KEEP_HOUSE_EVERY = 5.0
PURGE_SLICE = 1000
PAUSE_BETWEEN_SLICES = 0.005

logger = logging.getLogger("latchgate")


async def _no_tools() -> Sequence[Tool]:
    return ()


def create_server(
    settings: Settings,
    store: Store | None = None,
    clock: Callable[[], float] = time.time,
    *,
    scopes: Mapping[str, Sequence[str]] | None = None,
    list_tools: Callable[[], Awaitable[Sequence[Tool]]] = _no_tools,
) -> AuthorizationServer:
    """An authorization server, not open yet; `scopes` are further ones, with what needs each."""
    uses = scopes or {}
    limits = open_limits(settings, clock)
    fetcher = new_fetcher(settings, limits)
    supported = dict.fromkeys((*settings.required_scopes, *settings.scopes, *uses))
    metrics = Metrics()
    return AuthorizationServer(
        settings=settings,
        store=measured(store or open_store(settings.store_url), metrics.store_seconds.note),
        keys=open_key_ring(settings),
        pages=Pages(settings, clock),
        passwords=Passwords(
            settings.password_memory_kib, settings.password_iterations, settings.password_queue
        ),
        limits=limits,
        scopes=ScopeCatalogue(
            tuple(supported), settings.required_scopes, settings.scope_words, uses
        ),
        uses=UseCounter(),
        preregistered=preregistered_clients(settings),
        documents=metadata_documents(settings, fetcher, clock),
        fetch_jwks=JwksDocuments(fetcher, clock).fetch,
        list_tools=list_tools,
        clock=clock,
        metrics=metrics,
    )


def readings(server: AuthorizationServer) -> list[Reading]:
    """What is counted elsewhere, for metrics."""

    async def count_grants() -> int | None:
        try:
            return await server.store.count_grants(server.now())
        except StoreUnavailable:
            return None

    return [
        Reading("gauge", "latchgate_live_grants", "Grants that are in force.", count_grants),
        Reading("counter", "latchgate_calls", "Calls with a good token.", server.uses.total),
    ]


@asynccontextmanager
async def running(
    server: AuthorizationServer, keep_house_every: float = KEEP_HOUSE_EVERY
) -> AsyncIterator[None]:
    """Open the store, make the first account, clean up while it runs, and close in order."""
    await server.store.open()
    try:
        tell_operator(
            await ensure_first_account(
                server.settings, server.store, server.passwords, server.now()
            )
        )
        server.passwords.resemble(await server.store.list_accounts())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_house, server, keep_house_every)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()
        try:
            await server.uses.write_to(server.store)
        except StoreUnavailable as error:
            logger.warning("store unavailable, the last calls are not counted: %s", error)
    finally:
        await server.limits.close()
        await server.store.close()


async def purge(server: AuthorizationServer) -> None:
    """Forget what is over, a slice at a time, so that nobody waits for it."""
    forgotten = PURGE_SLICE
    while forgotten == PURGE_SLICE:
        forgotten = await server.store.purge(server.now(), PURGE_SLICE)
        await anyio.sleep(PAUSE_BETWEEN_SLICES)


async def _keep_house(server: AuthorizationServer, every: float) -> None:
    """Write down what was counted and forget what is over."""
    while True:
        await anyio.sleep(every)
        try:
            await server.uses.write_to(server.store)
            await purge(server)
        except StoreUnavailable as error:
            # Requests tell their own callers; this waits for the store to come back.
            logger.warning("store unavailable, will try again: %s", error)
        except Exception:  # The server must outlive it, and the next round may do better.
            logger.exception("could not keep house")


def create_app(
    settings: Settings, store: Store | None = None, clock: Callable[[], float] = time.time
) -> Starlette:
    """The authorization server as an application of its own (split deployment)."""
    if settings.resource_server_url is None:
        # A proxy may put both halves under one name, and then this is right.
        logger.warning(
            "LATCHGATE_RESOURCE_SERVER_URL is not set: tokens are for %s at this server's own "
            "address, which this process does not serve. Set it to the URL of the MCP endpoint "
            "(or run both halves in one process: uvicorn combined_app:app)",
            MCP_PATH,
        )
    server = create_server(settings, store, clock)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(server), metrics_port(settings, server.metrics):
            yield

    server.metrics.readings += readings(server)
    paths = [*routes(server), *metrics_routes(settings, server.metrics)]
    app = Starlette(
        routes=paths,
        exception_handlers=exception_handlers(server),
        middleware=[
            Middleware(PlainStart, StoreUnavailable, PortTaken),
            Middleware(ObserveRequests, server.metrics, paths),
            Middleware(HostGuard, settings.origins, misdirected(server)),
            Middleware(CrossOrigin, CROSS_ORIGIN_PATHS),
            Middleware(RequestLimits, settings.body_timeout),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def __getattr__(name: str) -> Starlette:
    """`auth.app:app`, made when uvicorn asks for it and not when somebody imports a function."""
    if name == "app":
        return start(create_app)
    raise AttributeError(name)
