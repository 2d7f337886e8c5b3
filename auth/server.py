"""What every endpoint is handed: the authorization server and its parts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from auth.accounts import Passwords
from auth.client_assertion import FetchJwks
from auth.client_id_metadata import ClientMetadataDocuments
from auth.credentials import KeyRing
from auth.errors import PageError
from auth.limits import Limits
from auth.models import Client
from auth.pages import Pages
from auth.scopes import ScopeCatalogue
from auth.store import Store
from auth.usage import UseCounter
from origins import Origin
from settings import Settings
from telemetry.metrics import Metrics

Tool = tuple[str, str, tuple[str, ...]]
"""A tool as the home page lists it: name, description, scopes that it needs."""


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """One authorization server: the first argument of each of its endpoints."""

    settings: Settings
    store: Store
    keys: KeyRing
    pages: Pages
    passwords: Passwords
    limits: Limits
    scopes: ScopeCatalogue
    uses: UseCounter
    preregistered: Mapping[str, Client]
    documents: ClientMetadataDocuments | None
    fetch_jwks: FetchJwks
    list_tools: Callable[[], Awaitable[Sequence[Tool]]]
    clock: Callable[[], float]
    metrics: Metrics

    def now(self) -> int:
        """The time, in whole seconds since the epoch."""
        return int(self.clock())

    def origin(self, request: Request) -> Origin:
        """The origin of ours that this request was sent to."""
        origin = self.settings.origins.select(request.headers.get("host", ""))
        if origin is None:
            raise PageError("misdirected", 421)
        return origin
