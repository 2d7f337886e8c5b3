"""The store: one Protocol, three backends, one contract (`tests/test_store.py`).

The contract in words:

* Every verb is one atomic step, but that `purge` and the end of a banned client's grants may be
  many. Of any number of callers of `consume_…` and `spend` exactly one is told yes; nobody sees a
  step half done. A step that raises has changed nothing – or, behind a network, everything, and
  only its answer was lost.
* What a verb acknowledged is there for the next caller, on whatever replica.
* Revocation is remembered: what is added a moment later under a revoked grant is dead too, a grant
  for a disabled person or a banned client is not added, and nothing revives them – not a purge, not
  a restart, not a clock set back.
* `find_…` answers None for what is unknown, expired or revoked, unless its docstring says else.
  Something is expired from the second of its `expires_at` on.
* What a person has is bounded, and what a client has for itself, and of what is theirs alone the
  oldest makes room: nobody can fill the store, and nobody can end what is somebody else's.
* Trouble with the backend is `StoreUnavailable`, always; it reaches clients as 503 (never 401,
  which makes them throw good tokens away).
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from auth.models import (
    AccessToken,
    Account,
    Ban,
    Code,
    Consumption,
    Digest,
    Event,
    Grant,
    Rotation,
    Session,
    Use,
)

SESSIONS_EACH = 100
"""So many browsers may a person be signed in in."""
UNUSED_GRANTS_EACH = 200
"""So many grants that are of no use (yet) may a person have: dead ones that are still remembered,
and those whose code was not exchanged."""
GRANTS_OF_A_CLIENT = 1_000
"""So many grants for itself (client_credentials) may a client have: each token is one."""


class StoreUnavailable(Exception):
    """The backend cannot be reached, is full or read-only, or its answer was lost on the way."""


class Store(Protocol):
    """Everything the authorization server remembers. `now` is always the caller's clock."""

    is_shared: bool
    """Whether several processes may use it at once."""

    async def open(self) -> None:
        """Make ready: connect, create or migrate the schema. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Finish what was acknowledged and let go of the backend."""

    async def check(self) -> None:
        """Return if the backend answers; raise StoreUnavailable if not (readiness)."""

    async def purge(self, now: int, limit: int) -> int:
        """Forget at most `limit` records that can change no later answer.

        Answers how many were forgotten: less than `limit` only if there are no more.
        Kept: a spent code until it expires and a revoked grant until its `expires_at`, so that a
        replay is still seen; a live grant for as long as it lives.
        """

    # People

    async def add_account(self, account: Account) -> bool:
        """Add a person; False if the username (compared by `str.casefold`) is taken."""

    async def find_account(self, subject: str) -> Account | None:
        """The person with this subject, disabled or not."""

    async def find_account_by_username(self, username: str) -> Account | None:
        """The person with this username (compared by `str.casefold`), disabled or not."""

    async def list_accounts(self) -> Sequence[Account]:
        """Everybody, by username."""

    async def update_profile(
        self, subject: str, name: str | None, email: str | None
    ) -> Account | None:
        """Change what of a person is not None; the changed account, None if there is none."""

    async def record_sign_in(self, subject: str, now: int) -> None:
        """Note that a person signed in; no error if there is none."""

    async def change_password(
        self,
        subject: str,
        password_hash: str,
        now: int,
        keep_session: Digest | None = None,
        verified: str | None = None,
    ) -> bool:
        """Set a password and end this person's sessions (but `keep_session`) and grants.

        False if there is none, or the stored hash is no longer `verified`, if that is given: the
        one of the password that was asked for before.
        """

    async def replace_password_hash(self, subject: str, old: str, new: str) -> bool:
        """Store the same password hashed anew, unless it was changed meanwhile; ends nothing."""

    async def disable_account(self, subject: str, now: int) -> bool:
        """Shut a person out: sessions and grants end, none can be added. False if there is none."""

    async def enable_account(self, subject: str) -> bool:
        """Let a person in again; what ended stays ended. False if there is none."""

    async def remove_account(self, subject: str, now: int) -> bool:
        """Forget a person: sessions and grants end, none can be added. False if there is none."""

    # Sessions of browsers

    async def add_session(self, session: Session, verified: str) -> bool:
        """Add a session; False if the person is disabled or unknown, or has another password now.

        `verified` is the hash of the password with which they signed in: checking one takes time,
        in which it may be changed, and what is shut out then must not slip in afterwards. Of more
        than SESSIONS_EACH the person's oldest end.
        """

    async def find_session(self, digest: Digest, now: int) -> Session | None:
        """The live session with this digest."""

    async def extend_session(self, digest: Digest, expires_at: int) -> None:
        """Let a session live until then; no error if it ended meanwhile (it stays ended)."""

    async def revoke_session(self, digest: Digest) -> None:
        """End one session; no error if there is none."""

    async def revoke_sessions(self, subject: str) -> None:
        """End every session of a person: sign out everywhere."""

    # Things that may be used once

    async def spend(self, digest: Digest, expires_at: int, now: int) -> bool:
        """Use a one-time thing (a form, a `jti`): True for the first caller before `expires_at`."""

    # Grants, codes and tokens

    async def add_grant(
        self, grant: Grant, issued: Code | AccessToken, session: Digest | None = None
    ) -> bool:
        """Add a grant with its code, or (client_credentials) with its access token.

        False, and nothing added, if the person is disabled or unknown, the client is banned, or
        `session`, the person's in which they consented, does not live. A subject that starts with
        `client:` is a client, not a person, and has no account and no session.

        Of more than UNUSED_GRANTS_EACH of a person some are forgotten, and so end: first what is
        dead, then what was never exchanged, of the same client before others'. A live one that
        was exchanged never is. Of more than GRANTS_OF_A_CLIENT for itself the first added ends.
        """

    async def find_grant(self, grant_id: str, now: int) -> Grant | None:
        """The live grant with this id."""

    async def find_grants(
        self,
        subject: str,
        now: int,
        client_id: str | None = None,
        *,
        with_unexchanged: bool = False,
    ) -> Sequence[Grant]:
        """The live grants of a person (to this client), newest first.

        Those whose code was not exchanged yet are left out, if it is not said otherwise.
        """

    async def find_code(self, digest: Digest, now: int) -> tuple[Code, Grant] | None:
        """An unexpired code, spent or not, with its grant, revoked or not."""

    async def consume_code(
        self, digest: Digest, access_token: AccessToken, expires_at: int, now: int
    ) -> Consumption:
        """Spend a code and store what it gave, in one step; CONSUMED for exactly one caller.

        The grant's `generation` becomes 1, its `rotated_at` `now`, its `expires_at` the one given.
        REPLAYED – the grant is revoked in the same step – if the code was spent before. REFUSED if
        it is expired or unknown, or its grant is revoked.
        """

    async def rotate_refresh_token(
        self,
        grant_id: str,
        generation: int,
        access_token: AccessToken,
        expires_at: int,
        now: int,
        grace: int,
        *,
        superseded: Sequence[Digest] = (),
    ) -> Rotation:
        """Spend the refresh token of this generation and store what it gave, in one step.

        ROTATED if `generation` is the grant's: generation + 1, `rotated_at` now, `expires_at` the
        one given, the access token stored, those of the grant that are `superseded` ended: however
        often a client refreshes, it fills no store. REPEATED if it is the one before and `now` is
        before `rotated_at + grace`; generation 0 has no one before. REPLAYED – the grant is revoked
        in the same step – if it is older, or the one before and too late. REFUSED if the grant is
        unknown, expired or revoked, or `generation` is one that was never given (0 never is).
        """

    async def find_access_token(self, digest: Digest, now: int) -> tuple[AccessToken, Grant] | None:
        """The live access token with this digest, and its live grant: the hot path.

        A token lives until its own `expires_at` and dies with its grant's revocation; the grant's
        `expires_at` is at least the token's.
        """

    async def revoke_access_token(self, digest: Digest) -> None:
        """End one access token (RFC 7009); no error if there is none."""

    async def narrow_grant(self, grant_id: str, scopes: tuple[str, ...], now: int) -> bool:
        """Take scopes away from a grant: what is in `scopes` may remain, nothing is added.

        Its tokens keep their own record; whoever reads one intersects its scopes with its grant's.
        False if there is no such live grant.
        """

    async def revoke_grant(self, grant_id: str, now: int) -> bool:
        """End a grant and everything it gave; False if it was unknown or ended already."""

    async def revoke_grants(self, subject: str, now: int) -> int:
        """End every grant of a person; how many lived."""

    # How grants are used

    async def count_grants(self, now: int) -> int | None:
        """How many live grants there are, a minute's expiries more or less; None: costs too much.

        Asked again and again by whoever watches the server, so that it must not make others wait.
        """

    async def record_uses(self, uses: Iterable[Use]) -> None:
        """Add to what is counted: `calls` and `calls_on_day` are increments.

        A later `day` starts `calls_on_day` anew; an earlier one only adds to `calls`. Uses of
        unknown grants are let go.
        """

    async def find_uses(self, subject: str) -> Sequence[Use]:
        """The uses of a person's grants that are still remembered, revoked ones too."""

    # Clients that are shut out

    async def ban_client(self, client_id: str, ban: Ban) -> None:
        """Shut a client out: its grants end, none can be added. A second ban replaces the first."""

    async def unban_client(self, digest: Digest) -> bool:
        """Let a client in again; what ended stays ended. False if it was not banned."""

    async def find_ban(self, digest: Digest) -> Ban | None:
        """The ban of the client whose `client_id` has this digest."""

    async def list_bans(self) -> Sequence[Ban]:
        """Every ban, newest first."""

    async def list_clients(self, now: int) -> Sequence[tuple[str, str, int]]:
        """`client_id`, name and number of live grants of every client that holds one."""

    # What happened

    async def add_event(self, event: Event, alike: Collection[str], most: int) -> None:
        """Remember an event for its subject; one that is nobody's is forgotten.

        Of this person's events of the kinds in `alike` only the newest `most` stay remembered.
        """

    async def list_events(self, subject: str) -> Sequence[Event]:
        """A person's remembered events, newest first."""
