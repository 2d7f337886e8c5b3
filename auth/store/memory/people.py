"""The people of the memory store: their accounts, their sessions and what happened to them."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from auth.models import Account, Digest, Event, Session
from auth.store.memory.grants import Grants
from auth.store.memory.sessions import Sessions


class People:
    """The verbs about people."""

    def __init__(self, sessions: Sessions, grants: Grants) -> None:
        self._accounts: dict[str, Account] = {}
        self._subjects: dict[str, str] = {}
        self._events: dict[str, list[Event]] = {}
        self._sessions = sessions
        self._grants = grants

    async def add_account(self, account: Account) -> bool:
        username = account.username.casefold()
        if username in self._subjects:
            return False
        self._subjects[username] = account.subject
        self._accounts[account.subject] = account
        return True

    async def find_account(self, subject: str) -> Account | None:
        return self._accounts.get(subject)

    async def find_account_by_username(self, username: str) -> Account | None:
        subject = self._subjects.get(username.casefold())
        return None if subject is None else self._accounts[subject]

    async def list_accounts(self) -> Sequence[Account]:
        return [self._accounts[subject] for _, subject in sorted(self._subjects.items())]

    async def update_profile(
        self, subject: str, name: str | None, email: str | None
    ) -> Account | None:
        account = self._accounts.get(subject)
        if account is None:
            return None
        self._accounts[subject] = changed = replace(
            account,
            name=account.name if name is None else name,
            email=account.email if email is None else email,
        )
        return changed

    async def record_sign_in(self, subject: str, now: int) -> None:
        account = self._accounts.get(subject)
        if account is not None:
            self._accounts[subject] = replace(account, last_sign_in_at=now)

    async def change_password(
        self,
        subject: str,
        password_hash: str,
        now: int,
        keep_session: Digest | None = None,
        verified: str | None = None,
    ) -> bool:
        account = self._accounts.get(subject)
        if account is None or verified not in {None, account.password_hash}:
            return False
        self._accounts[subject] = replace(account, password_hash=password_hash)
        self._end(subject, now, keep_session)
        return True

    async def replace_password_hash(self, subject: str, old: str, new: str) -> bool:
        account = self._accounts.get(subject)
        if account is None or account.password_hash != old:
            return False
        self._accounts[subject] = replace(account, password_hash=new)
        return True

    async def disable_account(self, subject: str, now: int) -> bool:
        account = self._accounts.get(subject)
        if account is None:
            return False
        self._accounts[subject] = replace(account, disabled_at=now)
        self._end(subject, now)
        return True

    async def enable_account(self, subject: str) -> bool:
        account = self._accounts.get(subject)
        if account is None:
            return False
        self._accounts[subject] = replace(account, disabled_at=None)
        return True

    async def remove_account(self, subject: str, now: int) -> bool:
        account = self._accounts.pop(subject, None)
        if account is None:
            return False
        del self._subjects[account.username.casefold()]
        self._events.pop(subject, None)
        self._end(subject, now)
        return True

    def _admits(self, subject: str) -> bool:
        account = self._accounts.get(subject)
        return account is not None and account.disabled_at is None

    def _end(self, subject: str, now: int, keep_session: Digest | None = None) -> None:
        self._sessions.end_all(subject, keep_session)
        self._grants.end_all(subject, now)

    # Sessions of browsers

    async def add_session(self, session: Session, verified: str) -> bool:
        account = self._accounts.get(session.subject)
        if account is None or account.disabled_at is not None or account.password_hash != verified:
            return False
        self._sessions.add(session)
        return True

    async def find_session(self, digest: Digest, now: int) -> Session | None:
        session = self._sessions.find(digest)
        return session if session is not None and session.expires_at > now else None

    async def extend_session(self, digest: Digest, expires_at: int) -> None:
        session = self._sessions.find(digest)
        if session is not None:
            self._sessions.change(replace(session, expires_at=expires_at))

    async def revoke_session(self, digest: Digest) -> None:
        self._sessions.end(digest)

    async def revoke_sessions(self, subject: str) -> None:
        self._sessions.end_all(subject)

    # What happened

    async def add_event(self, event: Event, alike: Collection[str], most: int) -> None:
        if event.subject in self._accounts:
            events = self._events.setdefault(event.subject, [])
            events.append(event)
            counted = [event for event in events if event.kind in alike]
            for forgotten in counted[:-most]:
                events.remove(forgotten)

    async def list_events(self, subject: str) -> Sequence[Event]:
        return tuple(reversed(self._events.get(subject, ())))
