"""The people of the Valkey store: their accounts, their sessions and what happened to them."""

import json
from collections.abc import Collection, Sequence

from auth.models import Account, Digest, Event, Session
from auth.store import SESSIONS_EACH
from auth.store.valkey.connection import PAGE, Connection
from auth.store.valkey.records import dump, flat, load, load_flat

EVENTS_TTL = 366 * 24 * 3600


class People:
    """The verbs about people."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._run = connection.run

    async def add_account(self, account: Account) -> bool:
        folded = account.username.casefold()
        added = await self._run(
            "add_account", folded=folded, subject=account.subject, account=flat(account)
        )
        return bool(added)

    async def find_account(self, subject: str) -> Account | None:
        (stored,) = json.loads(await self._run("read", keys=[f"account:{subject}"]))
        return load_flat(Account, stored)

    async def find_account_by_username(self, username: str) -> Account | None:
        return _one_account(await self._run("find_account_by_username", folded=username.casefold()))

    async def list_accounts(self) -> Sequence[Account]:
        keys = [f"account:{subject}" for subject in await self._run("list_subjects")]
        pages = (keys[start : start + PAGE] for start in range(0, len(keys), PAGE))
        stored = [
            fields for page in pages for fields in json.loads(await self._run("read", keys=page))
        ]
        accounts = [load_flat(Account, fields) for fields in stored]
        # Somebody may have been removed between the list and their page.
        present = [account for account in accounts if account is not None]
        return sorted(present, key=lambda account: account.username.casefold())

    async def update_profile(
        self, subject: str, name: str | None, email: str | None
    ) -> Account | None:
        given = {"name": name, "email": email}
        changes = [text for pair in given.items() for text in pair if pair[1] is not None]
        changed = await self._run("update_profile", subject=subject, changes=changes)
        return _one_account(changed)

    async def record_sign_in(self, subject: str, now: int) -> None:
        await self._run("record_sign_in", subject=subject, now=now)

    async def change_password(
        self,
        subject: str,
        password_hash: str,
        now: int,
        keep_session: Digest | None = None,
        verified: str | None = None,
    ) -> bool:
        changed = await self._run(
            "change_password",
            subject=subject,
            password_hash=password_hash,
            now=now,
            keep_session=keep_session and keep_session.hex(),
            verified=verified,
        )
        return bool(changed)

    async def replace_password_hash(self, subject: str, old: str, new: str) -> bool:
        return bool(await self._run("replace_password_hash", subject=subject, old=old, new=new))

    async def disable_account(self, subject: str, now: int) -> bool:
        return bool(await self._run("disable_account", subject=subject, now=now))

    async def enable_account(self, subject: str) -> bool:
        return bool(await self._run("enable_account", subject=subject))

    async def remove_account(self, subject: str, now: int) -> bool:
        return bool(await self._run("remove_account", subject=subject, now=now))

    # Sessions of browsers

    async def add_session(self, session: Session, verified: str) -> bool:
        added = await self._run(
            "add_session",
            digest=session.digest.hex(),
            subject=session.subject,
            verified=verified,
            session=flat(session),
            now=session.signed_in_at,
            expires_at=session.expires_at,
            most=SESSIONS_EACH,
        )
        return bool(added)

    async def find_session(self, digest: Digest, now: int) -> Session | None:
        (stored,) = json.loads(await self._run("read", keys=[f"session:{digest.hex()}"]))
        session = load_flat(Session, stored)
        return session if session is not None and session.expires_at > now else None

    async def extend_session(self, digest: Digest, expires_at: int) -> None:
        await self._run("extend_session", digest=digest.hex(), expires_at=expires_at)

    async def revoke_session(self, digest: Digest) -> None:
        await self._run("revoke_session", digest=digest.hex())

    async def revoke_sessions(self, subject: str) -> None:
        await self._run("revoke_sessions", subject=subject)

    # What happened

    async def add_event(self, event: Event, alike: Collection[str], most: int) -> None:
        if event.subject is not None:
            await self._run(
                "add_event",
                subject=event.subject,
                event=json.dumps(dump(event)),
                alike=[*alike],
                most=most,
                seconds=EVENTS_TTL,
            )

    async def list_events(self, subject: str) -> Sequence[Event]:
        stored = await self._run("list_events", subject=subject)
        return [load(Event, json.loads(event)) for event in stored]


def _one_account(answer: str | None) -> Account | None:
    return None if answer is None else load_flat(Account, json.loads(answer)[0])
