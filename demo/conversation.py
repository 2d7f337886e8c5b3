"""HTTP exchanges, each told as it happens; failures of the connection in words."""

import asyncio
import ssl
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import httpx2

from demo.forms import read_page
from demo.narration import Narrator, StepFailed, without_query
from origins import is_loopback_host

TIMEOUT = 30.0
BODY_LIMIT = 1 << 20
EVENT_STREAM = "text/event-stream"

_DIRECT = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""Loopback is never reached through a proxy."""


class Conversation:
    """One HTTP client whose exchanges are told. Redirects are answers here, never followed."""

    def __init__(
        self,
        narrator: Narrator,
        transport: httpx2.AsyncBaseTransport | None = None,
        *,
        keeps_cookies: bool = False,
    ) -> None:
        self.narrator = narrator
        self._http = new_http_client(transport, keeps_cookies=keeps_cookies)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(
        self,
        method: str,
        url: str,
        *,
        shown: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> httpx2.Response:
        """Send one request and tell it, with the parameters in `shown`.

        The rest is as httpx2 has it. Raises StepFailed when no answer comes.
        """
        self.narrator.asked(f"{method} {without_query(url)}", shown)
        response = await exchange(self._http, method, url, **request)
        self.narrator.answered(_status(response), _told(response))
        return response


def new_http_client(
    transport: httpx2.AsyncBaseTransport | None,
    *,
    keeps_cookies: bool = False,
    headers: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> httpx2.AsyncClient:
    """An HTTP client that follows no redirect and, unless it plays the browser, keeps no cookie."""
    # Browsers send Secure cookies to loopback over http too; we go nowhere else without TLS.
    policy = DefaultCookiePolicy(
        secure_protocols=("https", "http"), allowed_domains=None if keeps_cookies else []
    )
    return httpx2.AsyncClient(
        transport=transport,
        mounts=None if transport else _DIRECT,
        cookies=CookieJar(policy),
        headers={"User-Agent": "latchgate-demo", **(headers or {})},
        timeout=timeout,
    )


async def exchange(
    http: httpx2.AsyncClient, method: str, url: str, **request: Any
) -> httpx2.Response:
    """One request and its whole answer, a megabyte at most; of a stream of events only the head.

    All of it takes no longer than the client waits for a read. Raises StepFailed when none comes.
    """
    body = bytearray()
    try:
        async with (
            asyncio.timeout(http.timeout.read),
            http.stream(method, url, **request) as response,
        ):
            if not response.headers.get("content-type", "").startswith(EVENT_STREAM):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > BODY_LIMIT:
                        raise StepFailed(f"the answer of {without_query(url)} is over a megabyte")
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise StepFailed(
            f"{without_query(url)!r} is no URL that can be asked: {error}",
            remedy="write it whole, such as https://mcp.example.com/mcp",
        ) from error
    except (httpx2.HTTPError, TimeoutError) as error:
        raise unreachable(url, error) from error
    return httpx2.Response(
        response.status_code,
        headers=[
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length"}
        ],
        content=bytes(body),
        request=response.request,
    )


def unreachable(url: str, error: Exception) -> StepFailed:
    """Why no answer came, in words that say what to do."""
    host = urlsplit(url).netloc
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return StepFailed(
            f"no secure connection to {host}: {cause}",
            remedy="serve the whole certificate chain for this very host name, not expired; "
            "every client verifies it",
        )
    if isinstance(error, (httpx2.TimeoutException, TimeoutError)):
        return StepFailed(
            f"{without_query(url)} did not answer in time", remedy="is the server overloaded?"
        )
    remedy = "start it (ours: make run)" if is_loopback_host(host) else "check name, port and proxy"
    return StepFailed(f"cannot reach {host}: {str(error) or type(error).__name__}", remedy=remedy)


def what_it_said(response: httpx2.Response) -> str:
    """A server's own words about an error: its status, and its JSON or what its page says.

    Of a page the title and the facts that it lists; the text only of one that lists none.
    """
    media_type = response.headers.get("content-type", "").partition(";")[0]
    text = response.text.strip()
    if media_type == "text/html":
        page = read_page(text)
        text = "; ".join([f"“{page.title}”", *page.facts]) if page.facts else page.text
    return f"{_status(response)}: {text}" if text else _status(response)


def json_object(response: httpx2.Response) -> dict[str, Any] | None:
    """The JSON object an answer holds, None if it holds anything else."""
    try:
        content = response.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _status(response: httpx2.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".rstrip()


def _told(response: httpx2.Response) -> dict[str, Any]:
    """What of an answer is worth telling: the challenge, where it leads, the JSON it holds."""
    told: dict[str, Any] = {}
    if challenges := response.headers.get("www-authenticate"):
        told["WWW-Authenticate"] = challenges
    if location := response.headers.get("location"):
        told["Location"] = without_query(location)
    return told | (json_object(response) or {})
