"""The browser in which a person signs in and allows: a form filler, or the system's own.

Both answer with the URL to which the authorization server redirected at the end (RFC 8252 §7.3).
"""

import asyncio
import contextlib
import webbrowser
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2

from demo.conversation import Conversation, what_it_said
from demo.discovery import origin_of, require_endpoint, split_url
from demo.forms import read_page
from demo.narration import Narrator, StepFailed, query_of
from demo.oauth import AuthorizationRequest

HEADLESS_REDIRECT_URI = "http://127.0.0.1:8765/callback"
CALLBACK_PATH = "/callback"
MOST_PAGES = 20
PATIENCE = 300

_REDIRECTS = {301, 302, 303, 307, 308}
_REPEATING = {307, 308}

FormData = dict[str, list[str]]


class UserAgent(Protocol):
    """Takes a person through the authorization pages and brings the response back."""

    @property
    def redirect_uri(self) -> str:
        """Where the authorization server is to send the person afterwards."""

    async def authorize(self, request: AuthorizationRequest, trusted: frozenset[str]) -> str:
        """Open the request's URL; answer with the URL redirected to. Raises StepFailed."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What the browser asks for next: a URL, and the form it submits there, from which origin."""

    url: str
    form: FormData | None = None
    origin: str = ""
    has_signed_in: bool = False

    def redirected(self, status: int, target: str, trusted: frozenset[str]) -> "Visit":
        """The visit a redirect asks for; a form is only repeated to a trusted origin."""
        require_endpoint("redirect target", target, told_by=self.url)
        if self.form is None or status not in _REPEATING:
            return replace(self, url=target, form=None)
        _require_trusted(target, trusted)
        return replace(self, url=target)


@dataclass(frozen=True, slots=True)
class FormFiller:
    """A browser without a window: follows redirects, fills in forms, presses the yes button.

    Name and password go to trusted origins only, and never into a URL.
    """

    conversation: Conversation
    username: str
    password: Callable[[], str]
    redirect_uri: str = HEADLESS_REDIRECT_URI

    async def authorize(self, request: AuthorizationRequest, trusted: frozenset[str]) -> str:
        """Walk from page to page until the redirect URI is reached."""
        visit = Visit(request.url)
        for _ in range(MOST_PAGES):
            is_first = visit.url == request.url
            response = await self._open(visit, query_of(request.url) if is_first else {})
            if response.status_code in _REDIRECTS:
                target = urljoin(visit.url, response.headers.get("location", ""))
                if is_response(target, request):
                    self.conversation.narrator.answered("the response", query_of(target))
                    return target
                visit = visit.redirected(response.status_code, target, trusted)
            else:
                visit = self._fill_in(visit, response, trusted)
        raise StepFailed(f"after {MOST_PAGES} pages the redirect URI was still not reached")

    async def _open(self, visit: Visit, shown: dict[str, str]) -> httpx2.Response:
        headers = {"Accept": "text/html,application/xhtml+xml", "Accept-Language": "en"}
        if visit.form is None:
            return await self.conversation.send("GET", visit.url, headers=headers, shown=shown)
        return await self.conversation.send(
            "POST",
            visit.url,
            data=visit.form,
            headers=headers | {"Origin": visit.origin},
            shown={"fields": list(visit.form)},
        )

    def _fill_in(self, visit: Visit, response: httpx2.Response, trusted: frozenset[str]) -> Visit:
        page = read_page(response.text)
        form = page.form_to_fill()
        if form is None or (response.is_error and not form.asks_password):
            raise StepFailed(
                f"the page “{page.title}” leads no further",
                said=what_it_said(response),
                remedy="run again with --browser and see for yourself",
            )
        if form.asks_password and visit.has_signed_in:
            raise StepFailed(
                f"signing in as {self.username} was refused",
                said=page.alert or what_it_said(response),
                remedy="check --username and the password",
            )
        button = form.agreeing_button
        pressed = f", press “{button.text or button.value}”" if button else ""
        self.conversation.narrator.note(f"“{page.title}”: fill in the form{pressed}")
        target = urljoin(visit.url, form.target or visit.url)
        require_endpoint("form action", target, told_by=visit.url)
        if form.asks_password or form.username_field:
            _require_trusted(target, trusted)
        if form.asks_password and form.method != "post":
            raise StepFailed("the sign-in form would put the password into a URL")
        pairs = form.filled(self.username, self.password)
        following = Visit(
            target,
            origin=split_url(visit.url)[0],
            has_signed_in=visit.has_signed_in or form.asks_password,
        )
        if form.method != "post":
            return replace(following, url=f"{target.partition('?')[0]}?{urlencode(pairs)}")
        data: FormData = {}
        for name, value in pairs:
            data.setdefault(name, []).append(value)
        return replace(following, form=data)


@dataclass(frozen=True, slots=True)
class SystemBrowser:
    """The person's own browser, and a port on loopback that waits for it to come back."""

    narrator: Narrator
    redirect_uri: str
    arrivals: asyncio.Queue[str]
    open_url: Callable[[str], bool] = webbrowser.open

    async def authorize(
        self,
        request: AuthorizationRequest,
        trusted: frozenset[str],  # noqa: ARG002 - the person judges what the browser shows
    ) -> str:
        """Open the browser and wait; what arrives without our `state` is not for us."""
        self.narrator.asked("your browser opens; if it does not, open this yourself:")
        self.narrator.invite(request.url)
        await asyncio.to_thread(self.open_url, request.url)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    url = await self.arrivals.get()
                    if parse_qs(urlsplit(url).query).get("state") == [request.state]:
                        self.narrator.answered("the response", query_of(url))
                        return url
        except TimeoutError as error:
            raise StepFailed(f"nobody came back from the browser in {PATIENCE} s") from error


@contextlib.asynccontextmanager
async def system_browser(
    narrator: Narrator, open_url: Callable[[str], bool] = webbrowser.open
) -> AsyncIterator[SystemBrowser]:
    """Listen on a free loopback port for as long as it takes (RFC 8252 §8.3)."""
    arrivals: asyncio.Queue[str] = asyncio.Queue()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, TimeoutError):
            async with asyncio.timeout(10):
                target = (await reader.readline()).decode("ascii", "replace").split(" ")[1:2]
                while (await reader.readline()).strip():
                    continue
                is_callback = bool(target) and urlsplit(target[0]).path == CALLBACK_PATH
                writer.write(_ARRIVED if is_callback else _NOT_FOUND)
                await writer.drain()
                if is_callback:
                    arrivals.put_nowait(urljoin(redirect_uri, target[0]))
        writer.close()

    listener = await asyncio.start_server(receive, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    redirect_uri = f"http://127.0.0.1:{port}{CALLBACK_PATH}"
    async with listener:
        yield SystemBrowser(narrator, redirect_uri, arrivals, open_url)


def is_response(url: str, request: AuthorizationRequest) -> bool:
    """Whether this URL is the redirect URI with an answer in its query."""
    return url.partition("?")[0] == request.redirect_uri


def _require_trusted(url: str, trusted: frozenset[str]) -> None:
    if origin_of(url) not in trusted:
        raise StepFailed(
            f"the sign-in form goes to {split_url(url)[0]}, another origin than the issuer's",
            remedy=f"if it may have the password: --trust-origin {split_url(url)[0]}; "
            "or use --browser",
        )


def _plain_text(status: str, text: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n{text}"
    ).encode()


_ARRIVED = _plain_text("200 OK", "You may close this window and go back to the terminal.\n")
_NOT_FOUND = _plain_text("404 Not Found", "Nothing here.\n")
