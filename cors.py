"""Cross-origin requests: which paths pages of other web origins may call (Fetch §3.3)."""

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
EXPOSED_HEADERS = (
    b"WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-ID"
)
MAX_REQUESTED_HEADERS = 2048

_ALLOW_ORIGIN = b"access-control-allow-origin"
_ALLOW_ANY = (_ALLOW_ORIGIN, b"*")
_EXPOSE = (b"access-control-expose-headers", EXPOSED_HEADERS)


class CrossOrigin:
    """ASGI middleware: any web origin may call these paths, none with cookies.

    `*` without credentials gives a page nothing that it could not ask for from its own server: the
    token travels in a header that the page itself must know. Preflights are answered here, before
    anybody asks for a token; without an Origin header a request costs one look for it.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self._app = app
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or share the answer with the page."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"origin" not in headers:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            requested = headers.get(b"access-control-request-headers", b"")
            await _answer_preflight(requested[:MAX_REQUESTED_HEADERS], send)
        else:
            await self._app(scope, receive, _sharing(send))


async def _answer_preflight(requested: bytes, send: Send) -> None:
    """Allow what is asked for: the names of `Mcp-Param-*` headers are not known beforehand."""
    headers = [
        _ALLOW_ANY,
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", requested or b"Authorization, Content-Type"),
        (b"access-control-max-age", b"7200"),
        (b"vary", b"Access-Control-Request-Headers"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body"})


def _sharing(send: Send) -> Send:
    async def share(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0] != _ALLOW_ORIGIN]
            message = {**message, "headers": [*headers, _ALLOW_ANY, _EXPOSE]}
        await send(message)

    return share
