"""Cross-origin requests: which paths pages of other web origins may call (Fetch §3.3)."""

from collections.abc import Collection, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from origins import WELL_KNOWN

METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
EXPOSED_HEADERS = (
    b"WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, X-Request-ID"
)
MAX_REQUESTED_HEADERS = 2048

_ALLOW_ORIGIN = b"access-control-allow-origin"
_ALLOW_ANY = (_ALLOW_ORIGIN, b"*")
_EXPOSE = (b"access-control-expose-headers", EXPOSED_HEADERS)
_IS_SHARED = "latchgate.is_shared"


class CrossOrigin:
    """ASGI middleware: any web origin may call these paths, none with cookies.

    Clients look for metadata where there is none, too, and have to be able to read that answer: so
    every well-known path is one of these.

    `*` without credentials gives a page nothing that it could not ask for from its own server: the
    token travels in a header that the page itself must know. Preflights are answered here, before
    anybody asks for a token; without an Origin header a request costs one look for it.
    """

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self._app = app
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or share the answer with the page."""
        if scope["type"] != "http" or not self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if b"origin" not in headers:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            requested = headers.get(b"access-control-request-headers", b"")
            await _answer_preflight(requested[:MAX_REQUESTED_HEADERS], send)
        else:
            scope[_IS_SHARED] = True
            await self._app(scope, receive, _sharing(send))

    def _is_open(self, path: str) -> bool:
        return path in self._paths or WELL_KNOWN in path


def sharing_headers(scope: Scope) -> Mapping[str, str]:
    """What shares an answer that is sent outside of all middleware, as Starlette's 500 is."""
    shared = (_ALLOW_ANY, _EXPOSE) if _IS_SHARED in scope else ()
    return {name.decode(): value.decode() for name, value in shared}


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
