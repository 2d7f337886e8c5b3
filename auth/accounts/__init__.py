"""The people who can sign in: their passwords and the first account."""

import hmac
import os
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from auth.errors import Overloaded
from auth.models import Account
from auth.store import Store
from settings import Settings
from settings.values import is_default_password

MIN_PASSWORD = 8
MAX_PASSWORD = 1024
MAX_USERNAME = 256
RETRY_AFTER = 5

T = TypeVar("T")


class Passwords:
    """argon2id (RFC 9106), off the event loop and never more at once than there are cores.

    `queue`: how many may wait for their turn; Overloaded is raised for further ones.
    """

    def __init__(self, memory_kib: int, iterations: int, queue: int) -> None:
        self._hasher = PasswordHasher(
            time_cost=iterations, memory_cost=memory_kib, parallelism=1, salt_len=16, hash_len=32
        )
        cores = os.cpu_count() or 1
        self._limiter = CapacityLimiter(cores)
        self._longest_line = cores + queue
        self._in_line = 0
        self._costs = [f"$argon2id$v=19$m={memory_kib},t={iterations},p=1"]
        # Drawn instead of computed: it costs as much to check, and a start no time and no memory.
        salt, digest = (
            b64encode(secrets.token_bytes(length)).decode().rstrip("=")
            for length in (self._hasher.salt_len, self._hasher.hash_len)
        )
        self._nobody = f"${salt}${digest}"
        self._lot = secrets.token_bytes(16)

    def resemble(self, accounts: Iterable[Account]) -> None:
        """Let nobody's password cost what some person's does: parameters may have been changed."""
        costs = {
            account.password_hash.rpartition("$")[0].rpartition("$")[0] for account in accounts
        }
        self._costs = sorted(costs) or self._costs

    async def hash(self, password: str) -> str:
        """The hash to store, in the PHC string format."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, account: Account | None, password: str, name: str = "") -> bool:
        """Whether the password is this person's; nobody's takes as long to refuse.

        Which cost is that of a name that nobody has, is drawn once for each.
        """
        if account is not None:
            return await self._run(self._verify, account.password_hash, password)
        drawn = int.from_bytes(hmac.digest(self._lot, name.casefold().encode(), "sha256"))
        cost = self._costs[drawn % len(self._costs)]
        await self._run(self._verify, cost + self._nobody, password)
        return False

    def is_outdated(self, account: Account) -> bool:
        """Whether a password was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(account.password_hash)

    async def _run(self, step: Callable[..., T], *arguments: str) -> T:
        # Counted here: the limiter sees nobody who is still on the way to it.
        if self._in_line >= self._longest_line:
            raise Overloaded("too many people are signing in: try again", RETRY_AFTER)
        self._in_line += 1
        try:
            return await to_thread.run_sync(step, *arguments, limiter=self._limiter)
        finally:
            self._in_line -= 1

    def _verify(self, stored: str, password: str) -> bool:
        try:
            self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
        return True


async def sign_in(
    store: Store, passwords: Passwords, username: str, password: str
) -> Account | None:
    """The person with this username and password, with the hash that was verified.

    None for every kind of no, in the same time.
    """
    account = await store.find_account_by_username(username)
    if not await passwords.verify(account, password, username):
        return None
    if account is None or account.disabled_at is not None:
        return None
    if passwords.is_outdated(account):
        renewed = await passwords.hash(password)
        if not await store.replace_password_hash(account.subject, account.password_hash, renewed):
            # Changed meanwhile: to another password, or by another sign-in to another hash of it.
            return await sign_in(store, passwords, username, password)
        return replace(account, password_hash=renewed)
    return account


def username_problem(username: str) -> str | None:
    """Why this cannot be a username, None if it can."""
    if not 0 < len(username) <= MAX_USERNAME:
        return f"A username has 1 to {MAX_USERNAME} characters."
    if not username.isprintable() or username != username.strip():
        return "A username has printable characters only, and no space at either end."
    return None


def password_problem(username: str, password: str) -> str | None:
    """Why this cannot be a person's password, None if it can."""
    if len(password) < MIN_PASSWORD:
        return f"The password is too short: it needs at least {MIN_PASSWORD} characters."
    if len(password.encode()) > MAX_PASSWORD:
        return f"The password is too long: at most {MAX_PASSWORD} bytes."
    if password.casefold() == username.casefold():
        return "The password must not be the username."
    if is_default_password(password):
        return "This password is among the first that anybody tries: choose another."
    return None


def new_account(
    username: str,
    password_hash: str,
    now: int,
    *,
    name: str = "",
    email: str = "",
    roles: tuple[str, ...] = ("user",),
) -> Account:
    """A person with a fresh subject."""
    return Account(
        subject="user_" + secrets.token_hex(12),
        username=username,
        password_hash=password_hash,
        name=name or username,
        email=email,
        roles=roles,
        created_at=now,
    )


async def ensure_first_account(
    settings: Settings, store: Store, passwords: Passwords, now: int
) -> str:
    """Make the first account where there is none; answers with who can sign in, and how.

    A random password is told in that answer, once, and stored never.
    """
    given = settings.admin_password
    if not await store.list_accounts():
        password = given.get_secret_value() if given else secrets.token_urlsafe(12)
        account = new_account(
            settings.admin_username,
            await passwords.hash(password),
            now,
            name="Administrator" if settings.admin_username == "admin" else "",
            email=f"{settings.admin_username}@localhost",
            roles=("admin", "user"),
        )
        if await store.add_account(account):
            told = f"the password {password}" if given is None else "the password you set"
            return f"First start: sign in as {account.username} with {told}"
    unused = ", so LATCHGATE_ADMIN_PASSWORD changes nothing" if given else ""
    return (
        f"There are accounts already{unused}. To set a password: "
        f"python -m auth.accounts password {settings.admin_username}"
    )
