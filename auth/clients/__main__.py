"""See and shut out clients: `python -m auth.clients --help`.

Works while the server runs; who is banned is out on their next request.
"""

import sys
import time
from argparse import ArgumentParser, Namespace

from auth.audit import record_command
from auth.clients import SEALED_PREFIX
from auth.commands import Refused, main
from auth.credentials import digest
from auth.known_clients import preregistered_clients
from auth.models import Ban
from auth.store import Store
from settings import Settings

_SHORT = 12
_LEAST = 6


async def show(_settings: Settings, store: Store, _given: Namespace) -> None:
    """List the clients that hold a grant, and those that are banned."""
    connected, banned = await store.list_clients(int(time.time())), await store.list_bans()
    if not connected and not banned:
        print("Nobody is connected, nobody is banned.", file=sys.stderr)
    for client_id, name, grants in connected:
        kind = "registered itself" if client_id.startswith(SEALED_PREFIX) else client_id
        print(f"{digest(client_id).hex()[:_SHORT]}\t{name}\tconnections: {grants}\t{kind}")
    for ban in banned:
        print(f"{ban.digest.hex()[:_SHORT]}\t{ban.client_name}\tbanned\t{ban.reason}")


async def ban(settings: Settings, store: Store, given: Namespace) -> None:
    """Shut a client out."""
    now = int(time.time())
    client_id, name = await _find(settings, store, given.client, now)
    banned = Ban(digest(client_id), name, now, given.reason)
    await store.ban_client(client_id, banned)
    members = {"client_id": client_id, "client_digest": banned.digest.hex(), "reason": given.reason}
    record_command("client_banned", now, **members)
    print(
        f"Banned {name or 'the client'}: its connections have ended, and it can make no new ones."
    )


async def unban(_settings: Settings, store: Store, given: Namespace) -> None:
    """Let a client in again."""
    wanted = given.client
    bans = [b for b in await store.list_bans() if _is_named(b.digest, wanted)]
    if len(bans) != 1:
        raise Refused(_which(len(bans)))
    await store.unban_client(bans[0].digest)
    record_command("client_unbanned", int(time.time()), client_digest=bans[0].digest.hex())
    print(f"{bans[0].client_name or 'The client'} may connect again. What ended stays ended.")


async def _find(settings: Settings, store: Store, wanted: str, now: int) -> tuple[str, str]:
    """A client by its whole client_id, known or not, or by the beginning of its digest."""
    operators = preregistered_clients(settings).values()
    names = {client.client_id: client.client_name for client in operators}
    names |= {client_id: name for client_id, name, _ in await store.list_clients(now)}
    found = [(i, n) for i, n in names.items() if _is_named(digest(i), wanted)]
    if len(found) == 1:
        return found[0]
    if not found and wanted.startswith((SEALED_PREFIX, "https://")):
        return wanted, ""
    raise Refused(_which(len(found)))


def _is_named(digest_of_client: bytes, wanted: str) -> bool:
    """By its whole client_id or the beginning of its digest, too short for which may be a slip."""
    if digest_of_client == digest(wanted):
        return True
    return len(wanted) >= _LEAST and digest_of_client.hex().startswith(wanted.lower())


def _which(found: int) -> str:
    problem = "No client matches that" if not found else f"{found} clients match that"
    return (
        f"{problem}: give a client_id, or as much of the first column of `list` as is needed "
        f"({_LEAST} characters or more)."
    )


def new_parser() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser("python -m auth.clients", description="The clients people connected.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="who is connected, and who is banned").set_defaults(
        command=show
    )
    for name, command, words in (
        ("ban", ban, "shut a client out, at once"),
        ("unban", unban, "let it in again"),
    ):
        sub = commands.add_parser(name, help=words)
        sub.add_argument("client", help="its client_id, or the beginning of its digest in `list`")
        sub.set_defaults(command=command)
        if name == "ban":
            sub.add_argument("--reason", default="", help="for you, shown in `list`")
    return parser


if __name__ == "__main__":
    sys.exit(main(new_parser()))
