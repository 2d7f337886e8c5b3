"""Kill -9 and a new start, as people notice it: with SQLite not at all, with memory a little.

The key is the one that is made at the first start and kept in a file.
"""

from pathlib import Path

import pytest

from tests.kit import PASSWORD, Browser, authorization_request, registration
from tests.process.conftest import Report
from tests.process.journeys import allow, allow_again, asks
from tests.process.latchgate import new_client, running, sockets
from tests.process.minting import Program

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


async def test_after_a_crash_on_sqlite_nobody_has_to_do_anything(
    tmp_path: Path, report: Report
) -> None:
    async with (
        running(tmp_path, STORE_URL="sqlite:///tmp.db", SECRET_KEYS="") as server,
        sockets() as transport,
        new_client(transport, server.origin) as http,
        new_client(transport, server.origin) as cookies,
    ):
        program = Program(http, (await http.post("/oauth/register", json=registration())).json())
        browser = Browser(cookies)
        tokens = await allow(browser, program)
        await server.kill()
        await server.start()
        assert await asks(http, tokens) == "active"
        refreshed = await program.refresh(tokens["refresh_token"])
        assert refreshed.status_code == 200
        assert await asks(http, refreshed.json()) == "active"
        # The same browser and client_id once more: no sign-in page comes in between.
        assert await asks(http, await allow_again(browser, program)) == "active"
    report(
        "kill -9, new start: what a person notices",
        "sqlite",
        1,
        "nothing: access token, refresh token, client_id and session cookie are good",
    )


async def test_after_a_restart_on_memory_the_person_only_signs_in_again(
    tmp_path: Path, report: Report
) -> None:
    async with (
        running(tmp_path, SECRET_KEYS="") as server,
        sockets() as transport,
        new_client(transport, server.origin) as http,
        new_client(transport, server.origin) as cookies,
    ):
        program = Program(http, (await http.post("/oauth/register", json=registration())).json())
        browser = Browser(cookies)
        tokens = await allow(browser, program)
        await server.kill()
        await server.start()
        assert (await program.call(tokens["access_token"])).status_code == 401
        refused = await program.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        request = authorization_request(program.client, resource=f"{server.origin}/mcp")
        page = await browser.get("/oauth/authorize", params=request)
        if page.status_code == 303:
            page = await browser.get(page.headers["location"])
        assert page.status_code == 200
        assert 'type="password"' in page.text
        answer = await browser.sign_in(password=PASSWORD)
        assert answer.status_code == 303
        assert await asks(http, await allow_again(browser, program)) == "active"
    report(
        "kill -9, new start: what a person notices",
        "memory",
        1,
        "signs in again: client_id is good, tokens and session are refused",
    )
