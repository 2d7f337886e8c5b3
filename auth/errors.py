"""Everything that can go wrong, as types named by the code on the wire.

    OAuthError                      JSON: RFC 6749 §5.2, RFC 7591 §3.2.2
    ├── InvalidRequest              invalid_request
    ├── InvalidClient               invalid_client, 401
    ├── InvalidGrant                invalid_grant
    ├── UnauthorizedClient          unauthorized_client
    ├── UnsupportedGrantType        unsupported_grant_type
    ├── InvalidScope                invalid_scope
    ├── InvalidTarget               invalid_target (RFC 8707 §2)
    ├── InvalidRedirectUri          invalid_redirect_uri (RFC 7591)
    ├── InvalidClientMetadata       invalid_client_metadata (RFC 7591)
    └── TemporarilyUnavailable      temporarily_unavailable, 503 with Retry-After
        └── TooManyRequests         temporarily_unavailable, 429 with Retry-After
            └── Overloaded          temporarily_unavailable, 503 with Retry-After
    AuthorizationError              sent to the client by redirect (OAuth 2.1 §4.1.2.1)
    PageError                       told to the person on a page: nobody can be redirected to

Raised where the fault is seen, rendered in one place (`failures.py`).
"""

from typing import ClassVar


class OAuthError(Exception):
    """An error answer in JSON. The description says what to do and never repeats input."""

    error: ClassVar[str]
    status: int = 400

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description


class InvalidRequest(OAuthError):
    error = "invalid_request"

    def __init__(self, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status = status


class InvalidClient(OAuthError):
    """Client authentication failed. `challenge`: the client used the Authorization header.

    Only then, although RFC 9110 §15.5.2 wants one in each 401: told of a challenge, oauth4webapi
    does not read the error, and so would not register again. Who introspects never registers.
    """

    error = "invalid_client"
    status = 401

    def __init__(self, description: str, *, challenge: bool = False) -> None:
        super().__init__(description)
        self.challenge = challenge


class InvalidGrant(OAuthError):
    error = "invalid_grant"


class UnauthorizedClient(OAuthError):
    error = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    error = "unsupported_grant_type"


class InvalidScope(OAuthError):
    error = "invalid_scope"


class InvalidTarget(OAuthError):
    error = "invalid_target"


class InvalidRedirectUri(OAuthError):
    error = "invalid_redirect_uri"


class InvalidClientMetadata(OAuthError):
    error = "invalid_client_metadata"


class TemporarilyUnavailable(OAuthError):
    """Trouble on our side: try again after `retry_after` seconds."""

    error = "temporarily_unavailable"
    status = 503

    def __init__(self, description: str, retry_after: int = 1) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class TooManyRequests(TemporarilyUnavailable):
    """A limit was reached; it lifts after `retry_after` seconds."""

    status = 429


class Overloaded(TooManyRequests):
    """Everybody together asks for more than this machine can do: the same, but not their fault."""

    status = 503


class AuthorizationError(Exception):
    """An error the client is told by redirect, once its redirect URI is known to be its own."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class PageError(Exception):
    """An error that only the person can be told.

    `kind` chooses the words in `templates/error.html`; `details` are what they mention.
    """

    def __init__(self, kind: str, status: int = 400, **details: str | int | None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.status = status
        self.details = details
