"""Browsers: the cookie of a signed-in session, and the cookie that ties a form to its browser."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from auth.credentials import digest, new_secret
from auth.models import Account, Session
from auth.server import AuthorizationServer
from origins import Origin

_SLIDE_EVERY = 60


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person in a browser."""

    session: Session
    account: Account


async def find_signed_in(server: AuthorizationServer, request: Request) -> SignedIn | None:
    """Who is signed in in the browser that sent this request; being seen extends the session."""
    secret = read_cookie(server, request, "session")
    if secret is None:
        return None
    now = server.now()
    session = await server.store.find_session(digest(secret), now)
    if session is None:
        return None
    account = await server.store.find_account(session.subject)
    if account is None:
        return None
    settings = server.settings
    ends_at = session.signed_in_at + settings.session_max_ttl
    expires_at = min(now + settings.session_ttl, ends_at)
    if expires_at >= session.expires_at + _SLIDE_EVERY:
        await server.store.extend_session(session.digest, expires_at)
    return SignedIn(session, account)


async def start_session(
    server: AuthorizationServer, request: Request, response: Response, account: Account
) -> bool:
    """Sign a person in: a new session, never one that the browser brought along (fixation).

    `account` is as its password was verified: False if that was changed or the person disabled
    a moment ago.
    """
    secret, now, settings = new_secret(), server.now(), server.settings
    ttl = min(settings.session_ttl, settings.session_max_ttl)
    if not await server.store.add_session(
        Session(digest(secret), account.subject, signed_in_at=now, expires_at=now + ttl),
        verified=account.password_hash,
    ):
        return False
    origin = server.origin(request)
    set_cookie(response, origin, "session", secret, settings.session_max_ttl)
    return True


async def end_session(
    server: AuthorizationServer, request: Request, response: Response, signed_in: SignedIn
) -> None:
    """Sign a person out of this browser."""
    await server.store.revoke_session(signed_in.session.digest)
    origin = server.origin(request)
    response.delete_cookie(
        _cookie_name("session", origin),
        path="/",
        secure=origin.is_secure,
        httponly=True,
        samesite="lax",
    )


def find_browser(server: AuthorizationServer, request: Request) -> str | None:
    """The secret of this browser, to which the forms that we give it are bound."""
    return read_cookie(server, request, "browser")


def keep_browser(
    server: AuthorizationServer, request: Request, response: Response, browser: str
) -> None:
    """Give a browser its secret, for as long as a form may stand open."""
    ttl = server.settings.session_max_ttl
    set_cookie(response, server.origin(request), "browser", browser, ttl)


def read_cookie(server: AuthorizationServer, request: Request, kind: str) -> str | None:
    """What this browser holds in our cookie of this kind."""
    return request.cookies.get(_cookie_name(kind, server.origin(request)))


def set_cookie(response: Response, origin: Origin, kind: str, value: str, ttl: int) -> None:
    """Give a browser a cookie that no script and no other site can read or send."""
    response.set_cookie(
        _cookie_name(kind, origin),
        value,
        max_age=ttl,
        path="/",
        secure=origin.is_secure,
        httponly=True,
        samesite="lax",
    )


def _cookie_name(kind: str, origin: Origin) -> str:
    """`__Host-` where TLS allows it; on loopback with the port, which cookies ignore."""
    if origin.is_secure:
        return f"__Host-latchgate-{kind}"
    return f"latchgate-{kind}-{origin.port or 80}"
