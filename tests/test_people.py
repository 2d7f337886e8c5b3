"""What the shipped tools say about the signed-in person, from real records."""

import json
from typing import Any

import pytest
from mcp import Client

from auth.app import create_server
from auth.models import Use
from auth.store import StoreUnavailable
from auth.store.memory import MemoryStore
from auth.usage import DAY, UseCounter
from combined_app import StoredPeople, note_use, verify_token
from latchgate_testing import gated
from tests.kit import World


async def call(person: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a tool."""
    structured: dict[str, Any] = (await person.call_tool(tool, arguments)).structured_content or {}
    return structured


async def read(person: Client, uri: str) -> dict[str, Any]:
    """The JSON of a resource."""
    value: dict[str, Any] = json.loads((await person.read_resource(uri)).contents[0].text)  # type: ignore[union-attr]
    return value


async def test_the_profile_is_the_persons_and_can_be_changed() -> None:
    async with gated() as gate, gate.as_user("admin", ["user", "user:write"]) as admin:
        profile = await read(admin, "user://profile")
        assert profile["username"] == "admin"
        assert profile["name"] == "Administrator"
        assert profile["roles"] == ["admin", "user"]
        await call(admin, "update_profile", name="Ada")
        await call(admin, "update_profile", email="ada@example.com")
        profile = await read(admin, "user://profile")
        assert (profile["name"], profile["email"]) == ("Ada", "ada@example.com")


async def test_the_tool_answers_about_oneself_and_nobody_else() -> None:
    async with gated() as gate, gate.as_user("alice") as alice, gate.as_user("bob"):
        own = await call(alice, "get_user_data")
        assert own["status"] == "active"
        assert own["username"] == "alice"
        assert own["last_login"] == "2027-01-15T08:00:00+00:00"
        for user_id in (own["user_id"], "alice"):
            assert await call(alice, "get_user_data", user_id=user_id) == own
        other = await call(alice, "get_user_data", user_id="bob")
        assert other["status"] == "unknown"
        assert other["error"]


async def test_the_stats_are_what_was_counted() -> None:
    async with gated() as gate, gate.as_user("alice") as alice:
        for _ in range(4):
            await call(alice, "get_user_data")
        gate.clock.advance(60)
        stats = await read(alice, "user://stats")
        assert stats["requests_today"] >= 5
        assert stats["last_active"] == "2027-01-15T08:01:00+00:00"


async def test_a_person_removed_meanwhile_changes_nothing(world: World) -> None:
    tokens = await world.tokens(await world.register(), scope="user user:write")
    people = StoredPeople()
    people.server = create_server(world.settings, world.store, world.clock)
    subject = (await world.store.list_accounts())[0].subject
    await world.store.remove_account(subject, world.clock())
    assert await people.find_profile(subject) is None
    with pytest.raises(Exception, match="no such person"):
        await people.update_profile(subject, "Ada", None)
    assert await world.calls(tokens["access_token"]) == 401


async def test_to_look_at_a_token_again_is_no_use_of_it(world: World) -> None:
    tokens = await world.tokens(await world.register())
    server = create_server(world.settings, world.store, world.clock)
    token = await verify_token(server, tokens["access_token"])
    assert token is not None
    assert await server.uses.total() == 0
    note_use(server, token)
    assert await server.uses.total() == 1


async def test_uses_are_added_up_by_day() -> None:
    class Recording(MemoryStore):
        written: tuple[Use, ...] = ()

        async def record_uses(self, uses: Any) -> None:
            self.written = tuple(uses)

    counter, store = UseCounter(), Recording()
    for now in (1, 2, DAY, DAY + 1):
        counter.note("a", now)
    counter.note("b", 3)
    await counter.write_to(store)
    assert set(store.written) == {
        Use("a", 2, 0, 2, DAY + 1),
        Use("a", 2, 1, 2, DAY + 1),
        Use("b", 1, 0, 1, 3),
    }
    store.written = ()
    await counter.write_to(store)
    assert store.written == ()
    assert await counter.total() == 5


async def test_what_the_store_refused_is_counted_again_later() -> None:
    class Away(MemoryStore):
        is_away = True
        written: tuple[Use, ...] = ()

        async def record_uses(self, uses: Any) -> None:
            if self.is_away:
                raise StoreUnavailable("away")
            self.written = tuple(uses)

    counter, store = UseCounter(), Away()
    counter.note("a", 1)
    with pytest.raises(StoreUnavailable):
        await counter.write_to(store)
    counter.note("a", 2)
    assert await counter.total() == 2
    store.is_away = False
    await counter.write_to(store)
    assert store.written == (Use("a", 2, 0, 2, 2),)
    assert await counter.total() == 2
