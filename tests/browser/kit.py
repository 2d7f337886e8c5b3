"""Servers on real sockets and a real browser, for tests that drive one."""

import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import uvicorn
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tests.kit import PASSWORD, World, authorization_request

CHROMIUM = shutil.which("chromium") or "chromium"  # Debian's; Playwright's own is not downloaded
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WEB_HOSTS = ("client.example", "claude.ai", "vscode.dev")
"""Hosts on the web whose names lead to `Strangers`."""


@asynccontextmanager
async def listening(
    app: ASGIApp, address: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve an application whose lifespan runs already; gives the port, a free one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # It listens from here on, so that nobody has to wait until uvicorn has started.
    with socket.create_server((address, 0), family=family) as listener:
        config = uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
        config.load()
        config.ssl = tls
        server = uvicorn.Server(config)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            yield listener.getsockname()[1]
            server.should_exit = True


@dataclass(frozen=True)
class Strangers:
    """Clients that wait for their answers: on the web, and on this computer."""

    web_port: int
    loopback_port: int
    ipv6_port: int


async def _callback(request: Request) -> Response:
    """What a client shows; at /on/… it sends the browser on, as those with a desktop program do."""
    on = request.path_params.get("on")
    if on:
        return RedirectResponse(f"{on}://callback?{request.url.query}", 302)
    return HTMLResponse("<!DOCTYPE html><title>Arrived</title><p>You may close this page.</p>")


@asynccontextmanager
async def strangers(tls: ssl.SSLContext) -> AsyncIterator[Strangers]:
    """The clients' side, under the names of `WEB_HOSTS` and on loopback."""
    app = Starlette(routes=[Route("/on/{on}", _callback), Route("/{path:path}", _callback)])
    async with AsyncExitStack() as stack:
        yield Strangers(
            web_port=await stack.enter_async_context(listening(app, tls=tls)),
            loopback_port=await stack.enter_async_context(listening(app)),
            ipv6_port=await stack.enter_async_context(listening(app, "::1")),
        )


@asynccontextmanager
async def chromium(web_port: int, web_hosts: Collection[str] = WEB_HOSTS) -> AsyncIterator[Browser]:
    """A browser with a new profile; these hosts lead to `web_port`, other names nowhere."""
    rules = [f"MAP {host}:443 127.0.0.1:{web_port}" for host in web_hosts]
    rules += ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1", "EXCLUDE ::1", "EXCLUDE localhost"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*OPTIONS, f"--host-resolver-rules={', '.join(rules)}"]
        )
        yield browser
        await browser.close()


@dataclass(frozen=True)
class Site:
    """Latchgate on a socket, under an origin that a browser can open."""

    origin: str
    world: World

    def asking(self, client: Mapping[str, Any], **changes: str | None) -> str:
        """The URL of an authorization request of this client."""
        request = authorization_request(client, **{"resource": f"{self.origin}/mcp"} | changes)
        return f"{self.origin}/oauth/authorize?{urlencode(request)}"

    async def tokens(self, client: Mapping[str, Any], code: str) -> dict[str, Any]:
        """What the client gets for its code."""
        response = await self.world.exchange(client, code, resource=f"{self.origin}/mcp")
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens


@dataclass
class Person:
    """Somebody at a browser that has never been here."""

    context: BrowserContext
    page: Page
    refused: list[str] = field(default_factory=list)
    """What the browser refused to do because of a page's policy."""

    @classmethod
    async def at(cls, context: BrowserContext) -> "Person":
        """With one empty tab."""
        context.set_default_timeout(10_000)
        person = cls(context, await context.new_page())
        context.on("console", person._hear)
        return person

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.refused.append(message.text)

    async def sign_in(self, password: str = PASSWORD) -> None:
        """Fill in the sign-in page that is open."""
        await self.page.get_by_label("Username").fill("admin")
        await self.page.get_by_label("Password").fill(password)
        await self.press("Sign in")

    async def press(self, button: str) -> None:
        """Press a button and see what comes."""
        async with self.page.expect_navigation():
            await self.page.get_by_role("button", name=button, exact=True).click()

    async def answer(self, button: str, redirect_uri: str) -> dict[str, str]:
        """Press a button that leads to the client; gives what the client is told."""
        async with self.page.expect_request(
            lambda request: request.url.startswith(redirect_uri + "?")
        ) as leaving:
            await self.page.get_by_role("button", name=button, exact=True).click()
        return told((await leaving.value).url)

    async def reads(self, text: str) -> bool:
        """Whether this is on the page."""
        is_visible: bool = await self.page.get_by_text(text).first.is_visible()
        return is_visible


def told(url: str) -> dict[str, str]:
    """The parameters of an answer."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
