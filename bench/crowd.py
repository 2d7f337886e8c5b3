"""What the clients of `load.py` share, and how some of them misbehave."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from bench.http_client import Answer, Client, request
from bench.journey import REDIRECT_URI, Endpoints, fill_in
from bench.mcp_requests import OPERATIONS, modern_parts

BODY_TIMEOUT = 5
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@dataclass
class World:
    """One server under load, and what it was seen to answer."""

    issuer: str
    endpoints: Endpoints
    until: float
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    call_times: list[float] = field(default_factory=list)
    token_times: list[float] = field(default_factory=list)
    journeys: int = 0
    gave_way: int = 0

    @property
    def mcp_url(self) -> str:
        """The MCP endpoint."""
        return f"{self.issuer}/mcp"

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.until

    def note(self, who: str, answer: Answer, *right: int) -> Answer:
        """Write down an answer, and whether it may be."""
        self.statuses[who, answer.status] += 1
        if answer.status not in right:
            self.wrong.append(f"{who}: {answer.status} {answer.body[:200]!r}")
        return answer


def address(number: int) -> dict[str, str]:
    """What the proxy in front says of a client: each comes from elsewhere."""
    return {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}


async def send_garbage(world: World, http: Client) -> None:
    """Tokens that nobody was given."""
    headers, body = modern_parts("tools/call", OPERATIONS["tools/call"][0])
    prefix, length = secrets.choice(("mcp_at_", "")), secrets.choice((1, 32, 3000))
    token = prefix + secrets.token_urlsafe(length)
    headers |= {"Authorization": f"Bearer {token}"}
    world.note("garbage token", await http.ask("POST", world.mcp_url, headers, body), 401)
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "nobody"}
    answer = await http.ask("POST", world.endpoints.token, FORM, urlencode(form).encode())
    world.note("garbage refresh", answer, 400, 401, 429)


async def trickle(world: World, http: Client) -> None:
    """A body that never comes to its end."""
    connection = await http.connection(world.issuer)
    head = request("POST", world.endpoints.token, {**FORM, "Connection": "close"})
    head = head.replace(b"Content-Length: 0", b"Content-Length: 1000")
    try:
        async with asyncio.timeout(BODY_TIMEOUT * 3):
            world.note("slow body", await connection.ask(head + b"grant_type="), 408)
    except TimeoutError:
        world.wrong.append("slow body: waited for for ever")
    connection.close()


async def register_much(world: World, http: Client) -> None:
    """One registration after the other."""
    body = b'{"redirect_uris": ["%s"], "client_name": "flood"}' % REDIRECT_URI.encode()
    answer = await http.ask("POST", world.endpoints.registration, JSON, body)
    world.note("registration", answer, 201, 429)
    if answer.status == 429:
        await asyncio.sleep(0.05)


async def guess(world: World, http: Client) -> None:
    """Try a password of somebody."""
    url = f"{world.issuer}/oauth/sign-in"
    page = await http.ask("GET", url, {"Accept": "text/html"})
    cookies = "; ".join(f"{name}={value}" for name, value in page.cookies().items())
    url, form = fill_in(url, page)
    form |= {"username": f"user{secrets.randbelow(50)}", "password": "letmein1"}
    headers = {**FORM, "Cookie": cookies, "Accept": "text/html"}
    answer = await http.ask("POST", url, headers, urlencode(form).encode())
    world.note("guessed password", answer, 400, 429, 503)
    if answer.status == 429:
        await asyncio.sleep(0.1)


HOSTILE: Sequence[Callable[[World, Client], Awaitable[None]]] = (
    send_garbage,
    trickle,
    register_much,
    guess,
)
