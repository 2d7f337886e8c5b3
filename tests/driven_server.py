"""A server on one store, driven step by step from code that does not await: a state machine's."""

import asyncio
import pickle
import shutil
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mcp.server.auth.provider import AccessToken
from starlette.applications import Starlette
from valkey import Valkey

from auth.app import create_server
from auth.authorization_requests import AuthorizationRequest, RedirectionEndpoint
from auth.clients import open_client_id, seal_client, secret_of
from auth.consents import give_code
from auth.credentials import digest, new_secret
from auth.failures import exception_handlers
from auth.models import Client, Grant, Identity, Session
from auth.pkce import challenge_of
from auth.routes import routes
from auth.sessions import SignedIn
from auth.store import Store
from auth.store.memory import MemoryStore
from auth.store.sqlite import SqliteStore
from auth.store.valkey import ValkeyStore
from combined_app import verify_token
from tests.asking import Reply, ask
from tests.clock import Clock
from tests.kit import ISSUER, REDIRECT_URI, RESOURCE, VERIFIER, new_settings
from tests.store_records import new_account

Answer = TypeVar("Answer")
Form = dict[str, str]
Scopes = tuple[str, ...]

SCOPES = ("user", "user:write", "files")
PEOPLE = ("ada", "bob")
PUBLIC, CONFIDENTIAL = CLIENTS = ("public", "confidential")
RESOURCE_SERVER = ("resource-server", "a-secret-of-the-tests")
SERVER = create_server(
    new_settings(
        scopes=SCOPES,
        token_limit="1000000/second",
        token_lookup_limit="1000000/second",
        introspection_client_id=RESOURCE_SERVER[0],
        introspection_client_secret=RESOURCE_SERVER[1],
    )
)


@dataclass(frozen=True, slots=True)
class Backend:
    """A store that can be emptied, read byte by byte and, if it persists, opened anew."""

    new_store: Callable[[], Store]
    empty: Callable[[], None]
    dump: Callable[[Store], bytes]
    persists: bool = True


def memory(_request: pytest.FixtureRequest) -> Backend:
    """The store that ends with its process."""
    return Backend(MemoryStore, lambda: None, pickle.dumps, persists=False)


def sqlite(request: pytest.FixtureRequest) -> Backend:
    """A file, not synced; its tables are made once and copied, which is quicker."""
    folder: Path = request.getfixturevalue("tmp_path")
    made, used = folder / "made.db", folder / "used.db"

    async def make() -> None:
        store = SqliteStore(str(made))
        await store.open()
        await store.close()

    asyncio.run(make())

    def empty() -> None:
        for leftover in folder.glob("used.db*"):
            leftover.unlink()
        shutil.copy(made, used)

    def dump(_store: Store) -> bytes:
        return b"".join(file.read_bytes() for file in folder.glob("used.db*"))

    return Backend(lambda: SqliteStore(str(used), synchronous="NORMAL"), empty, dump)


def valkey(request: pytest.FixtureRequest) -> Backend:
    """The one server of all tests."""
    url: str = request.getfixturevalue("valkey_url")

    def empty() -> None:
        with Valkey.from_url(url) as client:
            client.flushdb()

    def dump(_store: Store) -> bytes:
        with Valkey.from_url(url) as client:
            return b"".join(key + client.dump(key) for key in client.scan_iter())

    return Backend(lambda: ValkeyStore(url), empty, dump)


BACKENDS = {"memory": memory, "sqlite": sqlite, "valkey": valkey}


class Interleaving:
    """A store that lets every other request in before each of its steps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        async def step(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            return await verb(*args, **options)

        return step


class DrivenServer:
    """The endpoints, on an empty store with two people and two clients."""

    def __init__(self, backend: Backend, loop: asyncio.AbstractEventLoop) -> None:
        self._backend = backend
        self._loop = loop
        self._clients = {
            PUBLIC: new_client(PUBLIC, "none"),
            CONFIDENTIAL: new_client(CONFIDENTIAL, "client_secret_post"),
        }
        self.clock = Clock()
        backend.empty()
        self._open()
        for person in PEOPLE:
            assert self.run(self.store.add_account(new_account(person)))

    def _open(self) -> None:
        self.store = self._backend.new_store()
        self.run(self.store.open())
        interleaving: Any = Interleaving(self.store)
        self._server = replace(SERVER, store=interleaving, clock=self.clock)
        self._app = Starlette(
            routes=routes(self._server), exception_handlers=exception_handlers(self._server)
        )

    def close(self) -> None:
        """Shut down."""
        self.run(self.store.close())

    def restart(self) -> None:
        """Shut down and start again on what the store held."""
        self.close()
        self._open()

    def dump(self) -> bytes:
        """Everything that the store holds, byte by byte."""
        return self._backend.dump(self.store)

    def run(self, act: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for something."""
        return self._loop.run_until_complete(act)

    def client_id(self, client: str) -> str:
        """A client's id on the wire."""
        return self._clients[client].client_id

    def credentials(self, client: str) -> Form:
        """How a client says in a form who it is."""
        client_id = self.client_id(client)
        if client == PUBLIC:
            return {"client_id": client_id}
        return {"client_id": client_id, "client_secret": secret_of(SERVER.keys, client_id)}

    def ask(self, *requests: tuple[str, Form], **headers: str) -> list[Reply]:
        """Post forms to endpoints under /oauth/, all at once."""

        async def at_once() -> list[Reply]:
            return await asyncio.gather(
                *(ask(self._app, f"/oauth/{path}", form, **headers) for path, form in requests)
            )

        return self.run(at_once())

    def introspect(self, tokens: Iterable[str], client: str | None = None) -> list[Reply]:
        """What introspection tells a client, or the resource server, about tokens."""
        if client:
            credentials = self.credentials(client)
            return self.ask(*(("introspect", credentials | {"token": token}) for token in tokens))
        basic = b64encode(":".join(RESOURCE_SERVER).encode()).decode()
        requests = (("introspect", {"token": token}) for token in tokens)
        return self.ask(*requests, authorization=f"Basic {basic}")

    def verify(self, access_tokens: Iterable[str]) -> list[tuple[str | None, Scopes] | None]:
        """For whom and what the MCP endpoint would take these tokens; None if it would not."""

        async def in_turn() -> list[AccessToken | None]:
            return [await verify_token(self._server, token) for token in access_tokens]

        verified = self.run(in_turn())
        assert {token.resource for token in verified if token} <= {RESOURCE}
        return [(token.subject, tuple(token.scopes)) if token else None for token in verified]

    def allow(self, person: str, client: str, scopes: Scopes) -> tuple[str, Grant]:
        """A person's yes on the consent page: a code, and its grant."""
        redirection = RedirectionEndpoint(self._clients[client], REDIRECT_URI, None, ISSUER)
        asked = AuthorizationRequest(
            {}, redirection, scopes, RESOURCE, challenge_of(VERIFIER), frozenset()
        )

        async def consent() -> tuple[str, Grant]:
            account = await self.store.find_account(person)
            assert account is not None
            now = self._server.now()
            session = Session(digest(new_secret()), person, now, now + 60)
            await self.store.add_session(session, account.password_hash)
            return await give_code(self._server, SignedIn(session, account), asked, scopes)

        return self.run(consent())


def new_client(name: str, method: str) -> Client:
    """A client that registered itself."""
    client = Client("", name, (REDIRECT_URI,), Identity.SELF_DECLARED, method)
    registered = open_client_id(SERVER.keys, seal_client(SERVER.keys, client))
    assert registered is not None
    return registered
