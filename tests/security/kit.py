"""What the attacks share: what must be true of every refusal, and a server as operators run it."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import httpx2

from auth.accounts import Passwords, new_account
from auth.limits import Limits
from settings import Settings
from tests.clock import Clock
from tests.kit import Form, World, new_settings, serving

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGES = ("/", "/oauth/authorize", "/oauth/sign-in", "/oauth/connections", "/oauth/password")
PROGRAM_PATHS = ("/oauth/token", "/oauth/register", "/oauth/revoke", "/oauth/introspect")
FORM_PATHS = ("/oauth/sign-in", "/oauth/consent", "/oauth/connections", "/oauth/password")

_TRACES = re.compile(r"Traceback|File \"|/auth/|site-packages|\.py\b")


@asynccontextmanager
async def limited(clock: Clock, **changes: Any) -> AsyncIterator[World]:
    """A server with the limits that operators have who change nothing."""
    defaults = {limit.name: Settings.model_fields[limit.name].default for limit in fields(Limits)}
    async with serving(clock, new_settings(**(defaults | changes))) as world:
        yield world


def assert_refused(response: httpx2.Response, *statuses: int) -> None:
    """A refusal is no crash, tells nothing of our insides and stays in nobody's cache."""
    assert response.status_code in statuses, (response.status_code, response.text)
    assert not _TRACES.search(response.text), response.text
    assert response.headers["cache-control"] == "no-store"
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in {"application/json", "text/html"}
    if response.status_code in {429, 503}:
        assert int(response.headers["retry-after"]) > 0


async def assert_still_works(world: World) -> None:
    """The next client has its tokens as if nothing had happened."""
    tokens = await world.tokens(await world.register())
    assert await world.calls(tokens["access_token"]) == 200


async def add_person(world: World, username: str, password: str) -> None:
    """Another person who can sign in."""
    hashed = await Passwords(8, 1, 50).hash(password)
    assert await world.store.add_account(new_account(username, hashed, world.clock()))


def encoded(form: Form, *more: tuple[str, str]) -> bytes:
    """A form as bytes, in which a parameter may be repeated."""
    return str(httpx2.QueryParams([*form.items(), *more])).encode()


def from_address(world: World, address: str, headers: Mapping[str, str] = {}) -> httpx2.AsyncClient:
    """A client of the server at another address."""
    transport = httpx2.ASGITransport(
        app=world.app, raise_app_exceptions=False, client=(address, 1234)
    )
    return httpx2.AsyncClient(transport=transport, base_url=world.http.base_url, headers=headers)
