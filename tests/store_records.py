"""Records for the tests of the store: valid ones, to be changed where a test says so."""

from dataclasses import replace
from typing import Any

from auth.credentials import digest
from auth.models import AccessToken, Account, Ban, Code, Consumption, Digest, Event, Grant, Session
from auth.store import Store

NOW = 1_800_000_000
CODE_TTL = 60
ACCESS_TTL = 3600
REFRESH_TTL = 30 * 86_400
GRACE = 120

CLIENT = "client_eyJuIjoiQ2xhdWRlIn0.c2VhbA"
GRANTED_UNTIL = NOW + REFRESH_TTL

VERIFIED = "$argon2id$1"
"""The hash of everybody's password."""


def new_account(subject: str = "ada", **changes: Any) -> Account:
    account = Account(
        subject=subject,
        username=subject,
        password_hash=VERIFIED,
        name=subject.title(),
        email=f"{subject}@example.com",
        roles=("user",),
        created_at=NOW,
    )
    return replace(account, **changes)


def new_session(name: str = "session", subject: str = "ada", **changes: Any) -> Session:
    session = Session(digest(name), subject, signed_in_at=NOW, expires_at=NOW + 8 * 3600)
    return replace(session, **changes)


def new_grant(grant_id: str = "grant", subject: str = "ada", **changes: Any) -> Grant:
    grant = Grant(
        grant_id=grant_id,
        subject=subject,
        client_id=CLIENT,
        client_name="Claude",
        redirect_uri="http://127.0.0.1:33418/callback",
        resource="https://mcp.example.com/mcp",
        scopes=("user", "user:write"),
        created_at=NOW,
        expires_at=NOW + CODE_TTL,
        ends_at=NOW + 90 * 86_400,
    )
    return replace(grant, **changes)


def new_code(grant: Grant, **changes: Any) -> Code:
    code = Code(
        digest=digest(f"code of {grant.grant_id}"),
        grant_id=grant.grant_id,
        client_id=grant.client_id,
        redirect_uri=grant.redirect_uri,
        code_challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        expires_at=NOW + CODE_TTL,
    )
    return replace(code, **changes)


def new_access_token(grant: Grant, generation: int = 1, **changes: Any) -> AccessToken:
    """The access token that comes with this generation of a grant's refresh token."""
    access_token = AccessToken(
        digest=digest(f"access token {generation} of {grant.grant_id}"),
        grant_id=grant.grant_id,
        scopes=grant.scopes,
        issued_at=NOW,
        expires_at=NOW + ACCESS_TTL,
    )
    return replace(access_token, **changes)


def new_ban(client_id: str = CLIENT, **changes: Any) -> Ban:
    ban = Ban(digest(client_id), client_name="Claude", banned_at=NOW, reason="it misbehaved")
    return replace(ban, **changes)


def new_event(at: int = NOW, subject: str | None = "ada", **changes: Any) -> Event:
    event = Event(
        at=at,
        kind="sign_in",
        subject=subject,
        client_id=None,
        grant_id=None,
        address="192.0.2.1",
        correlation_id="correlation",
    )
    return replace(event, **changes)


async def add_people(store: Store, *subjects: str) -> None:
    """Accounts for these people."""
    for subject in subjects:
        assert await store.add_account(new_account(subject))


async def add_pending(store: Store, grant_id: str = "grant", subject: str = "ada") -> Grant:
    """A grant whose code has not been exchanged yet."""
    grant = new_grant(grant_id, subject)
    assert await store.add_grant(grant, new_code(grant))
    return grant


async def add_exchanged(
    store: Store, grant_id: str = "grant", subject: str = "ada", **changes: Any
) -> Grant:
    """A grant whose code was exchanged: generation 1, with one access token."""
    grant = new_grant(grant_id, subject, **changes)
    code, access_token = new_code(grant), new_access_token(grant)
    assert await store.add_grant(grant, code)
    assert await is_consumed(store, code.digest, access_token)
    return replace(grant, generation=1, rotated_at=NOW, expires_at=GRANTED_UNTIL)


async def is_consumed(
    store: Store,
    code: Digest,
    access_token: AccessToken,
    expires_at: int = GRANTED_UNTIL,
    now: int = NOW,
) -> bool:
    """Present a code: whether it was exchanged for this access token."""
    consumption = await store.consume_code(code, access_token, expires_at, now)
    return consumption is Consumption.CONSUMED


async def is_alive(store: Store, grant: Grant, now: int = NOW) -> bool:
    """Whether the first access token of a grant is good, and with it the grant."""
    return await store.find_access_token(new_access_token(grant).digest, now) is not None
