"""Codes and grants by the thousand, put into a store beside the server that uses it."""

import time
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from auth import tokens
from auth.accounts import new_account
from auth.credentials import KeyRing, digest, new_secret
from auth.models import Code, Grant
from auth.pkce import challenge_of
from auth.store import UNUSED_GRANTS_EACH, Store
from auth.store.urls import open_store
from tests.kit import (
    MCP_HEADERS,
    PING,
    REDIRECT_URI,
    VERIFIER,
    identification,
    registration,
    token_request,
)
from tests.process.latchgate import KEY

HOUR = 3600
AT_A_TIME = 50


@dataclass
class Mint:
    """People who allow one client as much as is asked for."""

    store: Store
    resource: str
    client: Mapping[str, Any]
    keys: KeyRing = field(default_factory=lambda: KeyRing([KEY.encode()]))

    async def codes(self, number: int) -> Sequence[str]:
        """Fresh codes, each of a grant of its own, good for an hour."""
        codes = [tokens.new_code() for _ in range(number)]
        async with TaskGroup() as tasks:
            for start in range(0, number, UNUSED_GRANTS_EACH):
                person = new_account(new_secret("person_"), "", 0)
                await self.store.add_account(person)
                for code in codes[start : start + UNUSED_GRANTS_EACH]:
                    tasks.create_task(self._add(code, person.subject))
        return codes

    async def _add(self, code: str, subject: str) -> None:
        now = int(time.time())
        grant = Grant(
            grant_id=tokens.grant_id_of(tokens.new_handle(self.keys, code)),
            subject=subject,
            client_id=self.client["client_id"],
            client_name="Test client",
            redirect_uri=REDIRECT_URI,
            resource=self.resource,
            scopes=("user",),
            created_at=now,
            expires_at=now + HOUR,
            ends_at=now + HOUR,
        )
        challenge = challenge_of(VERIFIER)
        issued = Code(
            digest(code), grant.grant_id, grant.client_id, REDIRECT_URI, challenge, now + HOUR
        )
        assert await self.store.add_grant(grant, issued)


@asynccontextmanager
async def minting(http: httpx2.AsyncClient, store_url: str) -> AsyncIterator[Mint]:
    """A client that registered with the server, and the store that the server uses."""
    store = open_store(store_url)
    await store.open()
    try:
        answer = await http.post("/oauth/register", json=registration())
        assert answer.status_code == 201, answer.text
        resource = str(http.base_url).removesuffix("/") + "/mcp"
        yield Mint(store, resource, answer.json())
    finally:
        await store.close()


@dataclass
class Program:
    """The client's side of the wire."""

    http: httpx2.AsyncClient
    client: Mapping[str, Any]

    async def exchange(self, code: str) -> httpx2.Response:
        """Present a code."""
        form = token_request(self.client, code, resource=None)
        return await self.http.post("/oauth/token", data=form)

    async def refresh(self, refresh_token: str) -> httpx2.Response:
        """Present a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.http.post("/oauth/token", data=form | identification(self.client))

    async def revoke(self, token: str) -> httpx2.Response:
        """Give a token back."""
        form = {"token": token} | identification(self.client)
        return await self.http.post("/oauth/revoke", data=form)

    async def call(self, access_token: str) -> httpx2.Response:
        """Ask the MCP server something."""
        bearer = {"Authorization": f"Bearer {access_token}"}
        return await self.http.post("/mcp", json=PING, headers=MCP_HEADERS | bearer)


async def each(
    act: Callable[[Any], Any], things: Sequence[Any], at_a_time: int = AT_A_TIME
) -> list[Any]:
    """What `act` answers for each thing, so many at a time, in their order."""
    waiting = iter(enumerate(things))
    answers: list[Any] = [None] * len(things)

    async def work() -> None:
        for place, thing in waiting:
            answers[place] = await act(thing)

    async with TaskGroup() as tasks:
        for _ in range(at_a_time):
            tasks.create_task(work())
    return answers


async def statuses(
    act: Callable[[Any], Any], things: Sequence[Any], at_a_time: int = AT_A_TIME
) -> list[int]:
    """The status of each answer."""
    return [answer.status_code for answer in await each(act, things, at_a_time)]
