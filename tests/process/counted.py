"""The combined application, whose answers say which process gave them (`X-Worker`)."""

import os

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import combined_app


class Counted:
    """ASGI middleware: the number of this process goes into every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._header = (b"x-worker", str(os.getpid()).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], self._header]}
            await send(message)

        await self._app(scope, receive, send_counted)


def __getattr__(name: str) -> ASGIApp:
    """`app`, made when uvicorn asks for it."""
    if name == "app":
        return Counted(combined_app.app)
    raise AttributeError(name)
