"""A hypothesis state machine: whatever is done to the server, in whatever order, the model agrees.

The server is asked as clients ask it, by forms to its endpoints; only a person's yes, the
operator's commands and the passing of time are done to it directly.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from starlette.applications import Starlette

from auth.app import create_server
from auth.authorization_requests import AuthorizationRequest, RedirectionEndpoint
from auth.clients import open_client_id, seal_client
from auth.consents import give_code
from auth.credentials import digest
from auth.errors import AuthorizationError
from auth.failures import exception_handlers
from auth.models import Client, Grant, Identity
from auth.pkce import challenge_of
from auth.routes import routes
from auth.store import Store
from combined_app import verify_token
from tests.asking import Reply, ask
from tests.clock import Clock
from tests.kit import ISSUER, REDIRECT_URI, RESOURCE, VERIFIER, new_settings
from tests.model import (
    ACCESS_TTL,
    CODE_TTL,
    DAY,
    GRACE,
    IDLE_TTL,
    LIFE,
    Family,
    Model,
    Outcome,
    Scopes,
)
from tests.store_records import new_account, new_ban

Answer = TypeVar("Answer")

PEOPLE = ("ada", "bob")
CLIENTS = ("one", "two")
SCOPES = ("user", "user:write", "files")
RESOURCE_SERVER = {"client_id": "resource server", "client_secret": "a secret of the tests"}
SETTINGS = new_settings(
    scopes=SCOPES,
    token_limit="1000000/second",
    token_lookup_limit="1000000/second",
    introspection_client_id=RESOURCE_SERVER["client_id"],
    introspection_client_secret=RESOURCE_SERVER["client_secret"],
)
SERVER = create_server(SETTINGS)

people = st.sampled_from(PEOPLE)
clients = st.sampled_from(CLIENTS)
some_scopes = st.sampled_from([SCOPES, SCOPES[:2], SCOPES[1:], SCOPES[:1], SCOPES[2:]])
# On both sides of every border that the rules draw, and small steps between.
steps = st.sampled_from(
    [
        *(1, 1, 30, CODE_TTL - 1, CODE_TTL, GRACE - 1, GRACE, GRACE + 1),
        *(ACCESS_TTL - 1, ACCESS_TTL, DAY, IDLE_TTL - 1, IDLE_TTL),
    ]
)
faults = st.sampled_from([*[None] * 9, "client", "verifier", "redirect_uri", "resource"])
times = st.sampled_from([1, 1, 1, 2, 3])

ENDINGS = ("revoke", "revoke all", "change password", "disable", "enable", "ban", "unban")


@dataclass(frozen=True, slots=True)
class Backend:
    """A store that can be emptied and, if it outlives its process, opened anew on what it held."""

    new_store: Callable[[], Store]
    empty: Callable[[], None] = lambda: None
    survives_restart: bool = True


@dataclass(eq=False, slots=True)
class Held:
    """What a client holds of one family: its code, and the pairs of tokens it was given."""

    family: Family
    grant_id: str
    code: str
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def refresh_token(self, number: int) -> str:
        """The refresh token of an answer."""
        return self.pairs[number - 1][1]


class Interleaving:
    """A store that lets every other request in before each of its steps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)

        async def step(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(0)
            return await verb(*args, **options)

        return step


class Machine(RuleBasedStateMachine):
    """The server on one backend, beside the model."""

    held = Bundle("held")

    def __init__(self, backend: Backend, runner: asyncio.Runner) -> None:
        super().__init__()
        self.backend = backend
        self.runner = runner
        self.clock = Clock()
        self.purged_at = self.clock()
        self.model = Model()
        self.all: list[Held] = []
        self.looked_at = 0
        self.clients = {name: register(name) for name in CLIENTS}
        backend.empty()
        self.open()
        for person in PEOPLE:
            assert self.run(self.store.add_account(new_account(person)))

    def open(self) -> None:
        self.store = self.backend.new_store()
        self.run(self.store.open())
        store: Any = Interleaving(self.store)
        self.server = replace(SERVER, store=store, clock=self.clock)
        self.app = Starlette(
            routes=routes(self.server), exception_handlers=exception_handlers(self.server)
        )

    def run(self, act: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(act)

    def ask(self, path: str, *forms: dict[str, str]) -> list[Reply]:
        """Post forms to an endpoint, all at once."""

        async def at_once() -> list[Reply]:
            return await asyncio.gather(*(ask(self.app, path, form) for form in forms))

        return self.run(at_once())

    async def give_code(self, person: str, client: str, scopes: Scopes) -> tuple[str, Grant]:
        """What a person's yes on the consent page gives."""
        redirection = RedirectionEndpoint(self.clients[client], REDIRECT_URI, None, ISSUER)
        asked = AuthorizationRequest(
            {}, redirection, scopes, RESOURCE, challenge_of(VERIFIER), frozenset()
        )
        return await give_code(self.server, new_account(person), asked, scopes)

    # What clients do

    @rule(target=held, person=people, client=clients, scopes=some_scopes, is_quick=st.booleans())
    def allow(self, person: str, client: str, scopes: Scopes, is_quick: bool) -> Any:
        """A person says yes; most clients exchange the code at once."""
        family = self.model.allow(person, client, scopes, self.clock())
        try:
            code, grant = self.run(self.give_code(person, client, scopes))
        except AuthorizationError:
            assert family is None, "a yes was refused"
            return multiple()
        assert family is not None, "a yes was taken of whom was shut out"
        held = Held(family, grant.grant_id, code)
        self.all.append(held)
        if is_quick:
            self.exchange(held, None, 1)
        return held

    @rule(held=held, fault=faults, times=times)
    def exchange(self, held: Held, fault: str | None, times: int) -> None:
        """A code, whether it is new, old or used; several times at once is a race."""
        form = {
            "grant_type": "authorization_code",
            "code": held.code,
            "redirect_uri": REDIRECT_URI + "/" * (fault == "redirect_uri"),
            "code_verifier": VERIFIER + "x" * (fault == "verifier"),
            "resource": RESOURCE + "/other" * (fault == "resource"),
        }

        def expected() -> Outcome:
            is_proved = fault in {None, "resource"}
            return held.family.exchange(
                self.clock(), is_proved=is_proved, is_for_us=fault != "resource"
            )

        self.request_tokens(held, form, expected, fault, times)

    @rule(
        held=held,
        back=st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3]),
        asked=st.just(()) | some_scopes,
        fault=faults,
        times=times,
    )
    def refresh(
        self, held: Held, back: int = 0, asked: Scopes = (), fault: str | None = None, times: int = 1
    ) -> None:
        """The newest refresh token, or one so many generations older."""
        number = held.family.newest - back
        if number < 1:
            return
        form = {
            "grant_type": "refresh_token",
            "refresh_token": held.refresh_token(number),
            "scope": " ".join(asked),
            "resource": RESOURCE + "/other" * (fault == "resource"),
        }

        def expected() -> Outcome:
            return held.family.refresh(
                number,
                self.clock(),
                is_own=fault != "client",
                asked=asked,
                is_for_us=fault != "resource",
            )

        self.request_tokens(held, form, expected, fault, times)

    def request_tokens(
        self,
        held: Held,
        form: dict[str, str],
        expected: Callable[[], Outcome],
        fault: str | None,
        times: int,
    ) -> None:
        client = self.presenter(held, fault)
        form |= {"client_id": self.clients[client].client_id}
        replies = self.ask("/oauth/token", *[form] * times)
        # At once or one after the other: those who lose a race are late.
        for reply in sorted(replies, key=lambda reply: reply.status):
            self.agree(held, "invalid_client" if client in self.model.banned else expected(), reply)

    def presenter(self, held: Held, fault: str | None) -> str:
        (other,) = set(CLIENTS) - {held.family.client}
        return other if fault == "client" else held.family.client

    def agree(self, held: Held, outcome: Outcome, reply: Reply) -> None:
        """The answer is the one expected: an error, new tokens, or the same as before."""
        if isinstance(outcome, str) or reply.status != 200:
            assert (reply.error, reply.status == 401) == (outcome, outcome == "invalid_client")
            return
        family, members = held.family, reply.members
        pair = members["access_token"], members["refresh_token"]
        assert members["scope"].split() == list(family.answers[outcome - 1].scopes)
        assert members["expires_in"] == family.access_token_ends_at(outcome) - self.clock()
        if outcome > len(held.pairs):
            given = {token for held in self.all for pair in held.pairs for token in pair}
            assert given.isdisjoint(pair)
            held.pairs.append(pair)
        assert held.pairs[outcome - 1] == pair

    @rule(held=held, back=st.integers(0, 2), kind=st.integers(0, 1), fault=faults)
    def revoke(self, held: Held, back: int, kind: int, fault: str | None) -> None:
        """A client revokes a token of its own, or tries to revoke one of another's (RFC 7009)."""
        number = held.family.newest - back
        if number < 1:
            return
        client = self.presenter(held, fault)
        form = {"client_id": self.clients[client].client_id, "token": held.pairs[number - 1][kind]}
        (reply,) = self.ask("/oauth/revoke", form)
        if client in self.model.banned:
            assert reply.error == "invalid_client"
            return
        assert (reply.status, reply.body) == (200, b"")
        if fault == "client":
            return
        if kind:
            held.family.revoke(self.clock())
        else:
            held.family.revoke_access_token(number, self.clock())

    @rule(held=held)
    def refresh_while_it_is_revoked(self, held: Held) -> None:
        """Whoever is first, nothing of the family works afterwards."""
        family = held.family
        if family.newest == 0 or family.client in self.model.banned:
            return
        client_id, token = self.clients[family.client].client_id, held.refresh_token(family.newest)
        refreshing = {"grant_type": "refresh_token", "refresh_token": token}

        async def at_once() -> tuple[Reply, Reply]:
            return await asyncio.gather(
                ask(self.app, "/oauth/token", refreshing | {"client_id": client_id}),
                ask(self.app, "/oauth/revoke", {"client_id": client_id, "token": token}),
            )

        refreshed, revoked = self.run(at_once())
        assert revoked.status == 200
        if refreshed.status != 200:
            family.revoke(self.clock())
        outcome = family.refresh(
            family.newest, self.clock(), is_own=True, asked=(), is_for_us=True
        )
        self.agree(held, outcome, refreshed)
        family.revoke(self.clock())

    # What people and the operator do

    @rule(held=held, scopes=some_scopes)
    def narrow(self, held: Held, scopes: Scopes) -> None:
        held.family.narrow(scopes, self.clock())
        self.run(self.store.narrow_grant(held.grant_id, scopes, self.clock()))

    @rule(held=held, act=st.sampled_from(ENDINGS))
    def end(self, held: Held, act: str) -> None:
        """Somebody is shut out or let in again, or takes back what they allowed."""
        person, client, now = held.family.person, held.family.client, self.clock()
        client_id = self.clients[client].client_id
        if act == "revoke":
            held.family.revoke(now)
            self.run(self.store.revoke_grant(held.grant_id, now))
        elif act == "revoke all":
            self.model.end_person(person)
            self.run(self.store.revoke_grants(person, now))
        elif act == "change password":
            self.model.end_person(person)
            self.run(self.store.change_password(person, "another hash", now))
        elif act == "disable":
            self.model.end_person(person)
            self.model.disabled.add(person)
            self.run(self.store.disable_account(person, now))
        elif act == "enable":
            self.model.disabled.discard(person)
            self.run(self.store.enable_account(person))
        elif act == "ban":
            self.model.end_client(client)
            self.model.banned.add(client)
            self.run(self.store.ban_client(client_id, new_ban(client_id, banned_at=now)))
        else:
            self.model.banned.discard(client)
            self.run(self.store.unban_client(digest(client_id)))

    # What happens by itself

    @rule(seconds=steps)
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def set_clock_back(self, seconds: int) -> None:
        """Not to before the last purge: what is forgotten then could have been asked for again."""
        self.clock.advance(-min(seconds, self.clock() - self.purged_at))

    @rule(limit=st.sampled_from([1, 1000]))
    def purge(self, limit: int) -> None:
        self.purged_at = self.clock()
        self.run(self.store.purge(self.clock(), limit))

    @precondition(lambda self: self.backend.survives_restart)
    @rule()
    def restart(self) -> None:
        self.run(self.store.close())
        self.open()

    # What chance would hardly ever do

    @rule(held=held)
    def refresh_to_the_end(self, held: Held) -> None:
        """However often it is refreshed, a family ends ninety days after the person's yes."""
        while held.family.lives(self.clock()) and held.family.newest:
            self.clock.advance(min(IDLE_TTL - DAY, held.family.born_at + LIFE - 60 - self.clock()) or 60)
            self.refresh(held)
            self.agree_on(held)

    @rule(held=held, times=st.integers(2, 3))
    def replay_an_ancestor(self, held: Held, times: int) -> None:
        """A refresh token whose successor was used is stolen, however quickly that went."""
        for _ in range(times):
            self.refresh(held)
        self.refresh(held, back=times)

    @rule(held=held, scopes=some_scopes)
    def narrow_then_widen(self, held: Held, scopes: Scopes) -> None:
        """What was taken away does not come back by asking for it."""
        before = held.family.scopes
        self.narrow(held, scopes)
        self.narrow(held, SCOPES)
        self.refresh(held, asked=before)
        self.refresh(held)

    # What must hold after each step

    @invariant()
    def tokens_work_as_the_model_says(self) -> None:
        """One family a step, in turn: the step may have touched any of them."""
        if self.all:
            self.looked_at += 1
            self.agree_on(self.all[self.looked_at % len(self.all)])

    def agree_on(self, held: Held) -> None:
        """The resource server takes what it should, and introspection tells of what works."""
        now = self.clock()
        for number, (access_token, _) in enumerate(held.pairs, start=1):
            verified = self.run(verify_token(self.server, access_token))
            scopes = held.family.accepts(number, now)
            assert (verified and tuple(verified.scopes)) == scopes
            assert not verified or (verified.subject, verified.resource) == (held.family.person, RESOURCE)

    def teardown(self) -> None:
        for held in self.all:
            self.agree_on(held)
        self.run(self.store.close())


def register(name: str) -> Client:
    """A public client with a sealed id."""
    client = Client("", name, (REDIRECT_URI,), Identity.SELF_DECLARED)
    registered = open_client_id(SERVER.keys, seal_client(SERVER.keys, client))
    assert registered is not None
    return registered
