"""Clients that nobody registered: metadata documents and pre-registered ones, on the journey."""

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from auth.app import create_server
from auth.client_id_metadata import ClientMetadataDocuments
from auth.credentials import digest
from auth.errors import PageError
from auth.safe_fetch import DocumentInvalid, DocumentUnreachable
from auth.store.memory import MemoryStore
from tests.clock import Clock
from tests.kit import (
    World,
    authorization_request,
    error_of,
    new_settings,
    redirected,
    serving,
    token_request,
)

CLIENT_ID = "https://client.example/metadata.json"
DOCUMENT = {
    "client_id": CLIENT_ID,
    "client_name": "Documented client",
    "redirect_uris": ["https://client.example/callback", "http://127.0.0.1/callback"],
    "token_endpoint_auth_method": "none",
    "grant_types": ["authorization_code", "refresh_token"],
}


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    path = tmp_path / "client.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


async def test_a_documented_client_needs_no_registration_and_is_remembered(
    clock: Clock, pins: Path
) -> None:
    async with serving(clock, new_settings(client_metadata_pins=pins)) as world:
        browser = await world.signed_in()
        page = await browser.get("/oauth/authorize", params=authorization_request(DOCUMENT))
        assert "client.example" in page.text
        assert "(verified)" in page.text
        code = redirected(await browser.decide("allow"))["code"]
        assert (await world.exchange(DOCUMENT, code)).status_code == 200
        again = await browser.get("/oauth/authorize", params=authorization_request(DOCUMENT))
        assert redirected(again)["code"]
        loopback = authorization_request(DOCUMENT, redirect_uri="http://127.0.0.1:5000/callback")
        assert (await browser.get("/oauth/authorize", params=loopback)).status_code == 200


async def test_documents_can_be_turned_off(clock: Clock, pins: Path) -> None:
    settings = new_settings(client_metadata_pins=pins, client_metadata_documents="off")
    async with serving(clock, settings) as world:
        request = authorization_request(DOCUMENT)
        response = await world.http.get("/oauth/authorize", params=request)
        assert error_of(response) == (400, "invalid_client")
        metadata = await world.http.get("/.well-known/oauth-authorization-server")
        assert metadata.json()["client_id_metadata_document_supported"] is False


@pytest.mark.parametrize(
    ("error", "page_status", "at_authorize", "at_token"),
    [
        (
            DocumentUnreachable("it took too long", "detail"),
            503,
            (503, "temporarily_unavailable"),
            (503, "temporarily_unavailable"),
        ),
        (
            DocumentInvalid("it has no name", "detail"),
            400,
            (400, "invalid_client"),
            (401, "invalid_client"),
        ),
    ],
)
async def test_a_document_that_cannot_be_used_is_told_apart_from_an_unknown_client(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    page_status: int,
    at_authorize: tuple[int, str],
    at_token: tuple[int, str],
) -> None:
    async def find(documents: ClientMetadataDocuments, client_id: str) -> Any:
        raise error

    monkeypatch.setattr(ClientMetadataDocuments, "find", find)
    request = authorization_request(DOCUMENT)
    page = await world.browser().get("/oauth/authorize", params=request)
    assert page.status_code == page_status
    assert str(error).partition(" (")[0] in page.text
    assert "detail" not in page.text
    response = await world.http.get("/oauth/authorize", params=request)
    assert error_of(response) == at_authorize
    assert error_of(await world.token(token_request(DOCUMENT, "mcp_ac_x"))) == at_token


SECRET = "a secret that the operator drew at random"


async def test_a_preregistered_client_is_held_to_its_scope(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "clients.toml"
    path.write_text(
        f"""
        [[clients]]
        client_id = "portal"
        client_name = "The portal"
        secret_sha256 = "{digest(SECRET).hex()}"
        redirect_uris = ["https://portal.example/callback"]
        grant_types = ["authorization_code", "refresh_token"]
        scope = "user"
        """
    )
    client = {
        "client_id": "portal",
        "client_secret": SECRET,
        "redirect_uris": ["https://portal.example/callback"],
    }
    async with serving(clock, new_settings(clients_file=path)) as world:
        browser = await world.signed_in()
        request = authorization_request(client, scope="user user:write")
        page = await browser.get("/oauth/authorize", params=request)
        assert "The operator" in page.text
        code = redirected(await browser.decide("allow", "user:write"))["code"]
        form = token_request(client, code)
        basic = {name: value for name, value in form.items() if name != "client_secret"}
        response = await world.http.post("/oauth/token", data=basic, auth=("portal", SECRET))
        assert response.json()["scope"] == "user"
        refresh = await world.refresh(client, response.json()["refresh_token"])
        assert refresh.status_code == 200
        refused = await world.token(form | {"client_secret": "wrong"})
        assert error_of(refused) == (401, "invalid_client")
        request = authorization_request(client, scope="user:write")
        page = await browser.get("/oauth/authorize", params=request)
        assert redirected(page)["error"] == "invalid_scope"


def test_without_a_guard_in_front_a_foreign_name_is_still_not_ours(clock: Clock) -> None:
    request = Request({"type": "http", "headers": [(b"host", b"evil.example")]})
    with pytest.raises(PageError):
        create_server(new_settings(), MemoryStore(), clock).origin(request)
