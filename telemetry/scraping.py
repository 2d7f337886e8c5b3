"""Where the counts can be read: /metrics for whoever has the token, and a port of their own."""

import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from settings import Settings, worker_count
from telemetry.metrics import Metrics

METRICS_PATH = "/metrics"

logger = logging.getLogger("latchgate")


class PortTaken(Exception):
    """No port for metrics is free; the message is for the operator."""


def metrics_routes(settings: Settings, metrics: Metrics) -> list[Route]:
    """The path for whoever has LATCHGATE_METRICS_TOKEN; without that setting there is none."""
    if settings.metrics_token is None:
        return []
    token = settings.metrics_token.get_secret_value()
    return [Route(METRICS_PATH, partial(scrape, metrics, f"bearer {token}".encode()))]


async def scrape(metrics: Metrics, credentials: bytes, request: Request) -> Response:
    """The counts, to a caller with these credentials."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = f"{scheme.lower()} {token.strip()}".encode()
    if not hmac.compare_digest(given, credentials):
        return Response(status_code=401, headers={"WWW-Authenticate": 'Bearer realm="metrics"'})
    from telemetry.exposition import exposition  # noqa: PLC0415 - see there

    body, media_type = await exposition(metrics, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


@asynccontextmanager
async def metrics_port(settings: Settings, metrics: Metrics) -> AsyncIterator[None]:
    """Serve the counts on LATCHGATE_METRICS_PORT, if that is set, as long as this lasts.

    Each of several workers counts for itself, and takes the next port that is free. Raises
    PortTaken.
    """
    if settings.metrics_port is None:
        yield
        return
    from telemetry.exposition import serving  # noqa: PLC0415 - see there

    host, first = settings.metrics_host, settings.metrics_port
    ports = range(first, first + worker_count())
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(serving(metrics, host, ports))
        except OSError as error:
            problem = f"LATCHGATE_METRICS_PORT: {host}:{ports[-1]}: {error.strerror}"
            raise PortTaken(problem) from error
        logger.info("metrics on http://%s:%d%s", host, port, METRICS_PATH)
        yield
