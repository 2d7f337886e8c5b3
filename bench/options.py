"""What each choice about the way of a call is worth: the server as it is, against one changed.

python -m bench.options [--short] [--json FILE]
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop

from bench.calls import WARM_UP, line
from bench.machine import Program, pin_load
from bench.mcp_requests import ERAS
from bench.measuring import closed_loop, in_turns, read_options, report, write_json
from bench.subjects import LATCHGATE, Make, latchgate, serving_each

CONNECTIONS = 16


def with_options(*options: str) -> list[Program]:
    """Ours, uvicorn told otherwise; of options that contradict each other the last one counts."""
    (program,) = latchgate()
    return [replace(program, command=(*program.command, *options))]


VARIANTS: Mapping[str, Make] = {
    LATCHGATE: latchgate,
    "h11 instead of httptools": partial(with_options, "--http", "h11"),
    "asyncio instead of uvloop": partial(with_options, "--loop", "asyncio"),
    "with uvicorn's access log": partial(with_options, "--access-log"),
    "a tool that may speak: a stream": partial(
        latchgate, MCP_SERVER="bench.servers.calculator:create_speaking"
    ),
    "a sync tool: a thread": partial(latchgate, MCP_SERVER="bench.servers.calculator:create_sync"),
    "the collector as Python has it": partial(
        latchgate, MCP_SERVER="bench.servers.calculator:create_collecting"
    ),
}


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    seconds, rounds = (0.3, 3) if options.short else (1.0, 11)
    seconds, rounds = options.seconds or seconds, options.rounds or rounds
    results = []
    with tempfile.TemporaryDirectory() as folder:
        async with serving_each(VARIANTS, Path(folder)) as subjects:
            for era in ERAS:
                measures = {}
                for subject in subjects:
                    acts = [await line(subject, era, "tools/call") for _ in range(CONNECTIONS)]
                    await closed_loop(acts, WARM_UP)
                    measures[subject.name] = partial(closed_loop, acts, seconds, subject.pids)
                samples = await in_turns(measures, rounds)
                title = f"tools/call, protocol {era}, connections: {CONNECTIONS}"
                results.append(report(title, samples, LATCHGATE))
    write_json(options.json, results)


if __name__ == "__main__":
    pin_load()
    uvloop.run(main(read_options(__doc__, sys.argv[1:])))
