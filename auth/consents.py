"""What a person is asked, what they allowed before, and the code that their yes gives."""

from collections.abc import Sequence
from dataclasses import dataclass

from auth import tokens
from auth.authorization_requests import AuthorizationRequest
from auth.credentials import digest
from auth.errors import AuthorizationError
from auth.models import Account, Client, Code, Grant, Identity
from auth.redirect_uris import redirect_destination
from auth.server import AuthorizationServer
from auth.sessions import SignedIn


@dataclass(frozen=True, slots=True)
class ScopeChoice:
    """A scope as the consent page shows it."""

    name: str
    words: str
    uses: Sequence[str]
    is_required: bool
    is_held: bool


@dataclass(frozen=True, slots=True)
class Consent:
    """The question: the scopes asked for, and which of them this client holds already."""

    asked: tuple[str, ...]
    held: tuple[str, ...]
    is_remembered: bool

    @property
    def new(self) -> tuple[str, ...]:
        """The scopes to decide on: on step-up only those not held, else all."""
        return tuple(scope for scope in self.asked if scope not in self.held) or self.asked


async def find_consent(
    server: AuthorizationServer, account: Account, asked: AuthorizationRequest
) -> Consent:
    """What there is to ask this person, given the live grants of this client for this resource."""
    grants = [
        grant
        for grant in await server.store.find_grants(
            account.subject, server.now(), asked.client.client_id
        )
        if grant.resource == asked.resource
    ]
    held = {scope for grant in grants for scope in grant.scopes}
    is_remembered = (
        is_proved(asked.client, asked.redirection.redirect_uri)
        and "consent" not in asked.prompt
        and any(_covers(grant, asked) for grant in grants)
    )
    return Consent(
        asked=asked.scopes,
        held=tuple(scope for scope in asked.scopes if scope in held),
        is_remembered=is_remembered,
    )


def is_proved(client: Client, redirect_uri: str) -> bool:
    """Whether the answer can reach nobody but this client, so that a yes may be remembered.

    An https redirect of a client that authenticates, or that stands on the document's own host.
    Any program may claim a loopback port or a private-use scheme (OAuth 2.1 §7.13.2, §8.4).
    """
    kind, host = redirect_destination(redirect_uri)
    if kind != "host":
        return False
    if client.identity is Identity.METADATA_DOCUMENT:
        return redirect_destination(client.client_id) == ("host", host)
    return client.is_confidential


def _covers(grant: Grant, asked: AuthorizationRequest) -> bool:
    """Whether a grant was given for all of this, to a client that looked the same."""
    return (
        set(asked.scopes) <= set(grant.scopes)
        and grant.redirect_uri == asked.redirection.redirect_uri
        and grant.client_name == asked.client.client_name
    )


def choices(server: AuthorizationServer, consent: Consent) -> list[ScopeChoice]:
    """The scopes as the page lists them: those to decide on first."""
    names = (*consent.new, *(scope for scope in consent.asked if scope not in consent.new))
    return [choice(server, name, is_held=name not in consent.new) for name in names]


def choice(server: AuthorizationServer, scope: str, *, is_held: bool) -> ScopeChoice:
    """A scope, with what is known to tell a person about it."""
    return ScopeChoice(
        scope,
        server.scopes.words.get(scope, ""),
        server.scopes.uses.get(scope, ()),
        is_required=scope in server.scopes.required,
        is_held=is_held,
    )


async def give_code(
    server: AuthorizationServer,
    signed_in: SignedIn,
    asked: AuthorizationRequest,
    scopes: tuple[str, ...],
) -> tuple[str, Grant]:
    """A grant of these scopes and the code that leads to it (OAuth 2.1 §4.1.2).

    Raises AuthorizationError if the session ended, the person was disabled or the client banned a
    moment ago.
    """
    code, now, settings = tokens.new_code(), server.now(), server.settings
    handle = tokens.new_handle(server.keys, code)
    grant = Grant(
        grant_id=tokens.grant_id_of(handle),
        subject=signed_in.account.subject,
        client_id=asked.client.client_id,
        client_name=asked.client.client_name,
        redirect_uri=asked.redirection.redirect_uri,
        resource=asked.resource,
        scopes=scopes,
        created_at=now,
        expires_at=now + settings.code_ttl,
        ends_at=now + settings.grant_ttl,
    )
    issued = Code(
        digest=digest(code),
        grant_id=grant.grant_id,
        client_id=grant.client_id,
        redirect_uri=grant.redirect_uri,
        code_challenge=asked.code_challenge,
        expires_at=now + settings.code_ttl,
    )
    if not await server.store.add_grant(grant, issued, signed_in.session.digest):
        raise AuthorizationError(
            "access_denied", "the account or the client was shut out, or the session ended"
        )
    return code, grant
