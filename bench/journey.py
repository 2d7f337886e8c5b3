"""The whole journey of a client: discover, register, sign in, allow, exchange, call.

Where a server shows pages, a browser fills them in; where it shows none, there is none to fill.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from bench.http_client import Answer, Client
from bench.mcp_requests import OPERATIONS, expect, modern

REDIRECT_URI = "http://127.0.0.1:33418/callback"
USERNAME = "admin"
PASSWORD = "a-password-of-the-benchmark"
MOST_PAGES = 12

_FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL | re.IGNORECASE)
_ACTION = re.compile(r'action="([^"]*)"', re.IGNORECASE)
_INPUT = re.compile(r"<input\b([^>]*)>", re.IGNORECASE)
_NAME = re.compile(r'\bname="([^"]*)"', re.IGNORECASE)
_VALUE = re.compile(r'\bvalue="([^"]*)"', re.IGNORECASE)
_FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
_ANSWERS = {
    "username": USERNAME,
    "login": USERNAME,
    "password": PASSWORD,
    "decision": "allow",
}
"""What a person enters, by the name of the field; `decision` is a button of ours."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client has at the end."""

    client_id: str
    access_token: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where an authorization server's endpoints are (RFC 8414 §2)."""

    registration: str
    authorization: str
    token: str


class Browser:
    """A person at a browser of their own: keeps cookies, fills in the forms it is shown."""

    def __init__(self, http: Client) -> None:
        self._http = http
        self._cookies: dict[str, str] = {}

    async def allow(self, url: str) -> str:
        """Say yes until the browser is sent to the client; the code it brings."""
        answer = await self._ask("GET", url)
        for _ in range(MOST_PAGES):
            location = answer.header("location")
            if location.startswith(REDIRECT_URI):
                return parse_qs(urlsplit(location).query)["code"][0]
            if location:
                url = urljoin(url, location)
                answer = await self._ask("GET", url)
            else:
                expect(answer, 200)
                url, form = fill_in(url, answer)
                answer = await self._ask("POST", url, form)
        raise RuntimeError(f"no end of pages: {url}")

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None = None) -> Answer:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Accept": "text/html", **({"Cookie": cookies} if cookies else {})}
        if form is not None:
            headers |= _FORM_HEADERS
        body = urlencode(form).encode() if form is not None else b""
        answer = await self._http.ask(method, url, headers, body)
        self._cookies |= answer.cookies()
        return answer


def fill_in(url: str, answer: Answer) -> tuple[str, dict[str, str]]:
    """Where the first form of a page leads, and what it then carries."""
    found = _FORM.search(answer.body.decode())
    if found is None:
        raise RuntimeError(f"no form on {url}: {answer.body[:300]!r}")
    action = _ACTION.search(found[1])
    form = {}
    for attributes in _INPUT.findall(found[2]):
        name, value = _NAME.search(attributes), _VALUE.search(attributes)
        if name:
            form[unescape(name[1])] = unescape(value[1]) if value else ""
    shown = {*form, *re.findall(r'<button[^>]*\bname="([^"]*)"', found[2])}
    form |= {name: value for name, value in _ANSWERS.items() if name in shown}
    return urljoin(url, unescape(action[1])) if action else url, form


async def discover(http: Client, issuer: str) -> Endpoints:
    """Read the authorization server's metadata, under whichever name it has it."""
    for name in ("oauth-authorization-server", "openid-configuration"):
        answer = await http.ask("GET", f"{issuer}/.well-known/{name}")
        if answer.status == 200:
            metadata = answer.json()
            return Endpoints(
                metadata["registration_endpoint"],
                metadata["authorization_endpoint"],
                metadata["token_endpoint"],
            )
    raise RuntimeError(f"{issuer} describes no authorization server")


async def connect(http: Client, endpoints: Endpoints, resource: str | None, scope: str) -> Tokens:
    """Register, be allowed, and exchange the code."""
    client = await register(http, endpoints, scope)
    code, verifier = await authorize(http, endpoints, client, resource, scope)
    return await exchange(http, endpoints, client, code, verifier, resource)


async def register(http: Client, endpoints: Endpoints, scope: str) -> dict[str, Any]:
    """Register as a public client (RFC 7591)."""
    metadata = {
        "client_name": "Bench",
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "scope": scope,
    }
    headers = {"Content-Type": "application/json"}
    body = json.dumps(metadata).encode()
    answer = await http.ask("POST", endpoints.registration, headers, body)
    client: dict[str, Any] = expect(answer, 201).json()
    return client


async def authorize(
    http: Client,
    endpoints: Endpoints,
    client: Mapping[str, Any],
    resource: str | None,
    scope: str,
) -> tuple[str, str]:
    """Send a browser to the authorization endpoint; the code it comes back with, and its proof."""
    verifier = secrets.token_urlsafe(32)
    proof = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    query = {
        "response_type": "code",
        "client_id": client["client_id"],
        "redirect_uri": REDIRECT_URI,
        "scope": scope,
        "state": secrets.token_urlsafe(8),
        "code_challenge": proof.decode(),
        "code_challenge_method": "S256",
        **({"resource": resource} if resource else {"prompt": "consent"}),
    }
    browser = Browser(http)
    return await browser.allow(f"{endpoints.authorization}?{urlencode(query)}"), verifier


async def exchange(
    http: Client,
    endpoints: Endpoints,
    client: Mapping[str, Any],
    code: str,
    verifier: str,
    resource: str | None,
) -> Tokens:
    """Exchange a code for tokens (OAuth 2.1 §4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "client_id": client["client_id"],
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": REDIRECT_URI,
        **({"resource": resource} if resource else {}),
    }
    tokens = (await _post(http, endpoints.token, form)).json()
    return Tokens(client["client_id"], tokens["access_token"], tokens.get("refresh_token", ""))


async def refresh(http: Client, endpoints: Endpoints, tokens: Tokens) -> Tokens:
    """Exchange a refresh token for new ones (OAuth 2.1 §4.3)."""
    form = {
        "grant_type": "refresh_token",
        "client_id": tokens.client_id,
        "refresh_token": tokens.refresh_token,
    }
    answer = (await _post(http, endpoints.token, form)).json()
    return Tokens(tokens.client_id, answer["access_token"], answer["refresh_token"])


async def _post(http: Client, url: str, form: Mapping[str, str]) -> Answer:
    return expect(await http.ask("POST", url, _FORM_HEADERS, urlencode(form).encode()), 200)


async def travel(http: Client, issuer: str, mcp_url: str | None, scope: str) -> Tokens:
    """All of it, as a client does that knows nothing but a URL; the last step is a call."""
    if mcp_url is None:
        return await connect(http, await discover(http, issuer), None, scope)
    asking = await http.connection(mcp_url)
    params, contains = OPERATIONS["tools/call"]
    expect(await asking.ask(modern(mcp_url, "tools/call", params)), 401)
    document = urljoin(mcp_url, "/.well-known/oauth-protected-resource/mcp")
    expect(await http.ask("GET", document), 200)
    tokens = await connect(http, await discover(http, issuer), mcp_url, scope)
    asking = await http.connection(mcp_url)
    answer = await asking.ask(modern(mcp_url, "tools/call", params, tokens.access_token))
    if contains not in expect(answer, 200).body:
        raise RuntimeError("the call was not answered rightly")
    return tokens
