"""What tests of the authorization server share: a running app, a browser, a client."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
from pydantic import SecretStr
from starlette.applications import Starlette

from auth.limits import Limits
from auth.pkce import challenge_of
from auth.store import Store
from auth.store.memory import MemoryStore
from combined_app import create_app
from latchgate_testing import GivenSettings
from settings import Settings
from tests.clock import Clock
from tests.issued import Issued, kept_out_of_the_log

ISSUER = "http://127.0.0.1:8000"
RESOURCE = f"{ISSUER}/mcp"
KEY = "a key of the tests, thirty-two characters and more"
PASSWORD = "correct horse battery staple"
VERIFIER = "a-verifier-of-the-tests-with-more-than-forty-three-characters"
REDIRECT_URI = "https://client.example/callback"
UNLIMITED = {limit.name: "100000/minute" for limit in fields(Limits)}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

Form = Mapping[str, str]


def new_settings(**changes: Any) -> Settings:
    """Settings that read no environment, with cheap password hashes and limits out of the way."""
    values: dict[str, Any] = {
        "secret_keys": (SecretStr(KEY),),
        "admin_password": SecretStr(PASSWORD),
        "password_memory_kib": 8,
        "password_iterations": 1,
    } | UNLIMITED
    return GivenSettings(**(values | changes))


@dataclass
class World:
    """A running server, and everything a test does to it."""

    app: Starlette
    settings: Settings
    store: Store
    clock: Clock
    http: httpx2.AsyncClient

    def browser(self, issuer: str = ISSUER) -> "Browser":
        """A browser of its own, with no cookies yet."""
        return Browser(new_http_client(self.app, issuer))

    async def signed_in(self) -> "Browser":
        """A browser in which admin is signed in."""
        browser = self.browser()
        await browser.sign_in()
        return browser

    async def register(self, **changes: Any) -> dict[str, Any]:
        """A public client with one https redirect, registered like any other."""
        response = await self.http.post("/oauth/register", json=registration(**changes))
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def code(self, client: Mapping[str, Any], **changes: str | None) -> str:
        """A code that a person just allowed this client."""
        browser = await self.signed_in()
        response = await browser.allow(authorization_request(client, **changes))
        return redirected(response)["code"]

    async def exchange(
        self, client: Mapping[str, Any], code: str, /, **changes: str | None
    ) -> httpx2.Response:
        """The answer to a token request with this code."""
        return await self.token(token_request(client, code, **changes))

    async def token(self, form: Form, **options: Any) -> httpx2.Response:
        """The answer of the token endpoint."""
        return await self.http.post("/oauth/token", data=dict(form), **options)

    async def tokens(self, client: Mapping[str, Any], **changes: str | None) -> dict[str, Any]:
        """Tokens, by the whole journey."""
        response = await self.exchange(client, await self.code(client, **changes))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def refresh(
        self, client: Mapping[str, Any], refresh_token: str, /, **changes: str | None
    ) -> httpx2.Response:
        """The answer to a refresh."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.token(changed(form | identification(client), changes))

    async def calls(self, access_token: str) -> int:
        """The status that /mcp answers to a call with this token."""
        response = await self.http.post(
            "/mcp", json=PING, headers=MCP_HEADERS | {"Authorization": f"Bearer {access_token}"}
        )
        return response.status_code


PING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "server/discover",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
MCP_HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "server/discover",
}


@asynccontextmanager
async def serving(
    clock: Clock, settings: Settings | None = None, store: Store | None = None
) -> AsyncIterator[World]:
    """The combined application, running in this process."""
    settings = settings or new_settings()
    store = store or MemoryStore()
    app = create_app(settings, store, clock)
    password = settings.admin_password
    secrets = (password.get_secret_value(),) if password else ()
    async with kept_out_of_the_log(app, *secrets), app.router.lifespan_context(app):
        issuer = settings.public_url or ISSUER
        async with new_http_client(app, issuer) as http:
            yield World(app, settings, store, clock, http)


def new_http_client(app: Starlette, issuer: str = ISSUER) -> httpx2.AsyncClient:
    """A client of the app that follows no redirects, as programs do."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    hooks = {"response": [Issued(app).note]}
    return httpx2.AsyncClient(
        transport=transport, base_url=issuer, follow_redirects=False, event_hooks=hooks
    )


@dataclass
class Browser:
    """A person at a browser: keeps cookies, fills in the forms of the pages it is shown."""

    http: httpx2.AsyncClient
    page: httpx2.Response | None = field(default=None)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        """Open a page."""
        self.page = await self.http.get(path, headers=HTML, **options)
        return self.page

    async def post(self, path: str, form: Form, **headers: str) -> httpx2.Response:
        """Send a form as it is, whatever page is open."""
        self.page = await self.http.post(
            path, data=dict(form), headers=HTML | {"Origin": str(self.http.base_url)} | headers
        )
        return self.page

    @property
    def form(self) -> str:
        """The sealed form of the page that is open."""
        assert self.page is not None
        found = re.search(r'name="form" value="([^"]*)"', self.page.text)
        assert found, self.page.text
        return unescape(found[1])

    async def sign_in(self, username: str = "admin", password: str = PASSWORD) -> httpx2.Response:
        """Fill in the sign-in page that is open, or the one with nothing behind it."""
        if self.page is None:
            await self.get("/oauth/sign-in")
        form = {"form": self.form, "username": username, "password": password}
        return await self.post("/oauth/sign-in", form)

    async def decide(self, decision: str, *scopes: str) -> httpx2.Response:
        """Answer the consent page that is open, with these scopes ticked."""
        ticked = {f"scope:{scope}": "yes" for scope in scopes}
        return await self.post("/oauth/consent", {"form": self.form, "decision": decision} | ticked)

    async def press(self, action: str, *scopes: str) -> httpx2.Response:
        """Revoke or narrow the first connection of the page that is open."""
        assert self.page is not None
        found = re.search(rf'name="{action}" value="([^"]+)"', self.page.text)
        assert found, self.page.text
        ticked = {f"scope:{scope}": "yes" for scope in scopes}
        form = {"form": self.form, action: found[1]} | ticked
        return await self.post("/oauth/connections", form)

    async def allow(self, request: Form) -> httpx2.Response:
        """Open an authorization request and allow everything it asks for."""
        page = await self.get("/oauth/authorize", params=request)
        if page.status_code == 303:  # remembered
            return page
        return await self.decide("allow", *request.get("scope", "").split())


def registration(**changes: Any) -> dict[str, Any]:
    """The metadata of a public client; None takes a member out."""
    return changed(
        {
            "client_name": "Test client",
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        },
        changes,
    )


def authorization_request(client: Mapping[str, Any], **changes: str | None) -> dict[str, str]:
    """A good authorization request of this client; None takes a parameter out."""
    return changed(
        {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0],
            "code_challenge": challenge_of(VERIFIER),
            "code_challenge_method": "S256",
            "state": "a state",
            "scope": "user",
            "resource": RESOURCE,
        },
        changes,
    )


def token_request(client: Mapping[str, Any], code: str, /, **changes: str | None) -> dict[str, str]:
    """A good token request of this client; None takes a parameter out."""
    return changed(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client["redirect_uris"][0],
            "code_verifier": VERIFIER,
            "resource": RESOURCE,
        }
        | identification(client),
        changes,
    )


def identification(client: Mapping[str, Any]) -> dict[str, str]:
    """Who a client is, in the body, with its secret if it has one."""
    secret = client.get("client_secret")
    return {"client_id": client["client_id"]} | ({"client_secret": secret} if secret else {})


def password_change(current: str, new: str) -> dict[str, str]:
    """The fields of the page on which a person changes their password."""
    return {"current_password": current, "new_password": new, "new_password_again": new}


def changed(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with some changed; those changed to None are left out."""
    return {n: value for n, value in {**values, **changes}.items() if value is not None}


def redirected(response: httpx2.Response) -> dict[str, str]:
    """The parameters of the redirect URI that a browser was sent to."""
    assert response.status_code == 303, response.text
    pairs = parse_qsl(urlsplit(response.headers["location"]).query, keep_blank_values=True)
    assert len(pairs) == len(dict(pairs)), pairs
    return dict(pairs)


def error_of(response: httpx2.Response) -> tuple[int, str]:
    """Status and error code of an error answer in JSON, which must be a well-formed one."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", body["error_description"])
    return response.status_code, body["error"]
