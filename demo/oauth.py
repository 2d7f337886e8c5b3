"""A careful OAuth client: RFC 7591 registration, PKCE, `state` and `iss`, tokens and their end.

Credentials and tokens go to the issuer's own origin, or to one the person trusts by name.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx2

from demo.conversation import Conversation, json_object, what_it_said
from demo.discovery import AuthorizationServerMetadata, origin_of, require_endpoint
from demo.narration import StepFailed

CLIENT_NAME = "Latchgate demo client"
_METHODS = ("none", "client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True)
class Registration:
    """Who we are to one authorization server."""

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    token_endpoint_auth_method: str = "none"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """One authorization request: the URL to open, and what its answer is checked against."""

    url: str
    redirect_uri: str
    state: str = field(repr=False)
    code_verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token response (RFC 6749 §5.1)."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    scope: str
    expires_in: int | None


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The authorization server of one resource, and every request we make to it."""

    conversation: Conversation
    metadata: AuthorizationServerMetadata
    resource: str
    trusted: frozenset[str] = frozenset()

    def require_endpoints(self) -> None:
        """Every endpoint may have what we send there. Raises StepFailed before we send anything."""
        endpoint = self.metadata.authorization_endpoint
        require_endpoint("authorization_endpoint", endpoint, told_by=self.metadata.issuer)
        for name in ("token_endpoint", "registration_endpoint", "revocation_endpoint"):
            self.endpoint(name)

    def endpoint(self, name: str) -> str | None:
        """An endpoint we may send secrets to. Raises StepFailed if it is somebody else's."""
        url: str | None = getattr(self.metadata, name)
        if url is None:
            return None
        require_endpoint(name, url, told_by=self.metadata.issuer)
        if origin_of(url) not in self.trusted | {origin_of(self.metadata.issuer)}:
            raise StepFailed(
                f"the {name} {url} is on another origin than its issuer {self.metadata.issuer}",
                remedy=f"if you know that it belongs there: --trust-origin {origin_of(url)}",
            )
        return url

    async def register(self, redirect_uri: str, scope: str | None) -> Registration:
        """Register as a native client, public wherever that is possible (RFC 7591 §3)."""
        url = self.endpoint("registration_endpoint")
        if url is None:
            raise StepFailed(
                "the authorization server offers no dynamic registration",
                remedy="have a client registered by its operator, with the redirect URI "
                f"{redirect_uri}, and pass --client-id",
            )
        offered = self.metadata.token_endpoint_auth_methods_supported
        methods = [method for method in _METHODS if method in offered]
        if not methods:
            raise StepFailed(
                f"the token endpoint knows no client authentication that we do: {offered}"
            )
        request: dict[str, Any] = {
            "client_name": CLIENT_NAME,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": methods[0],
            "application_type": "native",
        } | ({"scope": scope} if scope else {})
        response = await self.conversation.send("POST", url, json=request, shown=request)
        registered = self._object(response, {200, 201}, "the registration was refused")
        client_id, secret = registered.get("client_id"), registered.get("client_secret")
        method = registered.get("token_endpoint_auth_method", methods[0])
        if not isinstance(client_id, str) or not client_id:
            raise StepFailed("the registration gave no client_id", said=what_it_said(response))
        if method not in _METHODS or (method != "none" and not isinstance(secret, str)):
            raise StepFailed(f"we cannot authenticate as registered, by {method!r}")
        return Registration(client_id, secret if method != "none" else None, method)

    def authorization_request(
        self, client: Registration, redirect_uri: str, scope: str | None
    ) -> AuthorizationRequest:
        """A fresh request with PKCE, `state` and `resource` (OAuth 2.1 §4.1.1, RFC 8707 §2.1)."""
        endpoint = self.metadata.authorization_endpoint
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
        for secret in (verifier, state):
            self.conversation.narrator.keep_secret(secret)
        parameters = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": code_challenge(verifier),
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        if scope:
            parameters["scope"] = scope
            if "offline_access" in scope.split():
                parameters["prompt"] = "consent"
        separator = "&" if urlsplit(endpoint).query else "?"
        url = endpoint + separator + urlencode(parameters, quote_via=quote)
        return AuthorizationRequest(url, redirect_uri, state, verifier)

    def read_authorization_response(self, request: AuthorizationRequest, url: str) -> str:
        """The code, once the answer is proved to be ours: `state`, then `iss` (RFC 9207 §2.4).

        Errors are only believed after that. Raises StepFailed.
        """
        pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        answer = dict(pairs)
        if len(answer) != len(pairs):
            raise StepFailed("the authorization response repeats a parameter")
        if not secrets.compare_digest(answer.get("state", "").encode(), request.state.encode()):
            raise StepFailed(
                "the authorization response does not carry our state: it answers somebody else"
            )
        issuer = answer.get("iss")
        is_promised = self.metadata.authorization_response_iss_parameter_supported
        if issuer is None and is_promised:
            raise StepFailed("the server promises iss in its authorization responses; none came")
        if issuer is not None and issuer != self.metadata.issuer:
            raise StepFailed(
                f"the authorization response comes from {issuer!r}, "
                f"not from {self.metadata.issuer!r}: another server mixed itself in"
            )
        if "error" in answer:
            said = ": ".join(
                answer[name] for name in ("error", "error_description") if name in answer
            )
            raise StepFailed("the authorization was refused", said=said)
        if not answer.get("code"):
            raise StepFailed("the authorization response carries no code")
        self.conversation.narrator.keep_secret(answer["code"])
        return answer["code"]

    async def exchange_code(
        self, client: Registration, request: AuthorizationRequest, code: str
    ) -> Tokens:
        """The code for tokens, with the verifier that proves it is ours (OAuth 2.1 §4.1.3)."""
        return await self._request_tokens(
            client,
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": request.redirect_uri,
                "code_verifier": request.code_verifier,
                "resource": self.resource,
            },
        )

    async def refresh(self, client: Registration, refresh_token: str) -> Tokens:
        """A new access token without the person (OAuth 2.1 §4.3)."""
        return await self._request_tokens(client, self._refresh_form(refresh_token))

    async def revoke(self, client: Registration, token: str, hint: str) -> None:
        """End a token; a server may be unable to end one of this kind (RFC 7009 §2.1, §2.2.1)."""
        url = self.endpoint("revocation_endpoint") or ""
        response = await self._send_form(url, client, {"token": token, "token_type_hint": hint})
        if response.status_code == httpx2.codes.OK:
            return
        if (json_object(response) or {}).get("error") != "unsupported_token_type":
            raise StepFailed("the revocation was refused", said=what_it_said(response))

    async def refuses_refresh(self, client: Registration, refresh_token: str) -> bool:
        """Whether the token endpoint refuses this refresh token."""
        url = self.endpoint("token_endpoint") or ""
        response = await self._send_form(url, client, self._refresh_form(refresh_token))
        return response.status_code == httpx2.codes.BAD_REQUEST

    def _refresh_form(self, refresh_token: str) -> dict[str, str]:
        return {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "resource": self.resource,
        }

    async def _request_tokens(self, client: Registration, form: dict[str, str]) -> Tokens:
        url = self.endpoint("token_endpoint") or ""
        response = await self._send_form(url, client, form)
        content = self._object(response, {200}, "the token endpoint refused")
        access_token, refresh_token = content.get("access_token"), content.get("refresh_token")
        if not isinstance(access_token, str) or not access_token:
            raise StepFailed("the token response carries no access_token")
        if str(content.get("token_type", "")).lower() != "bearer":
            raise StepFailed(f"the token has the type {content.get('token_type')!r}, not Bearer")
        expires_in, scope = content.get("expires_in"), content.get("scope")
        return Tokens(
            access_token,
            refresh_token if isinstance(refresh_token, str) and refresh_token else None,
            scope if isinstance(scope, str) else "",
            expires_in if isinstance(expires_in, int) else None,
        )

    async def _send_form(
        self, url: str, client: Registration, form: dict[str, str]
    ) -> httpx2.Response:
        headers: dict[str, str] = {"Accept": "application/json"}
        secret = client.client_secret
        is_basic = client.token_endpoint_auth_method == "client_secret_basic"
        if secret is not None and is_basic:
            headers["Authorization"] = basic_credentials(client.client_id, secret)
        else:
            form = form | {"client_id": client.client_id}
            if secret is not None:
                form["client_secret"] = secret
        return await self.conversation.send("POST", url, data=form, headers=headers, shown=form)

    def _object(
        self, response: httpx2.Response, expected: set[int], refusal: str
    ) -> Mapping[str, Any]:
        content = json_object(response)
        if response.status_code not in expected:
            raise StepFailed(refusal, said=what_it_said(response))
        if content is None:
            raise StepFailed("the answer is not a JSON object", said=what_it_said(response))
        return content


def code_challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 §4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def basic_credentials(client_id: str, client_secret: str) -> str:
    """The Authorization header of client_secret_basic, form-encoded first (OAuth 2.1 §2.4.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def choose_scope(
    challenged: str | None,
    supported_by_resource: list[str] | None,
    metadata: AuthorizationServerMetadata,
) -> str | None:
    """What to ask for: the challenge's scope, else the resource's, else nothing; and to stay.

    `offline_access` is added where the authorization server lists it (MCP authorization,
    scope selection and refresh tokens).
    """
    scope = challenged or " ".join(supported_by_resource or [])
    if "offline_access" in metadata.scopes_supported and "offline_access" not in scope.split():
        scope = f"{scope} offline_access".strip()
    return scope or None
