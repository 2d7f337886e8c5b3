"""The official conformance runner against both halves of Latchgate: `make conformance`.

    python -m tests.conformance.run [PART OF A SUITE'S NAME …]

The server scenarios call a fixture (everything.py) behind our own gate. The runner cannot send a
token, so a proxy (gateway.py) adds one that a person really gave. In the authorization server
scenarios we are that person. report.py judges.
"""

import asyncio
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT, create_subprocess_exec
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

from demo.discovery import AUTHORIZATION_SERVER
from demo.start import Server, free_port, running
from origins import MCP_PATH
from tests.conformance.gateway import Gateway
from tests.conformance.report import Outcome, read_expected, read_outcome, tell
from tests.kit import (
    PASSWORD,
    Browser,
    authorization_request,
    redirected,
    registration,
    token_request,
)

HERE = Path(__file__).parent
NODE = HERE / "node_modules" / ".bin" / "node"
PATIENCE = 150.0
LONGEST_LINE = 16 * 2**20
URL = re.compile(r"http://\S+/oauth/authorize\?\S+")


@dataclass(frozen=True, slots=True)
class Suite:
    """One run of the runner: with which of its versions and arguments, and how much it checks.

    `least` is how many checks have to succeed: a run that leaves half of them out is no success.
    """

    name: str
    version: str
    arguments: tuple[str, ...]
    least: int


SUITES = (
    Suite("0.1 server", "stable", ("server", "--suite", "all"), 43),
    Suite("0.2 server 2025-11-25", "next", ("server", "--requirements", "2025-11-25"), 80),
    Suite("0.2 server 2026-07-28", "next", ("server", "--requirements", "2026-07-28"), 169),
    Suite("0.2 authorization", "next", ("authorization",), 3),
)


def http_client(url: str) -> httpx2.AsyncClient:
    """A client of the server at this URL."""
    return httpx2.AsyncClient(base_url=url, trust_env=False)


async def get_token(url: str) -> str:
    """An access token for the MCP endpoint of the server at this URL, by the whole journey."""
    async with http_client(url) as http:
        client = (await http.post("/oauth/register", json=registration())).json()
        browser = Browser(http)
        await browser.sign_in()
        resource = url + MCP_PATH
        answer = await browser.allow(authorization_request(client, resource=resource))
        form = token_request(client, redirected(answer)["code"], resource=resource)
        token: str = (await http.post("/oauth/token", data=form)).json()["access_token"]
        return token


async def allow(url: str) -> None:
    """Open an authorization request, allow it and go where that leads, as a person does."""
    async with http_client(url.partition("/oauth")[0]) as http:
        browser = Browser(http)
        await browser.sign_in()
        await browser.get(url)
        answer = await browser.decide("allow")
        await http.get(answer.headers["location"])


async def authorization_arguments(url: str) -> tuple[str, ...]:
    """What the authorization server scenarios need: without a client they leave the grant out."""
    port = free_port()
    metadata = registration(redirect_uris=[f"http://127.0.0.1:{port}/callback"])
    async with http_client(url) as http:
        client = (await http.post("/oauth/register", json=metadata)).json()
    resource = url + MCP_PATH
    client_id = str(client["client_id"])
    return ("--url", url, "--port", str(port), "--resource", resource, "--client-id", client_id)


async def run_suite(suite: Suite, folder: Path, *arguments: str) -> int | None:
    """Run the runner and do what it asks a person to do; its exit code, None if it never ended."""
    script = HERE / "node_modules" / f"conformance-{suite.version}" / "dist" / "index.js"
    process = await create_subprocess_exec(
        NODE if NODE.exists() else "node",
        script,
        *(*suite.arguments, *arguments, "--output-dir"),
        folder,
        stdout=PIPE,
        stderr=STDOUT,
        limit=LONGEST_LINE,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(PATIENCE):
            with (folder / "runner.log").open("wb") as log:
                async for line in process.stdout:
                    log.write(line)
                    if found := URL.search(line.decode()):
                        await allow(found[0])
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()


async def run(suites: Sequence[Suite], folder: Path) -> AsyncIterator[Outcome]:
    """Every suite in turn, against one server."""
    settings = {
        "ADMIN_PASSWORD": PASSWORD,
        "MCP_SERVER": "tests.conformance.everything:create_mcp_server",
    }
    server = Server("combined_app:app", free_port(), settings, AUTHORIZATION_SERVER, MCP_PATH)
    expected = read_expected()
    gateway = Gateway(server.url)
    with running(server, folder):
        async with gateway.serving() as url:
            gateway.token = await get_token(url)
            for suite in suites:
                results = folder / suite.name.replace(" ", "-")
                results.mkdir()
                if suite.arguments[0] == "authorization":
                    arguments = await authorization_arguments(server.url)
                else:
                    arguments = ("--url", url + MCP_PATH)
                code = await run_suite(suite, results, *arguments)
                yield read_outcome(suite.name, results, code, suite.least, expected)


async def main(names: Sequence[str]) -> int:
    """Run the suites whose names have one of these in them, or all; 0 if nothing unexpected."""
    chosen = [suite for suite in SUITES if not names or any(name in suite.name for name in names)]
    folder = Path(tempfile.mkdtemp(prefix="latchgate-conformance-"))
    return tell([outcome async for outcome in run(chosen, folder)], read_expected())


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
