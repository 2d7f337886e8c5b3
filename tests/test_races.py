"""What happens when something changes between two steps of ours: the later word counts."""

import json
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic import SecretStr

from auth.app import create_server, running
from auth.models import Account, Session, Use
from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from combined_app import StoredPeople
from resource_server.people import ProfileUnchanged
from tests.clock import Clock
from tests.kit import error_of, new_settings, serving
from tests.test_known_clients import DOCUMENT


class Forgetful(MemoryStore):
    """A store that forgets people, or refuses their sessions, from one moment on."""

    has_forgotten = False

    async def find_account(self, subject: str) -> Account | None:
        return None if self.has_forgotten else await super().find_account(subject)

    async def add_session(self, session: Session) -> bool:
        return not self.has_forgotten and await super().add_session(session)


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


async def test_a_person_removed_while_changing_their_profile_is_told_so(clock: Clock) -> None:
    class Removing(MemoryStore):
        async def update_profile(self, subject: str, name: str, email: str) -> Account | None:
            await self.remove_account(subject, clock())
            return None

    store = Removing()
    async with serving(clock, store=store) as world:
        people = StoredPeople()
        people.server = create_server(world.settings, store, clock)
        subject = (await store.list_accounts())[0].subject
        with pytest.raises(ProfileUnchanged):
            await people.update_profile(subject, "Ada", None)


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
    monkeypatch.setenv("LATCHGATE_STORE_URL", "sqlite:///test.db")
    monkeypatch.setattr(sys, "argv", [module, "list"])
    monkeypatch.delitem(sys.modules, f"{module}.__main__", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(module, run_name="__main__")
    assert ended.value.code == 0
