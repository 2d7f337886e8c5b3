"""A hypothesis state machine: whatever is done to the server, in whatever order, the model agrees.

The server is asked as clients ask it, by forms to its endpoints; only a person's yes, the
operator's commands and the passing of time are done to it directly.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from auth.credentials import digest
from auth.errors import AuthorizationError
from tests.asking import Reply
from tests.driven_server import CLIENTS, PEOPLE, PUBLIC, SCOPES, Backend, DrivenServer, Form
from tests.kit import REDIRECT_URI, RESOURCE, VERIFIER
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
from tests.store_records import new_ban

people = st.sampled_from(PEOPLE)
clients = st.sampled_from(CLIENTS)
some_scopes = st.sampled_from([SCOPES, SCOPES[:2], SCOPES[1:], SCOPES[:1], SCOPES[2:]])
FAULTS = ("client", "verifier", "redirect_uri", "resource")
# Not too often, because a request with a fault changes nothing.
faults = st.sampled_from([*[None] * 8, *FAULTS])
times = st.sampled_from([1, 1, 1, 2, 3])
# On both sides of every border that the rules draw, and small steps between.
steps = st.sampled_from(
    [
        *(1, 1, 1, 30, 30, CODE_TTL - 1, CODE_TTL, GRACE - 1, GRACE, GRACE + 1),
        *(ACCESS_TTL - 1, ACCESS_TTL, DAY, IDLE_TTL - 1, IDLE_TTL),
    ]
)
endings = st.sampled_from(["revoke", "revoke all", "change password", "disable", "ban"])


@dataclass(eq=False, slots=True)
class Held:
    """What a client holds of one family: its code, and the pairs of tokens it was given."""

    family: Family
    grant_id: str
    code: str
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"held[{self.grant_id}]"


# Mostly one that lives: to a dead one little can happen.
any_held = st.runner().flatmap(
    lambda machine: st.sampled_from([*machine.all, *machine.living() * 3])
)


class Machine(RuleBasedStateMachine):
    """The server on one backend, beside the model."""

    def __init__(self, backend: Backend, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.persists = backend.persists
        self.server = DrivenServer(backend, loop)
        self.clock = self.server.clock
        self.purged_at = self.clock()
        self.model = Model()
        self.all: list[Held] = []
        self.looked_at = 0
        self.somebody_new()

    def living(self) -> list[Held]:
        """What may still be good for something."""
        return [held for held in self.all if held.family.lives(self.clock())]

    # What clients do

    @rule(person=people, client=clients, scopes=some_scopes, is_quick=st.booleans())
    def allow(self, person: str, client: str, scopes: Scopes, *, is_quick: bool) -> None:
        """A person says yes; many clients exchange the code at once."""
        family = self.model.allow(person, client, scopes, self.clock())
        try:
            code, grant = self.server.allow(person, client, scopes)
        except AuthorizationError:
            assert family is None, "a yes was refused"
            return
        assert family is not None, "somebody who is shut out was let in"
        held = Held(family, grant.grant_id, code)
        self.all.append(held)
        if is_quick:
            self.exchange(held)

    @rule(held=any_held, fault=faults, times=times)
    def exchange(self, held: Held, fault: str | None = None, times: int = 1) -> None:
        """A code, whether it is new, old or used; several times at once is a race."""
        form = {
            "grant_type": "authorization_code",
            "code": held.code,
            "redirect_uri": REDIRECT_URI + "/" * (fault == "redirect_uri"),
            "code_verifier": VERIFIER + "x" * (fault == "verifier"),
        }

        def expected(now: int) -> Outcome:
            is_proved = fault in {None, "resource"}
            return held.family.exchange(now, is_proved=is_proved, is_for_us=fault != "resource")

        self.request_tokens(held, form, expected, fault, times)

    @rule(
        held=any_held,
        back=st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3]),
        asked=st.just(()) | some_scopes,
        fault=faults,
        times=times,
    )
    def refresh(
        self,
        held: Held,
        back: int = 0,
        asked: Scopes = (),
        fault: str | None = None,
        times: int = 1,
    ) -> None:
        """The newest refresh token, or one so many generations older."""
        number = held.family.newest - back
        if number < 1:
            return
        form = {
            "grant_type": "refresh_token",
            "refresh_token": held.pairs[number - 1][1],
            "scope": " ".join(asked),
        }

        def expected(now: int) -> Outcome:
            is_own, is_for_us = fault != "client", fault != "resource"
            return held.family.refresh(number, now, is_own=is_own, asked=asked, is_for_us=is_for_us)

        self.request_tokens(held, form, expected, fault, times)

    def request_tokens(
        self,
        held: Held,
        form: Form,
        expected: Callable[[int], Outcome],
        fault: str | None,
        times: int,
    ) -> None:
        client = presenter(held, fault)
        form |= self.server.credentials(client)
        form |= {"resource": RESOURCE + "/other" * (fault == "resource")}
        replies = self.server.ask(*[("token", form)] * times)
        # Asked at once they are answered as if they had come one after the other.
        for reply in sorted(replies, key=lambda reply: reply.status):
            is_banned = client in self.model.banned
            self.agree(held, "invalid_client" if is_banned else expected(self.clock()), reply)

    def agree(self, held: Held, outcome: Outcome, reply: Reply) -> None:
        """The answer is the one expected: an error, new tokens, or the same as before."""
        if isinstance(outcome, str) or reply.error:
            assert reply.error == outcome
            return
        family, members = held.family, reply.members
        pair = members["access_token"], members["refresh_token"]
        scopes = [scope for scope in family.answers[outcome - 1].scopes if scope in family.scopes]
        assert members["scope"].split() == scopes
        assert members["expires_in"] == family.access_token_ends_at(outcome) - self.clock()
        if outcome > len(held.pairs):
            given = {token for other in self.all for pair in other.pairs for token in pair}
            assert given.isdisjoint(pair)
            held.pairs.append(pair)
        assert held.pairs[outcome - 1] == pair

    @rule(held=any_held, back=st.integers(0, 2), kind=st.integers(0, 1))
    def revoke(self, held: Held, back: int, kind: int) -> None:
        """A client revokes a token of its own, after another could not (RFC 7009)."""
        for _ in range(back):
            self.refresh(held)
        number = held.family.newest - back
        if number < 1:
            return
        token = {"token": held.pairs[number - 1][kind]}
        for fault in ("client", None):
            client = presenter(held, fault)
            if fault is None:
                self.agree_on(held)
            (reply,) = self.server.ask(("revoke", self.server.credentials(client) | token))
            assert reply.error == ("invalid_client" if client in self.model.banned else None)
        if presenter(held, None) in self.model.banned:
            return
        if kind:
            held.family.revoke(self.clock())
        else:
            held.family.revoke_access_token(number, self.clock())

    @rule(held=any_held)
    def refresh_while_it_is_revoked(self, held: Held) -> None:
        """Whoever is first, nothing of the family works afterwards."""
        family, now = held.family, self.clock()
        if family.newest == 0 or family.client in self.model.banned:
            return
        credentials, token = self.server.credentials(family.client), held.pairs[-1][1]
        form = credentials | {"grant_type": "refresh_token", "refresh_token": token}
        refreshed, revoked = self.server.ask(
            ("token", form), ("revoke", credentials | {"token": token})
        )
        assert revoked.status == 200
        if refreshed.error:
            family.revoke(now)
        outcome = family.refresh(family.newest, now, is_own=True, asked=(), is_for_us=True)
        self.agree(held, outcome, refreshed)
        family.revoke(now)

    # What people and the operator do

    @rule(held=any_held, scopes=some_scopes)
    def narrow(self, held: Held, scopes: Scopes) -> None:
        """A person takes scopes away."""
        held.family.narrow(scopes, self.clock())
        self.server.run(self.server.store.narrow_grant(held.grant_id, scopes, self.clock()))

    @rule(held=any_held, ending=endings)
    def end(self, held: Held, ending: str) -> None:
        """Somebody takes back what they allowed, or is shut out."""
        store, now, family = self.server.store, self.clock(), held.family
        person, client_id = family.person, self.server.client_id(family.client)
        acts: dict[str, Any] = {
            "revoke": lambda: store.revoke_grant(held.grant_id, now),
            "revoke all": lambda: store.revoke_grants(person, now),
            "change password": lambda: store.change_password(person, "another hash", now),
            "disable": lambda: store.disable_account(person, now),
            "ban": lambda: store.ban_client(client_id, new_ban(client_id, banned_at=now)),
        }
        self.server.run(acts[ending]())
        self.model.end(family, ending)

    @precondition(lambda machine: machine.model.disabled or machine.model.banned)
    @rule()
    def let_in_again(self) -> None:
        """Whoever was shut out is let in again; what ended stays ended."""
        for person in self.model.disabled:
            self.server.run(self.server.store.enable_account(person))
        for client in self.model.banned:
            self.server.run(self.server.store.unban_client(digest(self.server.client_id(client))))
        self.model.disabled.clear()
        self.model.banned.clear()

    # What happens by itself

    @rule(seconds=steps)
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def set_clock_back(self, seconds: int) -> None:
        """Not to before the last purge, which forgot what nobody could ask for any more."""
        self.clock.advance(-min(seconds, self.clock() - self.purged_at))

    @rule(limit=st.sampled_from([1, 1000]))
    def purge(self, limit: int) -> None:
        """Forget what is over, or a part of it."""
        self.purged_at = self.clock()
        self.server.run(self.server.store.purge(self.clock(), limit))

    @precondition(lambda machine: machine.persists)
    @rule()
    def restart(self) -> None:
        """Everything that was acknowledged is still there."""
        self.server.restart()

    # What chance would hardly ever do

    @rule(held=any_held)
    def refresh_to_the_end(self, held: Held) -> None:
        """However often it is refreshed, a family ends ninety days after the person's yes."""
        end = held.family.born_at + LIFE
        while held.family.newest and held.family.lives(self.clock()):
            last = end - 60
            now = self.clock()
            self.clock.advance(min(IDLE_TTL - DAY, last - now) if now < last else end - now)
            self.refresh(held)
            self.agree_on(held)

    @rule(held=any_held, seconds=st.sampled_from([ACCESS_TTL, IDLE_TTL]), early=st.integers(0, 1))
    def leave_alone(self, held: Held, seconds: int, early: int) -> None:
        """A token works until its last second."""
        self.refresh(held)
        self.clock.advance(seconds - early)
        self.agree_on(held)
        self.refresh(held)

    @rule(held=any_held, ending=endings)
    def end_while_the_clock_is_fast(self, held: Held, ending: str) -> None:
        """What seemed to have expired, but had not, was ended all the same."""
        seconds = max(0, held.family.ends_at() - self.clock())
        self.clock.advance(seconds)
        self.end(held, ending)
        self.clock.advance(-seconds)
        self.agree_on(held)

    @rule(held=any_held, times=st.integers(2, 3))
    def replay_an_ancestor(self, held: Held, times: int) -> None:
        """A refresh token whose successor was used is stolen, however quickly that went."""
        for _ in range(times):
            self.refresh(held)
        self.refresh(held, back=times)

    @rule(held=any_held, seconds=st.sampled_from([0, GRACE - 1, GRACE]), asked=some_scopes)
    def repeat_a_refresh(self, held: Held, seconds: int, asked: Scopes) -> None:
        """A stranger tries; the client may ask for the same again within two minutes."""
        for fault in ("client", "resource"):
            self.refresh(held, fault=fault)
        self.refresh(held)
        self.clock.advance(seconds)
        self.refresh(held, back=1, asked=asked)
        self.refresh(held, back=1)

    @rule(
        person=people,
        client=clients,
        ending=st.none() | endings,
        times=times,
        early=st.integers(0, 1),
    )
    def follow_a_code(
        self,
        person: str,
        client: str,
        ending: str | None,
        times: int,
        early: int,
    ) -> None:
        """A stranger tries it, its person thinks again, its client uses it, again, and too late."""
        self.allow(person, client, SCOPES, is_quick=False)
        held = self.all[-1]
        for fault in FAULTS:
            self.exchange(held, fault)
        if ending:
            self.end(held, ending)
            self.allow(person, client, SCOPES, is_quick=False)
        self.exchange(held, times=times)
        self.clock.advance(max(0, held.family.born_at + CODE_TTL - early - self.clock()))
        self.exchange(held)

    @rule(held=any_held, scopes=some_scopes)
    def narrow_then_widen(self, held: Held, scopes: Scopes) -> None:
        """What was taken away does not come back by asking for it."""
        before = held.family.scopes
        self.narrow(held, scopes)
        self.narrow(held, SCOPES)
        self.refresh(held, asked=before)
        self.refresh(held)

    # What must hold

    @invariant()
    def tokens_work_as_the_model_says(self) -> None:
        """After each step, one family in turn: the step may have touched any of them."""
        self.looked_at += 1
        self.agree_on(self.all[self.looked_at % len(self.all)])
        # No step is wasted on a world in which nothing works any more.
        if not self.living():
            self.somebody_new()

    def somebody_new(self) -> None:
        """Whoever is not shut out allows something to a client that is not; if need be all are."""
        if self.model.disabled >= {*PEOPLE} or self.model.banned >= {*CLIENTS}:
            self.let_in_again()
        (person, *_), (client, *_) = (
            [name for name in names if name not in shut_out]
            for names, shut_out in ((PEOPLE, self.model.disabled), (CLIENTS, self.model.banned))
        )
        self.allow(person, client, SCOPES, is_quick=True)

    def agree_on(self, held: Held) -> None:
        """The MCP endpoint takes the access tokens that it should, for what it should."""
        family, now = held.family, self.clock()
        good_for = [family.accepts(number, now) for number in range(1, family.newest + 1)]
        expected = [None if scopes is None else (family.person, scopes) for scopes in good_for]
        assert self.server.verify(access_token for access_token, _ in held.pairs) == expected

    @rule(held=any_held, client=st.none() | clients)
    def introspect(self, held: Held, client: str | None = None) -> None:
        """Each token is told of to its client, access tokens to the resource server too."""
        tokens = [token for pair in held.pairs for token in pair]
        replies = self.server.introspect(tokens, client)
        for number in range(held.family.newest):
            pair = replies[2 * number : 2 * number + 2]
            access, refresh = held.family.good_for(number + 1, self.clock())
            # A refresh token is its client's alone: no resource server may take it for a token.
            for reply, scopes in zip(pair, (access, refresh if client else None), strict=True):
                if client == PUBLIC or client in self.model.banned:
                    assert reply.error == "invalid_client"
                elif scopes is None or client not in {None, held.family.client}:
                    assert reply.members == {"active": False}
                else:
                    assert reply.members["active"] is True
                    assert reply.members["scope"].split() == list(scopes)

    @rule(held=any_held)
    def ask_about_what_was_spent(self, held: Held) -> None:
        """A client is told that the refresh token it has just used is active no more."""
        self.refresh(held)
        self.refresh(held)
        self.introspect(held, held.family.client)

    def teardown(self) -> None:
        """At the end of a run."""
        try:
            self.look_at_everything()
        finally:
            self.server.close()

    def look_at_everything(self) -> None:
        """Everything once more; then all time passes, and nothing is left that could come back."""
        for held in self.all:
            self.agree_on(held)
            self.introspect(held)
        dump = self.server.dump()
        for held in self.all:
            for secret in (held.code, *(token for pair in held.pairs for token in pair)):
                assert secret.encode() not in dump
        store, end = self.server.store, self.clock() + LIFE + DAY
        self.server.run(store.purge(end, 1000))
        assert self.server.run(store.purge(end, 1000)) == 0
        for held in self.all:
            if held.family.is_ended:
                self.agree_on(held)


def search(backend: Backend, budget: settings | None = None) -> None:
    """Drive a server on this backend as often as the settings say; fails if the model disagrees."""
    with asyncio.Runner() as runner:

        class MachineOnBackend(Machine):
            def __init__(self) -> None:
                super().__init__(backend, runner.get_loop())

        run_state_machine_as_test(MachineOnBackend, settings=budget)


def presenter(held: Held, fault: str | None) -> str:
    """The client that makes a request: the one it was given to, or by a fault the other."""
    (other,) = set(CLIENTS) - {held.family.client}
    return other if fault == "client" else held.family.client
