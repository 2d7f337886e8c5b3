"""How a response is given, and when it ends.

What cannot stream is answered as plain JSON, which costs the SDK half as much as a stream of one
event. A stream lives no longer than its token: it ends within a sweep of its expiry and within a
minute of its revocation, or of the loss of a scope. Neither costs a request a task or a timer: one
sweep looks after all.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar

import anyio
from mcp.server.auth.provider import AccessToken
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resource_server.verifiers import VerifierUnavailable, VerifyToken
from telemetry.metrics import Metrics, Reading

SWEEP_INTERVAL = 5
VERIFY_INTERVAL = 30
COMMENT_INTERVAL = 15
"""Seconds between comments on a stream that has nothing to say, as in the SDK."""

_STREAM_START: Message = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream"),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    ],
}
_COMMENT: Message = {"type": "http.response.body", "body": b": wait\r\n\r\n", "more_body": True}

_is_json: ContextVar[bool] = ContextVar("latchgate_is_json", default=False)

logger = logging.getLogger("latchgate.streams")


class JsonWhereNothingStreams:
    """A truth value that every request decides for itself: whether the SDK answers it as JSON.

    The SDK takes one value for all requests and asks it anew at each.
    """

    def __bool__(self) -> bool:
        return _is_json.get()


class Responses:
    """The responses that are being given now; `run()` looks after them."""

    def __init__(
        self,
        app: ASGIApp,
        verify: VerifyToken,
        clock: Callable[[], float],
        metrics: Metrics,
        sweep_interval: float = SWEEP_INTERVAL,
    ) -> None:
        self._app = app
        self._verify = verify
        self._clock = clock
        self._interval = sweep_interval
        self._open: set[_Response] = set()
        self._is_closing = False
        self._answers = metrics.mcp_answers
        metrics.readings.append(
            Reading(
                "gauge", "latchgate_open_streams", "Streams that are open.", self._count_streams
            )
        )

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncGenerator[None]:
        """Look after the open responses as long as this context lasts."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._sweep_for_ever, group)
            yield
            group.cancel_scope.cancel()

    async def give(
        self, scope: Scope, receive: Receive, send: Send, token: AccessToken, *, is_json: bool
    ) -> None:
        """Let the application answer one request, as JSON if nothing can stream."""
        response = _Response(receive, send, token, self._clock())
        mode = _is_json.set(is_json)
        self._open.add(response)
        try:
            await self._app(scope, receive, response.send_json if is_json else response.send_stream)
        except asyncio.CancelledError:
            if not response.was_only_ended():
                raise
            await response.finish()
        finally:
            self._answers[response.status // 100] += 1
            self._open.discard(response)
            _is_json.reset(mode)

    async def _count_streams(self) -> int:
        return sum(response.is_stream for response in self._open)

    def close_streams(self) -> None:
        """End every stream, now and from now on, so that the server can stop."""
        self._is_closing = True
        for response in self._open:
            if response.is_stream:
                response.end()

    async def _sweep_for_ever(self, group: anyio.abc.TaskGroup) -> None:
        while True:
            await anyio.sleep(self._interval)
            try:
                await self.sweep(group)
            except Exception:  # The next sweep may do better, and must come.
                logger.exception("could not look after the open streams")

    async def sweep(self, group: anyio.abc.TaskGroup) -> None:
        """End the streams whose token is not good any more; comment on answers that take long."""
        now = self._clock()
        for response in [*self._open]:
            if response.is_stream:
                if self._is_closing or not await self._is_good(response, now):
                    response.end()
            elif response.is_pending and now - response.begun_at >= self._interval:
                response.become_stream()
                group.start_soon(response.comment)

    async def _is_good(self, response: "_Response", now: float) -> bool:
        """Whether the token of a stream is still good; trouble with the store ends no stream."""
        expires_at = response.token.expires_at
        if expires_at is not None and expires_at <= now:
            return False
        if now - response.verified_at < VERIFY_INTERVAL:
            return True
        response.verified_at = now
        try:
            found = await self._verify(response.token.token)
        except VerifierUnavailable:
            return True
        # A scope that was taken away may be the one that the stream needs.
        return found is not None and set(response.token.scopes) <= set(found.scopes)


class _Response:
    """One response: who asked, how far it has got, and how it is ended."""

    def __init__(self, receive: Receive, send: Send, token: AccessToken, now: float) -> None:
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self.token = token
        self.begun_at = self.verified_at = now
        self.is_pending = True
        self.is_stream = False
        self.is_ended = False
        self.status = 0
        self._answered: asyncio.Event | None = None
        self._commented = asyncio.Event()

    async def send_stream(self, message: Message) -> None:
        """`send` of an answer that may be a stream."""
        if message["type"] == "http.response.start":
            self.is_pending = False
            self.status = message["status"]
            content_type = dict(message["headers"]).get(b"content-type", b"")
            self.is_stream = content_type.startswith(b"text/event-stream")
        elif not message.get("more_body", False):
            self.is_stream = False
        await self._send(message)

    def send_json(self, message: Message) -> Awaitable[None]:
        """`send` of an answer in JSON, which is an event if the answer has become a stream."""
        self.is_pending = False
        self.status = message.get("status", self.status)
        if self._answered is None:
            return self._send(message)
        return self._send_event(message)

    async def _send_event(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            await self.finish(b"event: message\r\ndata: " + message["body"] + b"\r\n\r\n")

    def end(self) -> None:
        """Stop the application where it is; `Responses.give` then ends the stream."""
        if not self.is_ended and self._task is not None:
            self.is_ended = True
            self._task.cancel()

    def was_only_ended(self) -> bool:
        """Whether the cancellation that has arrived is our own, and no other's."""
        return self.is_ended and self._task is not None and self._task.uncancel() == 0

    async def finish(self, body: bytes = b"") -> None:
        """Send the last of a stream, if the client is still there."""
        self.is_stream = False
        if self._answered is not None:
            self._answered.set()
            await self._commented.wait()
        with contextlib.suppress(OSError):
            await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def become_stream(self) -> None:
        """From now on the answer, when it comes, is an event on a stream."""
        self.is_pending = False
        self.is_stream = True
        self._answered = asyncio.Event()

    async def comment(self) -> None:
        """Keep the stream of a slow answer alive, and see whether anybody still listens."""
        try:
            await self._send({**_STREAM_START, "headers": [*_STREAM_START["headers"]]})
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_on_disconnect)
                while self._answered is not None and not self._answered.is_set():
                    await self._send(_COMMENT)
                    with anyio.move_on_after(COMMENT_INTERVAL):
                        await self._answered.wait()
                group.cancel_scope.cancel()
        except OSError:
            self.end()  # ASGI: the client has gone.
        finally:
            self._commented.set()

    async def _end_on_disconnect(self) -> None:
        """A closed stream cancels what it was for (MCP streamable HTTP, "Cancellation")."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.end()
