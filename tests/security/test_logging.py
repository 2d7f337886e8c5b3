"""No secret in a log or at rest, and no stranger's words out of bounds (ASVS 16.2.5)."""

import json
import logging
from pathlib import Path
from urllib.parse import quote

import pytest

from auth.store.memory import MemoryStore
from auth.store.sqlite import SqliteStore
from tests.clock import Clock
from tests.kit import (
    PASSWORD,
    VERIFIER,
    World,
    authorization_request,
    identification,
    new_settings,
    redirected,
    serving,
    token_request,
)
from tests.resource_server_kit import modern, modern_headers, wire

WRONG = "a wrong password that somebody typed"
STATE = "a-state-that-only-the-client-knows"
BEYOND = modern("tools/call", name="update_profile", arguments={"name": "x"})
POST = {"token_endpoint_auth_method": "client_secret_post"}


async def journey(world: World) -> dict[str, str]:
    """The whole way, well and badly; every secret that was on it, by its name."""
    client = await world.register(**POST)
    browser = world.browser()
    await browser.get("/oauth/authorize", params=authorization_request(client, state=STATE))
    forms = [browser.form]
    for username, password in (("admin", WRONG), (PASSWORD, "admin")):
        await browser.sign_in(username, password)
        forms.append(browser.form)
    page = await browser.sign_in()
    await browser.get(page.headers["location"])
    forms.append(browser.form)
    code = redirected(await browser.decide("allow"))["code"]
    await world.exchange(client, code, code_verifier=VERIFIER[::-1])
    tokens = (await world.exchange(client, code)).json()
    again = (await world.refresh(client, tokens["refresh_token"])).json()
    for token in (tokens["access_token"], again["access_token"], "mcp_at_a-token-of-nobody"):
        await world.calls(token)
        headers = wire(token, modern_headers("tools/call", "update_profile"))
        await world.http.post("/mcp", json=BEYOND, headers=headers)
        form = identification(client) | {"token": token}
        await world.http.post("/oauth/introspect", data=form)
        await world.http.post("/oauth/introspect", params=form)
        await world.http.get("/mcp", params={"access_token": token})
    basic = (client["client_id"], client["client_secret"])
    await world.token(token_request(client, code), auth=basic)
    await world.exchange(client, code)
    await world.refresh(client, again["refresh_token"])
    await browser.get("/oauth/password")
    forms.append(browser.form)
    change = {
        "form": browser.form,
        "current_password": WRONG,
        "new_password": PASSWORD + "!",
        "new_password_again": PASSWORD + "!",
    }
    await browser.post("/oauth/password", change)
    await browser.get("/oauth/connections", params={"password": WRONG})
    forms.append(browser.form)
    await browser.post("/oauth/sign-out", {"form": browser.form})
    revoke = identification(client) | {"token": again["refresh_token"]}
    await world.http.post("/oauth/revoke", data=revoke)
    cookies = {f"cookie {cookie.name}": cookie.value or "" for cookie in browser.http.cookies.jar}
    return {
        "password": PASSWORD,
        "wrong password": WRONG,
        "verifier": VERIFIER,
        "wrong verifier": VERIFIER[::-1],
        "state": STATE,
        "code": code,
        "client secret": client["client_secret"],
        "unknown token": "a-token-of-nobody",
        **{f"{name} 1": tokens[name] for name in ("access_token", "refresh_token")},
        **{f"{name} 2": again[name] for name in ("access_token", "refresh_token")},
        **{f"form {number}": form for number, form in enumerate(forms)},
        **cookies,
    }


def found_in(text: str, secrets: dict[str, str]) -> list[str]:
    return [name for name, secret in secrets.items() if secret and secret in text]


@pytest.mark.slow
async def test_no_secret_is_logged_or_kept(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """CVE-2024-51753: at DEBUG, of every library, after everything that can go right and wrong."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "store.db"
    store = SqliteStore(str(path))
    async with serving(clock, new_settings(), store) as world:
        secrets = await journey(world)
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    files += b"".join(file.read_bytes() for file in tmp_path.iterdir())
    logged = "\n".join(
        f"{record.getMessage()} {record.args} {record.exc_text}"
        for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore"))  # the test's own client
    )
    assert found_in(logged, secrets) == []
    assert found_in(files.decode("latin-1"), secrets) == []
    events = [json.loads(m) for m in caplog.messages if m.startswith('{"at"')]
    assert {event["kind"] for event in events} >= {
        "client_registered",
        "sign_in_failed",
        "sign_in_succeeded",
        "consent_given",
        "token_issued",
        "token_refreshed",
        "code_replayed",
        "signed_out",
        "token_refused",
        "scope_denied",
    }
    assert all(event["correlation_id"] and event["address"] for event in events)


async def test_what_strangers_say_is_cut_and_cannot_write_lines(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it a flood of long values fills the disk, and a line break forges an event."""
    caplog.set_level(logging.DEBUG, "latchgate")
    forged = 'x\n{"kind": "sign_in_succeeded"}\x1b[2J'
    long = "y" * 15_000
    for value in (forged, long):
        await world.http.post("/oauth/token", data={"client_id": value, "client_secret": value})
        await world.http.get("/oauth/authorize", params={"client_id": value})
        await world.browser().sign_in(value[:200], value)
        await world.http.get(f"/{quote(value[:9000])}", headers={"Accept": "text/html"})
        await world.http.get("/", headers={"Host": value.encode().hex()[:9000]})
        await world.http.post("/mcp", headers={"Origin": f"https://{value.encode().hex()[:9000]}"})
    for record in caplog.records:
        if record.name.startswith("latchgate"):
            assert "\n" not in record.getMessage()
            assert "\x1b" not in record.getMessage()
            assert len(record.getMessage()) < 1024, record.getMessage()[:300]


class Mistaken(MemoryStore):
    """A store with a mistake in it."""

    async def find_ban(self, digest: bytes) -> None:
        raise RuntimeError("a mistake")


async def test_a_failure_of_ours_shows_no_values(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it a traceback with local variables is a list of secrets."""
    async with serving(clock, store=Mistaken()) as world:
        client = await world.register(**POST)
        response = await world.token(token_request(client, "mcp_ac_" + "s" * 43))
    assert response.status_code == 500
    assert "a mistake" in caplog.text
    for secret in (client["client_secret"], "s" * 43, VERIFIER):
        assert secret not in caplog.text
        assert secret not in response.text
