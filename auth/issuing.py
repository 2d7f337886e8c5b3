"""What the token endpoint gives: the tokens of one generation and the answer that carries them."""

from dataclasses import dataclass
from math import ceil

from auth import tokens
from auth.credentials import digest
from auth.models import AccessToken, Client, Grant
from auth.server import AuthorizationServer


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """A successful answer (OAuth 2.1 §3.2.3); `expires_in` in seconds."""

    access_token: str
    expires_in: int
    scopes: tuple[str, ...]
    refresh_token: str | None = None

    def members(self) -> dict[str, str | int]:
        """The members of the JSON object on the wire."""
        members: dict[str, str | int] = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": " ".join(self.scopes),
        }
        return members | ({"refresh_token": self.refresh_token} if self.refresh_token else {})


def new_access_token(
    server: AuthorizationServer,
    grant: Grant,
    handle: bytes,
    generation: int,
    scopes: tuple[str, ...],
) -> tuple[str, AccessToken]:
    """The access token of a generation: what the client gets, and what is stored of it."""
    secret = tokens.access_token(server.keys, handle, generation)
    # Rounded up: many clients go by their own clock, and a second too little is a sign-in more.
    expires_at = min(ceil(server.clock() + server.settings.access_token_ttl), grant.ends_at)
    return secret, AccessToken(digest(secret), grant.grant_id, scopes, server.now(), expires_at)


def expiry_after(
    server: AuthorizationServer, client: Client, grant: Grant, access_token: AccessToken
) -> int:
    """When a grant ends unless it is refreshed: not before its access token, not past its end."""
    if "refresh_token" not in client.grant_types:
        return access_token.expires_at
    idle = server.now() + server.settings.refresh_token_ttl
    return max(access_token.expires_at, min(idle, grant.ends_at))


def token_response(
    server: AuthorizationServer, client: Client, secret: str, token: AccessToken, refresh: str
) -> TokenResponse:
    """The answer; the refresh token only for a client that may use one."""
    return TokenResponse(
        access_token=secret,
        expires_in=int(token.expires_at - server.clock()),
        scopes=token.scopes,
        refresh_token=refresh if "refresh_token" in client.grant_types else None,
    )
