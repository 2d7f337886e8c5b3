"""The clients that are known beforehand, and where the others are looked up."""

from collections.abc import Callable, Mapping

from auth.client_id_metadata import ClientMetadataDocuments, load_pins
from auth.credentials import digest
from auth.limits import Limits
from auth.models import Client, Identity
from auth.preregistered import load_clients
from auth.safe_fetch import SafeFetcher
from settings import Settings


def preregistered_clients(settings: Settings) -> Mapping[str, Client]:
    """The operator's clients, and the resource server of a split deployment (it introspects)."""
    clients = dict(load_clients(settings.clients_file)) if settings.clients_file else {}
    if settings.introspection_client_id and settings.introspection_client_secret:
        clients[settings.introspection_client_id] = Client(
            client_id=settings.introspection_client_id,
            client_name="Resource server",
            redirect_uris=(),
            identity=Identity.PREREGISTERED,
            token_endpoint_auth_method="client_secret_basic",
            grant_types=(),
            secret_digest=digest(settings.introspection_client_secret.get_secret_value()),
        )
    return clients


def new_fetcher(settings: Settings, limits: Limits) -> SafeFetcher:
    """What fetches the documents and keys of clients; never from ourselves."""
    return SafeFetcher(
        limit=limits.client_metadata_fetch_limit,
        own_hosts=[origin.host for origin in settings.origins.configured],
        allow_loopback=settings.client_metadata_loopback,
    )


def metadata_documents(
    settings: Settings, fetcher: SafeFetcher, clock: Callable[[], float]
) -> ClientMetadataDocuments | None:
    """The clients that describe themselves; None if the operator does not want them."""
    if settings.client_metadata_documents == "off":
        return None
    pins = settings.client_metadata_pins
    return ClientMetadataDocuments(
        fetcher,
        clock,
        hosts=settings.client_metadata_hosts,
        pins=load_pins(pins) if pins else {},
    )
