"""Manage the people who can sign in: `python -m auth.accounts --help`.

Works while the server runs; who is disabled or removed is out on their next request.
"""

import getpass
import secrets
import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from auth.accounts import Passwords, new_account, password_problem, username_problem
from auth.audit import record_command
from auth.commands import Refused, main
from auth.models import Account
from auth.store import Store
from settings import Settings


async def add(settings: Settings, store: Store, given: Namespace) -> None:
    """Add a person."""
    if problem := username_problem(given.username):
        raise Refused(problem)
    password = _password(given)
    account = new_account(
        given.username,
        await _passwords(settings).hash(password),
        int(time.time()),
        name=given.name,
        email=given.email,
        roles=tuple(given.role or ("user",)),
    )
    if not await store.add_account(account):
        raise Refused(f"There is an account {given.username} already.")
    _tell(given, password)
    record_command("account_added", account.created_at, subject=account.subject)
    print(f"Added {account.username} as {account.subject}.")


async def show(_settings: Settings, store: Store, _given: Namespace) -> None:
    """List everybody."""
    accounts = await store.list_accounts()
    if not accounts:
        print("There is no account.", file=sys.stderr)
    for account in accounts:
        state = "disabled" if account.disabled_at is not None else "enabled"
        seen = _moment(account.last_sign_in_at)
        columns = (account.username, account.subject, state, seen, " ".join(account.roles))
        print("\t".join(columns))


async def disable(_settings: Settings, store: Store, given: Namespace) -> None:
    """Shut a person out."""
    account = await _find(store, given)
    now = int(time.time())
    await store.disable_account(account.subject, now)
    record_command("account_disabled", now, subject=account.subject)
    print(f"Disabled {account.username}: every session and connection of theirs has ended.")


async def enable(_settings: Settings, store: Store, given: Namespace) -> None:
    """Let a person in again."""
    account = await _find(store, given)
    await store.enable_account(account.subject)
    record_command("account_enabled", int(time.time()), subject=account.subject)
    print(f"Enabled {account.username}. What ended stays ended: they sign in and connect anew.")


async def password(settings: Settings, store: Store, given: Namespace) -> None:
    """Set a person's password."""
    account = await _find(store, given)
    chosen = _password(given)
    hashed = await _passwords(settings).hash(chosen)
    now = int(time.time())
    await store.change_password(account.subject, hashed, now)
    record_command("password_set", now, subject=account.subject)
    _tell(given, chosen)
    print(f"Set the password of {account.username}: their sessions and connections have ended.")


async def remove(_settings: Settings, store: Store, given: Namespace) -> None:
    """Forget a person."""
    account = await _find(store, given)
    now = int(time.time())
    await store.remove_account(account.subject, now)
    record_command("account_removed", now, subject=account.subject)
    print(f"Removed {account.username}: every session and connection of theirs has ended.")


async def _find(store: Store, given: Namespace) -> Account:
    account = await store.find_account_by_username(given.username)
    if account is None:
        raise Refused(
            f"There is no account {given.username}: `python -m auth.accounts list` shows all."
        )
    return account


def _passwords(settings: Settings) -> Passwords:
    return Passwords(
        settings.password_memory_kib, settings.password_iterations, settings.password_queue
    )


def _password(given: Namespace) -> str:
    """Asked for twice at a terminal, read from a pipe, or drawn; never an argument."""
    if given.generate:
        return secrets.token_urlsafe(12)
    if sys.stdin.isatty():
        chosen = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != chosen:
            raise Refused("The two were not the same; nothing was changed.")
    else:
        chosen = sys.stdin.readline().rstrip("\n")
    if problem := password_problem(given.username, chosen):
        raise Refused(problem)
    return chosen


def _tell(given: Namespace, password: str) -> None:
    """Print a password that was drawn, once it is the one."""
    if given.generate:
        print(f"The password of {given.username} is {password}")


def _moment(at: int | None) -> str:
    return "never" if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes")


def new_parser() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser("python -m auth.accounts", description="The people who can sign in.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser(
        "list", help="name, subject, state, last sign-in and roles of all"
    )
    listing.set_defaults(command=show)
    for name, command, words in (
        ("add", add, "add a person; the password is asked for, or read from a pipe"),
        ("password", password, "set a password and end what was connected with the old one"),
        ("disable", disable, "shut a person out, at once"),
        ("enable", enable, "let them in again"),
        ("remove", remove, "forget a person, at once"),
    ):
        sub = commands.add_parser(name, help=words)
        sub.add_argument("username")
        sub.set_defaults(command=command)
        if name in {"add", "password"}:
            sub.add_argument("--generate", action="store_true", help="draw a password and print it")
        if name == "add":
            sub.set_defaults(may_make_store=True)
            sub.add_argument("--name", default="", help="what the person is called")
            sub.add_argument("--email", default="")
            sub.add_argument("--role", action="append", help="may be given several times")
    return parser


if __name__ == "__main__":
    sys.exit(main(new_parser()))
