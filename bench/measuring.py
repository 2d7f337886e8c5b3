"""Rounds in which everybody takes turns, so that a busy machine is busy for all of them."""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, TypeVar

from bench.machine import cpu_seconds

Key = TypeVar("Key")

SEED = 7
COLUMNS = ("cpu", "p50", "p95", "p99")
HEADS = ("", "a second", "Latchgate is", "CPU µs", "p50 ms", "p95 ms", "p99 ms")


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: how many a second, how long each took, in milliseconds, and what it cost.

    `cpu` is the servers' processor time for each, in microseconds: steadier than `rate` on a busy
    machine, and blind to whatever waits.
    """

    rate: float
    times: Sequence[float]
    cpu: float


async def closed_loop(
    acts: Sequence[Callable[[], Awaitable[None]]], seconds: float, pids: Sequence[int] = ()
) -> Sample:
    """Let each act be done again as soon as it is done, once at least, all at the same time."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def repeat(act: Callable[[], Awaitable[None]]) -> None:
        ended = 0.0
        while ended < until:
            began = time.perf_counter()
            await act()
            ended = time.perf_counter()
            times.append((ended - began) * 1e3)

    spent = cpu_seconds(pids)
    began = time.perf_counter()
    await asyncio.gather(*map(repeat, acts))
    took = time.perf_counter() - began
    spent = cpu_seconds(pids) - spent
    return Sample(len(times) / took, times, spent / len(times) * 1e6)


async def in_turns(
    measures: Mapping[Key, Callable[[], Awaitable[Sample]]], rounds: int
) -> dict[Key, list[Sample]]:
    """Measure each once a round, in another order every round."""
    shuffled = random.Random(SEED)  # noqa: S311 - an order, no secret
    samples: dict[Key, list[Sample]] = {key: [] for key in measures}
    for _ in range(rounds):
        order = list(measures)
        shuffled.shuffle(order)
        for key in order:
            samples[key].append(await measures[key]())
    return samples


def rate(samples: Sequence[Sample]) -> float:
    """How many a second: the median over the rounds."""
    return median(sample.rate for sample in samples)


def times_as_fast(samples: Sequence[Sample], others: Sequence[Sample]) -> float:
    """How many times as many as the others: the median over the rounds, each with its own."""
    return median(sample.rate / other.rate for sample, other in zip(samples, others, strict=True))


def cpu(samples: Sequence[Sample]) -> float:
    """Processor time for each, in microseconds: the median over the rounds."""
    return median(sample.cpu for sample in samples)


def percentile(samples: Sequence[Sample], percent: int) -> float:
    """How long, in milliseconds, so many of a hundred took at most, over all the rounds."""
    times = [time for sample in samples for time in sample.times]
    return quantiles(times, n=100, method="inclusive")[percent - 1] if len(times) > 1 else times[0]


def report(title: str, samples: Mapping[str, Sequence[Sample]], own: str) -> dict[str, object]:
    """Print one table, and the same for programs; `own` is who is held against the others."""
    ours = samples[own]
    lines = {
        name: {
            "rate": rate(theirs),
            "cpu": cpu(theirs),
            "ratio": times_as_fast(ours, theirs),
            **{f"p{percent}": percentile(theirs, percent) for percent in (50, 95, 99)},
            "rates": [round(sample.rate, 1) for sample in theirs],
        }
        for name, theirs in samples.items()
    }
    rows = [
        (name, line["rate"], f"{line['ratio']:.2f}×", *map(line.get, COLUMNS))
        for name, line in lines.items()
    ]
    print_table(title, HEADS, rows)
    return {"title": title, "servers": lines}


def print_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table with its first column to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = list(zip(heads, *cells, strict=True))
    widths = [max(map(len, column)) for column in columns]
    print(f"\n{title}")
    for line in [list(heads), *cells]:
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)


def read_options(description: str | None, arguments: Sequence[str]) -> argparse.Namespace:
    """What every script here understands."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer cases, fewer rounds")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    parser.add_argument("--rounds", type=int, help="how many rounds, instead of the usual number")
    parser.add_argument("--seconds", type=float, help="how long a turn is, instead of as usual")
    parser.add_argument("--only", action="append", help="only this server; may be repeated")
    return parser.parse_args(arguments)


def write_json(path: Path | None, results: Any) -> None:
    """The same for programs, if a file was named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
