"""The records of the authorization server: frozen, and of every secret only the digest.

Times are seconds since the epoch, named `…_at`; a record is dead from the second of its
`expires_at` on. Digests are the 32 bytes of SHA-256 (`credentials.digest`).
"""

from dataclasses import dataclass
from enum import Enum, auto

Digest = bytes

CLIENT_SUBJECT = "client:"
"""How a grant's `subject` begins that is no person but the client itself (client_credentials)."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person who can sign in: the resource owner (OAuth 2.1 §1.1).

    `subject` is opaque, drawn once and never given to anybody else (RFC 7662 §2.2 `sub`).
    """

    subject: str
    username: str
    password_hash: str
    name: str
    email: str
    roles: tuple[str, ...]
    created_at: int
    disabled_at: int | None = None
    last_sign_in_at: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a person is signed in; `expires_at` slides as they are seen."""

    digest: Digest
    subject: str
    signed_in_at: int
    expires_at: int


class Identity(Enum):
    """How we know who a `client_id` is, and so how far its name can be believed."""

    PREREGISTERED = auto()
    """The operator wrote it down."""
    METADATA_DOCUMENT = auto()
    """Its name stands in a document on its own https host."""
    SELF_DECLARED = auto()
    """It registered itself: anybody can choose that name (RFC 7591 §5)."""


@dataclass(frozen=True, slots=True)
class Client:
    """A client and its metadata (RFC 7591 §2), however we came to know it.

    `scope` is what it registered, None when it named none and may ask for every public scope.
    `secret_digest` is of a pre-registered client's secret; the secret of a sealed registration is
    derived from the key ring instead. `jwks` is a JSON Web Key Set (RFC 7517 §5) as JSON text.
    """

    client_id: str
    client_name: str
    redirect_uris: tuple[str, ...]
    identity: Identity
    token_endpoint_auth_method: str = "none"
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    scope: str | None = None
    client_uri: str | None = None
    logo_uri: str | None = None
    registered_at: int = 0
    secret_digest: Digest | None = None
    jwks: str | None = None
    jwks_uri: str | None = None

    @property
    def is_confidential(self) -> bool:
        """Whether it can authenticate (OAuth 2.1 §2.1)."""
        return self.token_endpoint_auth_method != "none"


@dataclass(frozen=True, slots=True)
class Grant:
    """One person's consent to one client for one resource: the root of a family of tokens.

    The refresh token is not stored at all: it is a function of a handle that only the client
    holds and of `generation`, the number of the one that is now valid (`tokens.py`). 0 means that
    the code has not been exchanged yet. `grant_id` is derived from the handle's digest.
    `expires_at` slides with each refresh and never passes `ends_at`.
    """

    grant_id: str
    subject: str
    client_id: str
    client_name: str
    redirect_uri: str
    resource: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    ends_at: int
    generation: int = 0
    rotated_at: int = 0
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code (OAuth 2.1 §4.1.2): what it is bound to, and whether it was used."""

    digest: Digest
    grant_id: str
    client_id: str
    redirect_uri: str
    code_challenge: str
    expires_at: int
    is_spent: bool = False


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token: opaque on the wire, a digest here; everything else is in its grant."""

    digest: Digest
    grant_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Use:
    """How a grant was used: calls in all, on `day` (days since the epoch, UTC), and when last."""

    grant_id: str
    calls: int
    day: int
    calls_on_day: int
    last_used_at: int


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, for the audit log and the person's activity page. Never a secret."""

    at: int
    kind: str
    subject: str | None
    client_id: str | None
    grant_id: str | None
    address: str | None
    correlation_id: str | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ban:
    """A client that the operator shut out, by the digest of its `client_id`."""

    digest: Digest
    client_name: str
    banned_at: int
    reason: str


class Consumption(Enum):
    """What came of presenting an authorization code (OAuth 2.1 §4.1.3)."""

    CONSUMED = auto()
    """It is spent now, and what it gave is stored."""
    REPLAYED = auto()
    """It was spent before: one of two holders is a thief, and the grant is revoked now."""
    REFUSED = auto()
    """It is unknown or expired, or its grant is revoked."""


class Rotation(Enum):
    """What came of presenting a refresh token (OAuth 2.1 §4.3.1)."""

    ROTATED = auto()
    """It was the valid one: it is spent now, its successor and the access token are stored."""
    REPEATED = auto()
    """It was spent a moment ago and its successor is unused: the same answer may be given again."""
    REPLAYED = auto()
    """It was spent before: one of two holders is a thief, and the grant is revoked now."""
    REFUSED = auto()
    """Its grant is unknown, expired or revoked."""
