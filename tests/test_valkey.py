"""The Valkey store, beyond the contract: replicas, what is kept, and a server in trouble."""

import socket
import time
from asyncio import create_task, gather
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey
from valkey.asyncio import Valkey as AsyncValkey
from valkey.exceptions import ResponseError

from auth.credentials import digest, new_secret
from auth.models import Rotation, Use
from auth.store import Store, StoreUnavailable
from auth.store.valkey import ValkeyStore
from demo.start import free_port
from tests.certificates import server_tls
from tests.relay import Relay, relay_to
from tests.store_backends import opened, opened_on_valkey
from tests.store_records import (
    GRACE,
    GRANTED_UNTIL,
    NOW,
    VERIFIED,
    add_exchanged,
    add_pending,
    add_people,
    is_alive,
    is_consumed,
    new_access_token,
    new_account,
    new_ban,
    new_code,
    new_event,
    new_grant,
    new_session,
)
from tests.valkey_server import new_valkey_server

pytestmark = pytest.mark.slow

HOUR = 3600
SWEPT = {"events", "session", "sessions", "spent", "code", "token", "own"}
KEPT = {"usernames", "account", "grant", "grants", "expiring", "client", "clients", "bans"}


@pytest.fixture
async def store(valkey_url: str) -> AsyncIterator[Store]:
    async with opened_on_valkey(valkey_url) as store:
        await add_people(store, "ada", "bob")
        yield store


@pytest.fixture
def server(valkey_url: str) -> Iterator[Any]:
    """The server as its operator sees it."""
    with Valkey.from_url(valkey_url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def relay(valkey_url: str) -> AsyncIterator[Relay]:
    """A way to the server that a test can disturb."""
    async with relay_to("127.0.0.1", int(valkey_url.rpartition(":")[2])) as relay:
        yield relay


def behind(relay: Relay) -> ValkeyStore:
    return ValkeyStore(f"valkey://127.0.0.1:{relay.port}", timeout=0.4)


async def live_through_everything(store: Store) -> None:
    """At least one record of every kind."""
    await store.add_session(new_session(), VERIFIED)
    await store.spend(digest("form"), NOW + 60, NOW)
    await store.add_event(new_event(), {"sign_in"}, 50)
    await add_pending(store, "pending")
    grant = await add_exchanged(store)
    own = new_grant("own", "client:reporter", expires_at=NOW + HOUR)
    await store.add_grant(own, new_access_token(own))
    await store.record_uses([Use("grant", 1, 0, 1, NOW)])
    await store.rotate_refresh_token(
        "grant", 1, new_access_token(grant, 2), GRANTED_UNTIL, NOW, GRACE
    )
    await store.ban_client("banned", new_ban("banned"))


# Replicas


async def test_of_two_replicas_one_spends_the_code(store: Store, valkey_url: str) -> None:
    grant = await add_pending(store)
    code, access_token = new_code(grant), new_access_token(grant)
    async with opened(ValkeyStore(valkey_url)) as other:
        won = await gather(
            *(
                is_consumed(replica, code.digest, access_token, GRANTED_UNTIL, NOW)
                for _ in range(50)
                for replica in (store, other)
            )
        )
        assert sum(won) == 1
        assert not await is_alive(other, grant)


async def test_of_two_replicas_one_rotates_and_all_may_answer(
    store: Store, valkey_url: str
) -> None:
    grant = await add_exchanged(store)
    access_token = new_access_token(grant, 2)
    async with opened(ValkeyStore(valkey_url)) as other:
        rotations = await gather(
            *(
                replica.rotate_refresh_token("grant", 1, access_token, GRANTED_UNTIL, NOW, GRACE)
                for _ in range(25)
                for replica in (store, other)
            )
        )
    assert rotations.count(Rotation.ROTATED) == 1
    assert rotations.count(Rotation.REPEATED) == 49


async def test_a_revocation_is_seen_by_the_other_replica(store: Store, valkey_url: str) -> None:
    grant = await add_exchanged(store)
    async with opened(ValkeyStore(valkey_url)) as other:
        assert await is_alive(other, grant)
        await store.revoke_grant("grant", NOW)
        assert not await is_alive(other, grant)


async def test_two_prefixes_do_not_see_each_other(store: Store, valkey_url: str) -> None:
    async with opened(ValkeyStore(valkey_url, prefix="other:1:")) as other:
        assert await other.find_account("ada") is None
        assert len(await store.list_accounts()) == 2


async def test_long_lists_come_in_pages(store: Store) -> None:
    subjects = [f"person {n:04}" for n in range(501)]
    await gather(*(store.add_account(new_account(subject)) for subject in subjects))
    await gather(
        *(add_exchanged(store, subject, subject, client_id=subject) for subject in subjects)
    )
    assert [account.subject for account in await store.list_accounts()][2:] == subjects
    assert {name for name, _, _ in await store.list_clients(NOW)} == set(subjects)


# What is kept


async def test_what_expires_is_swept_up_by_the_server_and_no_sooner(
    store: Store, server: Any
) -> None:
    await live_through_everything(store)
    remaining = {key.split(":")[2]: server.ttl(key) for key in server.scan_iter("*")}
    assert set(remaining) == SWEPT | KEPT
    assert {kind for kind, seconds in remaining.items() if seconds == -1} == KEPT
    lives = {"code": 60, "spent": 60, "token": HOUR, "own": HOUR}
    lives |= {"session": 8 * HOUR, "sessions": 8 * HOUR}
    for kind, life in lives.items():
        assert life < remaining[kind] <= life + HOUR


async def test_extending_a_session_lets_the_server_keep_it_longer(
    store: Store, server: Any
) -> None:
    session = new_session()
    await store.add_session(session, VERIFIED)
    await store.extend_session(session.digest, NOW + 12 * HOUR)
    assert server.ttl(f"latchgate:1:session:{session.digest.hex()}") > 12 * HOUR
    await store.extend_session(session.digest, NOW + HOUR)
    assert server.ttl(f"latchgate:1:session:{session.digest.hex()}") > 12 * HOUR


async def test_purge_leaves_no_trace_of_grants(store: Store, server: Any) -> None:
    await live_through_everything(store)
    assert await store.purge(GRANTED_UNTIL, 1) == 1
    assert await store.purge(GRANTED_UNTIL, 10) == 2
    kinds = {key.split(":")[2] for key in server.scan_iter("*")}
    assert kinds.isdisjoint({"grant", "grants", "expiring", "client", "clients"})


async def test_what_a_client_has_too_much_for_itself_leaves_no_trace(
    store: Store, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auth.store.valkey.GRANTS_OF_A_CLIENT", 1)
    for n in range(3):
        grant = new_grant(f"grant {n}", "client:reporter", client_id="reporter")
        await store.add_grant(grant, new_access_token(grant))
    assert len(list(server.scan_iter("latchgate:1:token:*"))) == 1
    assert len(list(server.scan_iter("latchgate:1:grant:*"))) == 1
    assert server.llen("latchgate:1:own:" + digest("reporter").hex()) == 1


async def test_purge_gets_past_a_grant_that_somebody_deleted(store: Store, server: Any) -> None:
    await add_exchanged(store)
    server.delete("latchgate:1:grant:grant")
    assert await store.purge(GRANTED_UNTIL, 10) == 1
    assert await store.purge(GRANTED_UNTIL, 10) == 0


async def test_no_secret_is_stored(store: Store, server: Any) -> None:
    secrets = [new_secret("mcp_at_"), new_secret("mcp_ac_"), new_secret("session")]
    grant = await add_pending(store)
    access_token = new_access_token(grant, digest=digest(secrets[0]))
    await store.consume_code(new_code(grant).digest, access_token, GRANTED_UNTIL, NOW)
    pending = await add_pending(store, "pending")
    await store.add_grant(pending, new_code(pending, digest=digest(secrets[1])))
    await store.add_session(new_session(secrets[2]), VERIFIED)
    with Valkey.from_url(server_url(server)) as raw:
        everything = b"".join(key + (raw.dump(key) or b"") for key in raw.scan_iter("*"))
    assert digest(secrets[0]).hex().encode() in everything
    for secret in secrets:
        assert secret.encode() not in everything


# A server in trouble


async def test_scripts_that_the_server_forgot_are_sent_again(store: Store, server: Any) -> None:
    grant = await add_exchanged(store)
    server.script_flush()
    assert await is_alive(store, grant)
    server.script_flush()
    assert await store.revoke_grant("grant", NOW)


async def test_many_calls_share_few_sockets(store: Store, server: Any) -> None:
    before = server.info("clients")["connected_clients"]
    grant = await add_exchanged(store)
    assert all(await gather(*(is_alive(store, grant) for _ in range(500))))
    assert server.info("clients")["connected_clients"] <= before + 64


async def test_no_server_is_said_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        store = ValkeyStore(f"valkey://127.0.0.1:{unused.getsockname()[1]}")
    with seconds_at_most(1.5), pytest.raises(StoreUnavailable, match="out of reach"):
        await store.open()


async def test_a_silent_server_is_given_up_and_found_again(store: Store, relay: Relay) -> None:
    grant = await add_exchanged(store)
    async with opened(behind(relay)) as distant:
        assert await is_alive(distant, grant)
        relay.keeps_answers = True
        with seconds_at_most(1.5):
            answers = await gather(
                *(is_alive(distant, grant) for _ in range(100)), return_exceptions=True
            )
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        relay.keeps_answers = False
        assert all(await gather(*(is_alive(distant, grant) for _ in range(100))))


async def test_one_dead_socket_is_enough_to_distrust_the_others(store: Store, relay: Relay) -> None:
    grant = await add_exchanged(store)
    async with opened(behind(relay)) as distant:
        await gather(*(is_alive(distant, grant) for _ in range(20)))
        relay.let_die()
        with pytest.raises(StoreUnavailable):
            await is_alive(distant, grant)
        assert all(await gather(*(is_alive(distant, grant) for _ in range(20))))


async def test_a_read_is_tried_again_when_the_connection_breaks(store: Store, relay: Relay) -> None:
    grant = await add_exchanged(store)
    async with opened(behind(relay)) as distant:
        relay.hang_ups = 1
        assert await is_alive(distant, grant)
        relay.hang_ups = 2
        with pytest.raises(StoreUnavailable):
            await is_alive(distant, grant)


async def test_a_step_whose_answer_was_lost_is_not_done_twice(store: Store, relay: Relay) -> None:
    pending, grant = await add_pending(store, "pending"), await add_exchanged(store)
    code, access_token = new_code(pending), new_access_token(pending)
    second = new_access_token(grant, 2)
    async with opened(behind(relay)) as distant:
        relay.hang_ups = 1
        with pytest.raises(StoreUnavailable):
            await distant.consume_code(code.digest, access_token, GRANTED_UNTIL, NOW)
        assert not await is_consumed(distant, code.digest, access_token)

        relay.hang_ups = 1
        with pytest.raises(StoreUnavailable):
            await distant.rotate_refresh_token("grant", 1, second, GRANTED_UNTIL, NOW, GRACE)
        assert await distant.rotate_refresh_token(
            "grant", 1, second, GRANTED_UNTIL, NOW, GRACE
        ) == (Rotation.REPEATED)
        assert await distant.find_access_token(second.digest, NOW)

        relay.hang_ups = 1
        with pytest.raises(StoreUnavailable):
            await distant.spend(digest("form"), NOW + 60, NOW)
        assert not await distant.spend(digest("form"), NOW + 60, NOW)


async def test_a_full_server_takes_nothing_but_still_shuts_out(store: Store, server: Any) -> None:
    grant, pending = await add_exchanged(store), await add_pending(store, "pending")
    code, access_token = new_code(pending), new_access_token(pending)
    server.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable, match="refuses"):
            await store.consume_code(code.digest, access_token, GRANTED_UNTIL, NOW)
        assert await is_alive(store, grant)
        assert await store.revoke_grant("grant", NOW)
        assert not await is_alive(store, grant)
        await store.ban_client("banned", new_ban("banned"))
        assert await store.disable_account("bob", NOW)
    finally:
        server.config_set("maxmemory", 0)
    assert await store.find_ban(digest("banned"))
    assert await is_consumed(store, code.digest, access_token, GRANTED_UNTIL, NOW)


async def test_a_demoted_server_is_not_written_to(store: Store, server: Any) -> None:
    await add_exchanged(store)
    server.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailable, match="out of reach"):
            await store.revoke_grant("grant", NOW)
        with pytest.raises(StoreUnavailable, match="replica"):
            await store.check()
    finally:
        server.execute_command("REPLICAOF", "NO", "ONE")
    await store.check()
    assert await store.revoke_grant("grant", NOW)


async def test_a_server_that_is_busy_is_not_waited_for(
    store: Store, server: Any, valkey_url: str
) -> None:
    server.config_set("busy-reply-threshold", 1)
    endless = create_task(spin(valkey_url))
    try:
        with seconds_at_most(1), pytest.raises(StoreUnavailable):
            await revoke_for_ever(store)
    finally:
        server.script_kill()
        await endless
        server.config_set("busy-reply-threshold", 5000)
    await store.revoke_session(digest("session"))


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ({"maxmemory-policy": "volatile-lru"}, "maxmemory-policy noeviction"),
        ({"cluster-enabled": "yes"}, "Cluster"),
    ],
)
async def test_a_server_that_cannot_be_trusted_is_refused(
    configuration: dict[str, str], reason: str
) -> None:
    # Unless it is told, a cluster's second port is the first + 10,000, and that may be no port.
    with new_valkey_server(config=configuration | {"cluster-port": str(free_port())}) as unfit:
        store = ValkeyStore(f"valkey://{unfit.host}:{unfit.port}")
        with pytest.raises(StoreUnavailable, match=reason):
            await store.open()
        await store.close()


# The ways to it


async def test_a_user_who_may_touch_nothing_but_our_keys_is_enough(
    store: Store, server: Any, valkey_url: str
) -> None:
    server.acl_setuser(
        "latchgate",
        enabled=True,
        passwords=["+secret"],
        keys=["latchgate:1:*"],
        categories=["+@all"],
    )
    try:
        url = valkey_url.replace("//", "//latchgate:secret@")
        async with opened(ValkeyStore(url)) as careful:
            await live_through_everything(careful)
        with pytest.raises(StoreUnavailable, match="out of reach") as refused:
            await ValkeyStore(url.replace("secret", "guess")).open()
        assert "guess" not in str(refused.value)
        with pytest.raises(StoreUnavailable, match="refuses"):
            async with opened(ValkeyStore(url, prefix="other:1:")) as stranger:
                await stranger.find_account("ada")
    finally:
        server.acl_deluser("latchgate")


async def test_a_certificate_must_name_the_host(
    store: Store, valkey_url: str, tmp_path: Path
) -> None:
    port = int(valkey_url.rpartition(":")[2])
    tls, authority = server_tls(tmp_path, "127.0.0.1")
    async with relay_to("127.0.0.1", port, tls=tls) as relay:
        url = f"valkeys://127.0.0.1:{relay.port}?ssl_ca_certs={authority}"
        async with opened(ValkeyStore(url)) as distant:
            assert await distant.find_account("ada") == new_account("ada")
        with pytest.raises(StoreUnavailable, match="certificate"):
            await ValkeyStore(url.replace("127.0.0.1", "localhost")).open()


@pytest.mark.process
async def test_a_restarted_server_is_found_again_with_all_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    durable = {"appendonly": "yes", "appendfsync": "always"}
    server = new_valkey_server(data_dir=tmp_path, persist=True, config=durable)
    server.start()
    async with opened(ValkeyStore(f"valkey://{server.host}:{server.port}")) as store:
        await add_people(store, "ada")
        grant = await add_exchanged(store)
        again = new_valkey_server(port=server.port, data_dir=tmp_path, persist=True, config=durable)
        server.terminate()
        for _ in range(3):
            with seconds_at_most(1.5), pytest.raises(StoreUnavailable, match="out of reach"):
                await is_alive(store, grant)
            with seconds_at_most(1.5), pytest.raises(StoreUnavailable, match="out of reach"):
                await store.revoke_grant("grant", NOW)
        with again:
            assert await is_alive(store, grant)
            assert await store.revoke_grant("grant", NOW)
            assert not await is_alive(store, grant)


# What the tests need


@contextmanager
def seconds_at_most(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


async def revoke_for_ever(store: Store) -> None:
    while True:
        await store.revoke_session(digest("session"))


async def spin(url: str) -> None:
    """Keep the server busy until somebody kills the script."""
    async with AsyncValkey.from_url(url) as client:
        with pytest.raises(ResponseError, match="killed"):
            await client.eval("while true do end", 0)


def server_url(client: Any) -> str:
    options = client.connection_pool.connection_kwargs
    return f"valkey://{options['host']}:{options['port']}"
