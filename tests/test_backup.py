"""A backup taken while the store is used, and what docs/stores.md says to do after a restore."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from auth.store.sqlite import SqliteStore
from demo.start import ROOT
from tests.store_backends import opened
from tests.store_records import (
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
    new_code,
    new_session,
)


def after_a_restore() -> str:
    """The statements that docs/stores.md gives."""
    found = re.search(r"```sql\n(.*?)```", (ROOT / "docs/stores.md").read_text(), re.DOTALL)
    assert found
    return found[1]


async def test_what_ended_after_the_backup_does_not_live_again(tmp_path: Path) -> None:
    path, backup = tmp_path / "store.db", tmp_path / "backup.db"
    async with opened(SqliteStore(str(path))) as store:
        await add_people(store, "ada")
        await store.add_session(new_session(), VERIFIED)
        pending, exchanged = await add_pending(store, "pending"), await add_exchanged(store)
        with closing(sqlite3.connect(path)) as program:
            program.execute("VACUUM INTO ?", (str(backup),))
        code, token = new_code(pending), new_access_token(pending)
        assert await is_consumed(store, code.digest, token, GRANTED_UNTIL, NOW)
        assert await store.revoke_grant(exchanged.grant_id, NOW)

    with closing(sqlite3.connect(backup)) as program:
        assert program.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        program.executescript(after_a_restore())
    async with opened(SqliteStore(str(backup))) as restored:
        assert await restored.find_code(code.digest, NOW) is None
        assert not await is_consumed(restored, code.digest, token, GRANTED_UNTIL, NOW)
        assert not await is_alive(restored, exchanged)
        assert await restored.find_session(new_session().digest, NOW) is None
        assert await restored.find_account("ada") == new_account()
