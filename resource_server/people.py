"""What the tools know of people: a protocol, so that they do not care who keeps the records."""

from dataclasses import dataclass
from typing import Any, Protocol

from mcp.server.auth.middleware.auth_context import get_access_token

CLIENT_SUBJECT = "client:"
"""How the subject of our own authorization server's tokens begins if a client is no person's."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Who a person is. `last_sign_in_at` is in seconds since the epoch."""

    subject: str
    username: str
    name: str
    email: str
    roles: tuple[str, ...]
    last_sign_in_at: int | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """How a person's clients use us, as far as it is counted."""

    requests_today: int | None = None
    last_used_at: int | None = None


class ProfileUnchanged(Exception):
    """A profile could not be changed; the message tells the person why."""


class People(Protocol):
    """The records of people, found by their subject (RFC 7662 §2.2 `sub`)."""

    async def find_profile(self, subject: str) -> Profile | None:
        """Who this is, None if there is no such person any more."""

    async def find_activity(self, subject: str) -> Activity:
        """How they use us."""

    async def update_profile(self, subject: str, name: str | None, email: str | None) -> Profile:
        """Change what is not None; ProfileUnchanged if it cannot be."""


class ClaimedPeople:
    """People as their authorization server describes them, in split deployment.

    Knows the one person who is calling, from what came with the token (RFC 7662 §2.2, OpenID
    Connect Core §5.1), and keeps no records.
    """

    async def find_profile(self, subject: str) -> Profile | None:
        """The person who is calling; nobody else is known."""
        token = get_access_token()
        if token is None or token.subject != subject:
            return None
        claims = token.claims or {}
        return Profile(
            subject=subject,
            username=_text(claims, "username", "preferred_username") or subject,
            name=_text(claims, "name"),
            email=_text(claims, "email"),
            roles=_roles(claims.get("roles")),
            last_sign_in_at=_moment(claims.get("auth_time")),
        )

    async def find_activity(self, subject: str) -> Activity:  # noqa: ARG002 - People's signature
        """Nothing is counted here."""
        return Activity()

    async def update_profile(self, subject: str, name: str | None, email: str | None) -> Profile:  # noqa: ARG002 - the same
        """Never: the records are the authorization server's."""
        raise ProfileUnchanged("Profiles are kept by the authorization server: change yours there.")


def _text(claims: dict[str, Any], *names: str) -> str:
    values = (claims.get(name) for name in names)
    return next((value for value in values if isinstance(value, str)), "")


def _roles(value: object) -> tuple[str, ...]:
    return tuple(role for role in value if isinstance(role, str)) if isinstance(value, list) else ()


def _moment(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None
