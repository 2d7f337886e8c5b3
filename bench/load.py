"""Five hundred clients for a minute, some of them hostile: nothing wrong may be answered.

    python -m bench.load [--short] [--json FILE]

Exit code 1 if an answer was wrong or a server error, too few clients came through, a call took too
long or the memory grew. Limits are the defaults, but for the time of a body, and every client has
an address of its own, as if behind a proxy. Server and clients share all the cores, since passwords
are checked beside the calls.
"""

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

import uvloop

from bench.crowd import BODY_TIMEOUT, FORM, HOSTILE, JSON, World, address
from bench.http_client import Client, Connection, Disconnected, request
from bench.journey import Endpoints, Tokens, connect, discover, refresh
from bench.machine import CORES, resident_mib, running, wait_until_ready
from bench.mcp_requests import OPERATIONS, WrongAnswer, modern_parts
from bench.measuring import print_table, read_options, write_json
from bench.subjects import ANY_NUMBER, latchgate

HOSTILE_SHARE = 8
"""One client of so many is hostile."""
MAY_GROW = 1.10
SLOWEST_MS = 2_000
"""What 99 of 100 calls and refreshes have to stay under, on two cores with everybody at once."""
COME_THROUGH = 0.5
"""The share of those who behave that has to have been let in, called and left at least."""
REFRESH_EVERY = 20


async def behave(world: World, number: int) -> None:
    """Connect, then call every half second, refresh now and then, until the time is up."""
    chance = random.Random(number)  # noqa: S311 - when to call, no secret
    await asyncio.sleep(chance.uniform(0, (world.until - time.perf_counter()) / 3))
    http = Client(address(number))
    tokens = await come_in(world, http, chance)
    turn = 0
    while tokens and not world.is_over:
        turn += 1
        if turn % REFRESH_EVERY == 0:
            began = time.perf_counter()
            tokens = await refresh(http, world.endpoints, tokens)
            world.token_times.append((time.perf_counter() - began) * 1e3)
        await call(world, http, tokens.access_token)
        await asyncio.sleep(chance.uniform(0.2, 0.8))
    if tokens:
        await leave(world, http, tokens)
    http.close()


async def come_in(world: World, http: Client, chance: random.Random) -> Tokens | None:
    """The whole journey; who is told to come back later, does."""
    while not world.is_over:
        try:
            tokens = await connect(http, world.endpoints, world.mcp_url, "user")
        except WrongAnswer as answer:
            if str(answer)[:3] not in {"429", "503"}:
                world.wrong.append(f"journey: {answer}")
                return None
            world.gave_way += 1
            await asyncio.sleep(chance.uniform(1, 3))
            continue
        world.journeys += 1
        return tokens
    return None


async def call(world: World, http: Client, access_token: str) -> None:
    """One call, whose answer is known beforehand and its own."""
    first, second = secrets.randbelow(1000), secrets.randbelow(1000)
    params = {"name": "add", "arguments": {"a": first, "b": second}}
    headers, body = modern_parts("tools/call", params, access_token)
    began = time.perf_counter()
    answer = world.note("call", await http.ask("POST", world.mcp_url, headers, body), 200)
    world.call_times.append((time.perf_counter() - began) * 1e3)
    if b'"result":%d' % (first + second) not in answer.body:
        world.wrong.append(f"call: {first} + {second} = {answer.body[:200]!r}")


async def leave(world: World, http: Client, tokens: Tokens) -> None:
    """Revoke the refresh token, and with it everything; the next call is refused."""
    form = {"token": tokens.refresh_token, "client_id": tokens.client_id}
    url = f"{world.issuer}/oauth/revoke"
    world.note("revoke", await http.ask("POST", url, FORM, urlencode(form).encode()), 200)
    headers, body = modern_parts("tools/call", OPERATIONS["tools/call"][0], tokens.access_token)
    world.note("after revoking", await http.ask("POST", world.mcp_url, headers, body), 401)


async def misbehave(world: World, number: int) -> None:
    """The same bad thing again and again, a little faster than anybody else."""
    act = HOSTILE[number // HOSTILE_SHARE % len(HOSTILE)]
    http = Client(address(number))
    while not world.is_over:
        try:
            await act(world, http)
        except (Disconnected, ConnectionError):
            world.statuses[act.__name__, 0] += 1
        await asyncio.sleep(0.02)
    http.close()


async def watch_memory(world: World, pid: int, samples: list[float]) -> None:
    """Once a second."""
    while not world.is_over:
        samples.append(resident_mib(pid))
        await asyncio.sleep(1)


async def hold(folder: Path, clients: int, seconds: float) -> dict[str, object]:
    """All of them at once; what came of it."""
    program = latchgate(
        REGISTRATION_LIMIT="30/minute;300/hour",
        AUTHORIZATION_LIMIT="120/minute",
        SIGN_IN_LIMIT="5/5minutes;20/hour",
        SIGN_IN_ACCOUNT_LIMIT="100/hour",
        SIGN_IN_ADDRESS_LIMIT="20/minute;200/hour",
        BODY_TIMEOUT=str(BODY_TIMEOUT),
        TRUSTED_PROXIES="1",
    )[0]
    memory: list[float] = []
    with running(program, folder, CORES) as process:
        await wait_until_ready(program, process, folder)
        endpoints = await discover(Client(), program.url)
        world = World(program.url, endpoints, time.perf_counter() + seconds)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch_memory(world, process.pid, memory))
            for number in range(1, clients + 1):
                role = misbehave if number % HOSTILE_SHARE == 0 else behave
                tasks.create_task(role(world, number))
    well_behaved = clients - clients // HOSTILE_SHARE
    return summary(world, memory, int(well_behaved * COME_THROUGH))


def summary(world: World, memory: Sequence[float], least: int) -> dict[str, object]:
    """Print what came of it, and judge: `least` journeys have to have come to their end."""
    rows = [(who, status, number) for (who, status), number in sorted(world.statuses.items())]
    print_table("Answers", ("to", "status", "number"), rows)
    third = max(1, len(memory) // 6)
    middle = median(memory[len(memory) // 2 - third // 2 :][:third])
    end = median(memory[-third:])
    errors = sum(number for (_, status), number in world.statuses.items() if status == 500)
    results: dict[str, object] = {
        "journeys": world.journeys,
        "told to come later": world.gave_way,
        "calls": len(world.call_times),
        "wrong answers": len(world.wrong),
        "500s": errors,
        **{f"call p{p} ms": _percentile(world.call_times, p) for p in (50, 95, 99)},
        **{f"refresh p{p} ms": _percentile(world.token_times, p) for p in (50, 99)},
        "MiB in the middle": middle,
        "MiB at the end": end,
    }
    print_table("Load", ("", ""), [*results.items()])
    for line in world.wrong[:10]:
        print("WRONG", line)
    required = {
        "no wrong answer": not world.wrong,
        "no 500": not errors,
        f"{least} journeys": world.journeys >= least,
        f"99 of 100 calls under {SLOWEST_MS} ms": _is_quick(world.call_times),
        f"99 of 100 refreshes under {SLOWEST_MS} ms": _is_quick(world.token_times),
        "memory at the end as in the middle": end <= middle * MAY_GROW,
    }
    print_table("Required", ("", "holds"), [*required.items()])
    return results | {"is_right": all(required.values())}


def _is_quick(times: Sequence[float]) -> bool:
    """Whether there were some at all, and nearly all were quick."""
    return len(times) > 1 and _percentile(times, 99) <= SLOWEST_MS


def _percentile(times: Sequence[float], percent: int) -> float:
    return quantiles(times, n=100)[percent - 1] if len(times) > 1 else 0.0


async def flood(folder: Path, number: int) -> dict[str, object]:
    """So many registrations, with no limit to stop them."""
    program = latchgate(REGISTRATION_LIMIT=ANY_NUMBER)[0]
    with running(program, folder, CORES) as process:
        await wait_until_ready(program, process, folder)
        endpoints = await discover(Client(), program.url)
        await register_each(endpoints, 2_000)
        before = resident_mib(process.pid)
        await register_each(endpoints, number)
        after = resident_mib(process.pid)
    results: dict[str, object] = {"registrations": number, "MiB before": before, "MiB after": after}
    print_table("A flood of registrations", ("", ""), [*results.items()])
    return results | {"is_right": after <= before * MAY_GROW}


async def register_each(endpoints: Endpoints, number: int, connections: int = 16) -> None:
    """So many clients that nobody has heard of before."""

    async def some() -> None:
        connection = await Connection.to(endpoints.registration)
        for _ in range(number // connections):
            name = secrets.token_urlsafe().encode()
            body = b'{"redirect_uris": ["http://127.0.0.1:1/%s"], "client_name": "%s"}'
            asked = request("POST", endpoints.registration, JSON, body % (name, name))
            answer = await connection.ask(asked)
            if answer.status != 201:
                raise WrongAnswer(f"registration: {answer.status} {answer.body!r}")
        connection.close()

    await asyncio.gather(*(some() for _ in range(connections)))


async def main(options: argparse.Namespace) -> int:
    """Hold, flood, print, write; the exit code."""
    clients, seconds, registrations = (100, 15, 5_000) if options.short else (500, 60, 100_000)
    with tempfile.TemporaryDirectory() as name:
        held = await hold(Path(name), clients, seconds)
        flooded = await flood(Path(name), registrations)
    write_json(options.json, {"load": held, "flood": flooded})
    return 0 if held["is_right"] and flooded["is_right"] else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(read_options(__doc__, sys.argv[1:]))))
