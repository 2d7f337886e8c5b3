"""The counts as Prometheus reads them.

Imported when metrics are served and not before: a server that serves none starts sooner.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from origins import MCP_PATH
from telemetry.metrics import BUCKETS, Durations, Metrics, Reading, Tally

PATIENCE = 5.0


async def exposition(metrics: Metrics, accept: str) -> tuple[bytes, str]:
    """The counts in the format that a scraper accepts, and that format's media type."""
    encode, media_type = choose_encoder(accept)
    registry = _new_registry(metrics)
    return await asyncio.to_thread(encode, registry), media_type


@asynccontextmanager
async def serving(metrics: Metrics, host: str, ports: range) -> AsyncIterator[int]:
    """Serve the counts on the first of these ports that is free; which one. Raises OSError."""
    registry = _new_registry(metrics)
    *others, last = ports
    for port in others:
        with suppress(OSError):
            server, thread = start_http_server(port, host, registry)
            break
    else:
        server, thread = start_http_server(last, host, registry)
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


class _Counted(Collector):
    """Asks the event loop for the counts, in whatever thread it is asked itself."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterator[Metric]:
        """Every family of metrics, as it is at one moment."""
        families = asyncio.run_coroutine_threadsafe(_families(self._metrics), self._loop)
        yield from families.result(PATIENCE)


def _new_registry(metrics: Metrics) -> CollectorRegistry:
    """A registry of its own: the library's global one would mix applications in one process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Counted(metrics))
    return registry


async def _families(metrics: Metrics) -> list[Metric]:
    for answers, number in enumerate(metrics.mcp_answers):
        if answers and number:
            metrics.requests.counts[MCP_PATH, f"{answers}xx"] = number
    tallies = metrics.requests, metrics.refusals, metrics.sign_ins, metrics.tokens
    readings = [await _reading(reading) for reading in metrics.readings]
    return [
        *map(_tally, tallies),
        _durations(metrics.store_seconds),
        *(family for family in readings if family is not None),
    ]


def _tally(tally: Tally) -> Metric:
    family = CounterMetricFamily(tally.name, tally.documentation, labels=tally.labels)
    for values, count in tally.counts.items():
        family.add_metric(values, count)
    return family


def _durations(durations: Durations) -> Metric:
    labels = [durations.label]
    family = HistogramMetricFamily(durations.name, durations.documentation, labels=labels)
    bounds = [*map(str, BUCKETS), "+Inf"]
    for value, counts in durations.buckets.items():
        buckets = list(zip(bounds, accumulate(counts), strict=True))
        family.add_metric([value], buckets, durations.sums[value])
    return family


async def _reading(reading: Reading) -> Metric | None:
    value = await reading.read()
    if value is None:
        return None
    family = CounterMetricFamily if reading.kind == "counter" else GaugeMetricFamily
    return family(reading.name, reading.documentation, value)
