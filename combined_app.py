"""Latchgate in one process: the authorization server and the MCP server that it protects.

    uvicorn combined_app:app

Every path that is served is in the one table below. The halves meet in this file only: in the
functions below, the key ring and the metrics.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Scope

from auth.app import create_server, readings, running
from auth.client_address import client_address
from auth.credentials import digest
from auth.failures import exception_handlers, misdirected
from auth.models import Account
from auth.routes import CROSS_ORIGIN_PATHS, routes
from auth.server import AuthorizationServer, Tool
from auth.store import Store, StoreUnavailable
from auth.usage import DAY
from cors import CrossOrigin
from host_guard import HostGuard
from origins import MCP_PATH
from request_limits import RequestLimits
from resource_server.calls import Call
from resource_server.loading import load_mcp_server
from resource_server.metadata import METADATA_PATHS, Description, metadata
from resource_server.people import Activity, Profile, ProfileUnchanged
from resource_server.protected_resource import PATHS, ProtectedResource, is_stateless
from resource_server.refusals import Refusals
from resource_server.registry import Registry
from resource_server.scopes import ScopesNeeded, scopes_needed, union
from resource_server.sharing import share_request_state, sharing_events
from resource_server.stream_limits import StreamLimits
from resource_server.verifiers import VerifierUnavailable
from settings import Settings
from shortcut import Shortcut
from startup import PlainStart, before_shutdown, start, telling_where_to_go
from telemetry.requests import ObserveRequests
from telemetry.scraping import PortTaken, metrics_port, metrics_routes

GRANT_ID = "grant_id"
"""The claim with which our own verifier tells whose use a call is."""


def create_app(
    settings: Settings,
    store: Store | None = None,
    clock: Callable[[], float] = time.time,
    mcp: MCPServer[Any] | None = None,
) -> Starlette:
    """Both halves as one application; what is not given is the settings' (and the real time)."""
    people = StoredPeople()
    mcp = mcp or load_mcp_server(settings.mcp_server, people)
    server = create_server(
        settings,
        store,
        clock,
        scopes=scopes_needed(mcp),
        list_tools=partial(list_tools, mcp, settings.required_scopes),
    )
    people.server = server
    share_request_state(mcp, [*server.keys.derivations("request state")])
    resource = ProtectedResource(
        mcp,
        partial(verify_token, server),
        settings.origins,
        settings.required_scopes,
        browser_origins=settings.browser_origins,
        note_use=partial(note_use, server),
        metrics=server.metrics,
        is_stateless=is_stateless(settings),
        is_hiding=settings.mcp_lists == "usable",
        clock=clock,
        refusals=Refusals(clock, partial(address_of, server)),
        streams=StreamLimits(settings.streams_per_person, settings.streams),
    )
    description = Description(settings.origins, settings.required_scopes, settings.name)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with (
            running(server),
            sharing_events(mcp, settings.store_url),
            resource.run(),
            metrics_port(settings, server.metrics),
        ):
            with before_shutdown(resource.close_streams), telling_where_to_go(settings):
                yield

    server.metrics.readings += readings(server)
    paths = [
        *routes(server),
        *resource.routes,
        *(Route(path, partial(metadata, description)) for path in METADATA_PATHS),
        *metrics_routes(settings, server.metrics),
    ]
    limited = RequestLimits(resource, settings.body_timeout)
    app = Starlette(
        routes=paths,
        exception_handlers=exception_handlers(server),
        middleware=[
            Middleware(PlainStart, StoreUnavailable, PortTaken),
            Middleware(ObserveRequests, server.metrics, paths),
            Middleware(Shortcut, settings.origins, dict.fromkeys(PATHS, limited)),
            Middleware(HostGuard, settings.origins, misdirected(server)),
            Middleware(CrossOrigin, {*CROSS_ORIGIN_PATHS, *METADATA_PATHS, *PATHS}),
            Middleware(RequestLimits, settings.body_timeout),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def verify_token(server: AuthorizationServer, token: str) -> AccessToken | None:
    """The resource server's `VerifyToken`, straight from the store."""
    try:
        found = await server.store.find_access_token(digest(token), server.now())
    except StoreUnavailable as error:
        raise VerifierUnavailable(str(error)) from error
    if found is None:
        return None
    access_token, grant = found
    scopes = access_token.scopes
    if scopes != grant.scopes:
        scopes = tuple(scope for scope in scopes if scope in grant.scopes)
    return AccessToken(
        token=token,
        client_id=grant.client_id,
        scopes=list(scopes),
        expires_at=access_token.expires_at,
        resource=grant.resource,
        subject=grant.subject,
        claims={"iss": grant.resource.removesuffix(MCP_PATH), GRANT_ID: grant.grant_id},
    )


def note_use(server: AuthorizationServer, token: AccessToken) -> None:
    """Count a call that the resource server lets through."""
    server.uses.note((token.claims or {})[GRANT_ID], server.now())


def address_of(server: AuthorizationServer, scope: Scope) -> str:
    """From where a request to the resource server comes, as the authorization server sees it."""
    return client_address(server, Request(scope))


async def list_tools(mcp: MCPServer[Any], required: tuple[str, ...]) -> Sequence[Tool]:
    """What the home page lists: every tool with the scopes that it needs."""
    needed = ScopesNeeded(Registry(mcp))
    return [
        (
            tool.name,
            tool.description or "",
            union(required, needed.by([Call("tools/call", tool.name)])),
        )
        for tool in await mcp.list_tools()
    ]


class StoredPeople:
    """The records of people, read from the authorization server's store."""

    server: AuthorizationServer

    async def find_profile(self, subject: str) -> Profile | None:
        """Who this is."""
        account = await self.server.store.find_account(subject)
        return None if account is None else _profile(account)

    async def find_activity(self, subject: str) -> Activity:
        """What was counted of their clients' calls."""
        await self.server.uses.write_to(self.server.store)
        uses = await self.server.store.find_uses(subject)
        today = self.server.now() // DAY
        return Activity(
            requests_today=sum(use.calls_on_day for use in uses if use.day == today),
            last_used_at=max((use.last_used_at for use in uses), default=None),
        )

    async def update_profile(self, subject: str, name: str | None, email: str | None) -> Profile:
        """Change what is not None."""
        changed = await self.server.store.update_profile(subject, name, email)
        if changed is None:
            raise ProfileUnchanged("There is no such person any more.")
        return _profile(changed)


def _profile(account: Account) -> Profile:
    return Profile(
        subject=account.subject,
        username=account.username,
        name=account.name,
        email=account.email,
        roles=account.roles,
        last_sign_in_at=account.last_sign_in_at,
    )


def __getattr__(name: str) -> Starlette:
    """`combined_app:app`, made when uvicorn asks for it and not when a function is imported."""
    if name == "app":
        return start(create_app)
    raise AttributeError(name)
