"""The floor: an ASGI application that reads the request and answers, and nothing else."""

from starlette.types import Receive, Scope, Send

_BODY = b'{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"result":3}}}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY))]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything with the same."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
    await send({"type": "http.response.body", "body": _BODY})
