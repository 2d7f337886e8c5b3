"""Who takes the shortcut to the MCP endpoint, and who goes the long way."""

import pytest
from starlette.types import Receive, Scope, Send

from origins import Origins
from shortcut import Shortcut

HOST = (b"host", b"127.0.0.1:8000")


def named(name: str, taken: list[str]) -> object:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        taken.append(name)

    return app


@pytest.mark.parametrize(
    ("headers", "changes", "way"),
    [
        ([HOST], {}, "short"),
        ([HOST, (b"accept", b"*/*")], {"path": "/mcp/"}, "short"),
        ([HOST], {"path": "/"}, "long"),
        ([HOST], {"type": "lifespan"}, "long"),
        ([HOST, (b"origin", b"http://127.0.0.1:8000")], {}, "long"),
        ([(b"host", b"evil.example")], {}, "long"),
        ([], {}, "long"),
        ([HOST, HOST], {}, "long"),
        ([HOST, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")], {}, "long"),
    ],
)
async def test_the_shortcut_is_for_plain_requests_of_programs(
    headers: list[tuple[bytes, bytes]], changes: dict[str, str], way: str
) -> None:
    taken: list[str] = []
    short, long = named("short", taken), named("long", taken)
    app = Shortcut(long, Origins(()), {"/mcp": short, "/mcp/": short})  # type: ignore[arg-type, dict-item]
    scope = {"type": "http", "path": "/mcp", "headers": headers} | changes
    await app(scope, None, None)  # type: ignore[arg-type]
    assert taken == [way]
