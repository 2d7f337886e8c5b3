"""What the commands share: the store they work on, and how they end."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio

from auth.store import Store, StoreUnavailable
from auth.store.urls import open_store, place_of
from settings import Settings, load_settings
from telemetry.logs import configure_logging


class Refused(Exception):
    """The command cannot be carried out; the message says why and what to do."""


Command = Callable[[Settings, Store, Namespace], Awaitable[None]]


def main(parser: ArgumentParser, arguments: list[str] | None = None) -> int:
    """Carry out one command on the configured store: exit code 0, or 1 with the reason."""
    given = parser.parse_args(arguments)
    settings = load_settings()
    configure_logging(settings)
    try:
        anyio.run(_carry_out, given.command, settings, given)
    except (Refused, StoreUnavailable, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command tells its user
        return 1
    return 0


async def _carry_out(command: Command, settings: Settings, given: Namespace) -> None:
    store = open_store(settings.store_url)
    if not store.is_shared:
        raise Refused(
            "LATCHGATE_STORE_URL is memory://, and what the server has in memory nobody else can "
            "reach. Set it to sqlite:///latchgate.db, for the server and for this command."
        )
    place = place_of(settings.store_url)
    print(f"Store: {place}", file=sys.stderr)  # noqa: T201 - which one is not said by its contents
    if isinstance(place, Path) and not place.exists() and "may_make_store" not in given:
        raise Refused(
            f"There is no store at {place}. Run this where the server runs, or give "
            "LATCHGATE_STORE_URL an absolute path: sqlite:////var/lib/latchgate.db."
        )
    await store.open()
    try:
        await command(settings, store, given)
    finally:
        await store.close()
