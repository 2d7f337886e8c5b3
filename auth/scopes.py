"""Scopes (RFC 6749 §3.3): which there are, and which of those a client may ask for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auth.models import Client, Identity

OFFLINE_ACCESS = "offline_access"
"""Asked for by clients that want to refresh (OpenID Connect Core §11). Accepted, never needed:
every client whose grant types include refresh_token gets one."""

_SCOPE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
MAX_SCOPE = 2048


@dataclass(frozen=True, slots=True)
class ScopeCatalogue:
    """The scopes of this server, in the order in which people read them.

    `required` are those that every call needs: what a request without scope asks for. `words` says
    in plain words what a scope allows, where the operator did; `uses` names what needs it.
    """

    supported: tuple[str, ...]
    required: tuple[str, ...]
    words: Mapping[str, str]
    uses: Mapping[str, Sequence[str]]

    def narrow(self, scopes: tuple[str, ...], client: Client) -> tuple[str, ...]:
        """Those of the scopes that exist here and that the client may ask for, in our order.

        Only what the operator wrote down limits a client: what it said of itself when it registered
        (often a copy of the challenge of that moment) is no ceiling, the person's consent is.
        """
        ceiling = split(client.scope) if client.identity is Identity.PREREGISTERED else ()
        return tuple(
            scope
            for scope in self.supported
            if scope in scopes and (not ceiling or scope in ceiling)
        )

    def requested(self, scope: str | None, client: Client) -> tuple[str, ...]:
        """What a request asks for: the defaults if it names none; () if it names only unknowns."""
        names = [name for name in split(scope) if name != OFFLINE_ACCESS]
        return self.narrow(tuple(names) or self.required, client)


def is_scope(scope: str) -> bool:
    """Whether this is of RFC 6749's alphabet; more spaces than one between names are forgiven."""
    return len(scope) <= MAX_SCOPE and _SCOPE.fullmatch(scope) is not None


def split(scope: str | None) -> tuple[str, ...]:
    """The scopes in a scope string, each once."""
    return tuple(dict.fromkeys((scope or "").split()))
