"""An application asked in the same process by a form, with no HTTP client's work in between."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message

from tests.asgi_stream import body

DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
HEADERS = {"host": "127.0.0.1:8000", "content-type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def members(self) -> dict[str, Any]:
        """The JSON object in it."""
        members: dict[str, Any] = json.loads(self.body)
        return members

    @property
    def error(self) -> str | None:
        """The error that it tells, None if it tells none."""
        return None if self.status == 200 else str(self.members["error"])


async def ask(app: ASGIApp, path: str, form: Mapping[str, str], **headers: str) -> Reply:
    """Post a form to an endpoint for programs, and check what holds of all their answers."""
    messages: list[Message] = []

    async def receive() -> Message:
        return body(urlencode(form).encode())

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(n.encode(), value.encode()) for n, value in (HEADERS | headers).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    start, *parts = messages
    reply = Reply(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(part.get("body", b"") for part in parts),
    )
    check(reply, form)
    return reply


def check(reply: Reply, form: Mapping[str, str]) -> None:
    """Never cached, never sniffed, never our fault; an error is explained and repeats nothing."""
    assert reply.status < 500, reply
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    if reply.status != 200:
        assert reply.headers["content-type"] == "application/json"
        assert DESCRIPTION.fullmatch(reply.members["error_description"])
        secrets = (
            value for name, value in form.items() if name in {"code", "token"} or "_" in name
        )
        assert not any(secret in reply.body.decode() for secret in secrets if len(secret) > 40)
