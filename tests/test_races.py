"""What happens when something changes between two steps of ours: the later word counts."""

import json
import runpy
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.accounts import Passwords
from auth.app import create_server, running
from auth.models import Account, Code, Digest, Grant, Session, Use
from auth.store import Store, StoreUnavailable
from auth.store.memory import MemoryStore
from tests.clock import Clock
from tests.kit import (
    PASSWORD,
    authorization_request,
    error_of,
    new_settings,
    redirected,
    serving,
)
from tests.test_known_clients import DOCUMENT

Act = Callable[[Store, Account], Awaitable[None]]
NEW_PASSWORD = "a wholly new password"


class Forgetful(MemoryStore):
    """A store that forgets people, or refuses their sessions, from one moment on."""

    has_forgotten = False

    async def find_account(self, subject: str) -> Account | None:
        return None if self.has_forgotten else await super().find_account(subject)

    async def add_session(self, session: Session, verified: str) -> bool:
        return not self.has_forgotten and await super().add_session(session, verified)


async def test_a_session_whose_person_is_gone_is_no_session(clock: Clock) -> None:
    store = Forgetful()
    async with serving(clock, store=store) as world:
        browser = await world.signed_in()
        store.has_forgotten = True
        assert (await browser.get("/oauth/connections")).status_code == 303


async def test_who_is_disabled_while_signing_in_is_not_signed_in(clock: Clock) -> None:
    store = Forgetful()
    async with serving(clock, store=store) as world:
        store.has_forgotten = True
        page = await world.browser().sign_in()
        assert page.status_code == 400


class Meanwhile(MemoryStore):
    """A store in which something happens once, between what was looked up and what is kept."""

    act: Act | None = None

    async def add_session(self, session: Session, verified: str) -> bool:
        await self._act()
        return await super().add_session(session, verified)

    async def replace_password_hash(self, subject: str, old: str, new: str) -> bool:
        await self._act()
        return await super().replace_password_hash(subject, old, new)

    async def find_account(self, subject: str) -> Account | None:
        account = await super().find_account(subject)
        await self._act()
        return account

    async def find_code(self, digest: Digest, now: int) -> tuple[Code, Grant] | None:
        found = await super().find_code(digest, now)
        await self._act()
        return found

    async def find_grant(self, grant_id: str, now: int) -> Grant | None:
        found = await super().find_grant(grant_id, now)
        await self._act()
        return found

    async def _act(self) -> None:
        act, self.act = self.act, None
        if act is not None:
            await act(self, (await self.list_accounts())[0])


async def set_password(store: Store, account: Account) -> None:
    """The operator gives the person another password."""
    hashed = await Passwords(8, 1, 50).hash(NEW_PASSWORD)
    assert await store.change_password(account.subject, hashed, account.created_at)


async def shut_out_and_let_in(store: Store, account: Account) -> None:
    """The operator ends what the person has."""
    assert await store.disable_account(account.subject, account.created_at)
    assert await store.enable_account(account.subject)


async def sign_out_everywhere(store: Store, account: Account) -> None:
    """The person signs out of every browser, from another one."""
    await store.revoke_sessions(account.subject)


async def test_the_old_password_gives_no_session_that_outlives_it(clock: Clock) -> None:
    store = Meanwhile()
    async with serving(clock, store=store) as world:
        browser = world.browser()
        await browser.get("/oauth/sign-in")
        store.act = set_password
        assert (await browser.sign_in()).status_code == 400
        assert (await browser.get("/oauth/connections")).status_code == 303
        assert (await world.browser().sign_in(password=NEW_PASSWORD)).status_code == 303


@pytest.mark.parametrize("act", [set_password, shut_out_and_let_in, sign_out_everywhere])
async def test_a_consent_does_not_outlive_the_session_in_which_it_was_given(
    clock: Clock, act: Act
) -> None:
    store = Meanwhile()
    async with serving(clock, store=store) as world:
        client, browser = await world.register(), await world.signed_in()
        await browser.get("/oauth/authorize", params=authorization_request(client))
        store.act = act
        assert redirected(await browser.decide("allow", "user"))["error"] == "access_denied"


async def test_a_code_whose_grant_ends_while_it_is_exchanged_was_not_replayed(clock: Clock) -> None:
    store = Meanwhile()
    async with serving(clock, store=store) as world:
        client = await world.register()
        code = await world.code(client)
        store.act = shut_out_and_let_in
        assert error_of(await world.exchange(client, code)) == (400, "invalid_grant")
        (account,) = await store.list_accounts()
        events = await store.list_events(account.subject)
        assert "code_replayed" not in {event.kind for event in events}


async def test_a_refresh_token_whose_grant_ends_while_it_is_used_was_not_reused(
    clock: Clock,
) -> None:
    store = Meanwhile()
    async with serving(clock, store=store) as world:
        client = await world.register()
        tokens = await world.tokens(client)
        store.act = shut_out_and_let_in
        response = await world.refresh(client, tokens["refresh_token"])
        assert error_of(response) == (400, "invalid_grant")
        (account,) = await store.list_accounts()
        events = await store.list_events(account.subject)
        assert "refresh_token_reused" not in {event.kind for event in events}


async def test_a_person_does_not_overwrite_the_password_that_the_operator_just_set(
    clock: Clock,
) -> None:
    store = Meanwhile()
    async with serving(clock, store=store) as world:
        browser = await world.signed_in()
        await browser.get("/oauth/password")
        names = ("new_password", "new_password_again")
        form = dict.fromkeys(names, "a password of the thief's") | {"current_password": PASSWORD}
        store.act = set_password
        page = await browser.post("/oauth/password", form | {"form": browser.form})
        assert page.status_code == 400
        assert (await world.browser().sign_in(password=NEW_PASSWORD)).status_code == 303


async def test_of_two_who_sign_in_while_the_hash_is_renewed_both_do(clock: Clock) -> None:
    store = Meanwhile()
    async with serving(clock, store=store) as world:
        weak = world.settings.model_copy(update={"password_iterations": 2})
    async with serving(clock, weak, store) as world:

        async def sign_in_elsewhere(*_: object) -> None:
            assert (await world.browser().sign_in()).status_code == 303

        browser = world.browser()
        await browser.get("/oauth/sign-in")
        store.act = sign_in_elsewhere
        assert (await browser.sign_in()).status_code == 303


async def test_a_store_that_is_away_at_the_end_does_not_keep_the_server(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryStore):
        async def record_uses(self, uses: Iterable[Use]) -> None:
            raise StoreUnavailable("away")

    server = create_server(new_settings(), Away(), clock)
    async with running(server):
        server.uses.note("a grant", clock())
    assert "not counted" in caplog.text


async def test_a_code_of_a_key_that_was_taken_away_gives_nothing(
    clock: Clock, tmp_path: Path
) -> None:
    pins = tmp_path / "client.json"
    pins.write_text(json.dumps(DOCUMENT))
    settings = new_settings(client_metadata_pins=pins)
    async with serving(clock, settings) as world:
        code = await world.code(DOCUMENT)
    other = (SecretStr("another key of the tests, thirty-two characters"),)
    settings = settings.model_copy(update={"secret_keys": other})
    async with serving(clock, settings, world.store) as world:
        response = await world.exchange(DOCUMENT, code)
        assert error_of(response) == (400, "invalid_grant")


@pytest.mark.parametrize("module", ["auth.accounts", "auth.clients"])
def test_the_commands_run_as_modules(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("test.db").touch()
    monkeypatch.setenv("LATCHGATE_STORE_URL", "sqlite:///test.db")
    monkeypatch.setattr(sys, "argv", [module, "list"])
    monkeypatch.delitem(sys.modules, f"{module}.__main__", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__")
    assert ended.value.code == 0
