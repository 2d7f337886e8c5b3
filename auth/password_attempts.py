"""Attempts at a person's password: counted before anything is hashed, taken back if they succeed.

With one name, from one address, from everywhere. A browser in which that person has signed in
with today's password shows a sealed cookie and is counted by itself, so that nobody who fails on
purpose keeps the person out. Of such cookies anybody may have as many as they like: who got one
knew what there is to guess.
"""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from auth.client_address import client_network
from auth.credentials import digest, new_secret
from auth.errors import TooManyRequests
from auth.limits import Limit
from auth.models import Account
from auth.server import AuthorizationServer
from auth.sessions import read_cookie, set_cookie
from auth.store import StoreUnavailable

KNOWN_DEVICE_TTL = 180 * 24 * 60 * 60

T = TypeVar("T")

_COOKIE = "device"
_PURPOSE = "known device"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has been counted as if it had failed."""

    counted: tuple[tuple[Limit, tuple[str, ...]], ...]

    async def judge(self, verdict: Awaitable[T]) -> T:
        """What came of it: only a wrong password, one that was looked at, stays counted."""
        try:
            outcome = await verdict
        except Exception:
            await self.undo()
            raise
        if outcome:
            await self.take_back()
        return outcome

    async def take_back(self) -> None:
        """It was no failure."""
        for limit, key in self.counted:
            await limit.give_back(*key)

    async def undo(self) -> None:
        """The same on the way out of other trouble, which more of it must not hide."""
        with suppress(StoreUnavailable):
            await self.take_back()


async def begin_attempt(server: AuthorizationServer, request: Request, username: str) -> Attempt:
    """Count an attempt to sign in with this name. Raises TooManyRequests, and counts nothing."""
    limits, name = server.limits, username.casefold()
    account = await server.store.find_account_by_username(username)
    if device := _find_device(server, request, account):
        return await _count((limits.sign_in_limit, ("device", device)))
    by_name, by_account = limits.sign_in_limit, limits.sign_in_account_limit
    if account is None:
        # Names of nobody are without number, and must not make us forget what was tried with one.
        by_name, by_account = by_name.apart, by_account.apart
    network = client_network(server, request)
    return await _count(
        (limits.sign_in_address_limit, (network,)),
        (by_name, ("name", name, network)),
        (by_account, (name,)),
    )


async def begin_password_change(server: AuthorizationServer, subject: str) -> Attempt:
    """Count an attempt of a signed-in person at the current password. Raises TooManyRequests."""
    return await _count((server.limits.sign_in_limit, ("password", subject)))


def remember_device(
    server: AuthorizationServer, request: Request, response: Response, account: Account
) -> None:
    """Let this browser show from now on that this person has given this password there."""
    ends_at = server.now() + KNOWN_DEVICE_TTL
    device = {"u": _who(account), "d": new_secret(), "e": ends_at}
    sealed = server.keys.seal(_PURPOSE, device)
    set_cookie(response, server.origin(request), _COOKIE, sealed, KNOWN_DEVICE_TTL)


def _find_device(
    server: AuthorizationServer, request: Request, account: Account | None
) -> str | None:
    """The id of this browser, if this person has given the password they have now in it."""
    device = server.keys.unseal(_PURPOSE, read_cookie(server, request, _COOKIE) or "")
    if device is None or account is None or server.now() >= device["e"]:
        return None
    if device["u"] != _who(account):
        return None
    return str(device["d"])


def _who(account: Account) -> str:
    return digest(f"{account.subject} {account.password_hash}").hex()


async def _count(*counted: tuple[Limit, tuple[str, ...]]) -> Attempt:
    for position, (limit, key) in enumerate(counted):
        try:
            await limit.take(*key)
        except (TooManyRequests, StoreUnavailable):
            await Attempt(counted[:position]).undo()
            raise
    return Attempt(counted)
