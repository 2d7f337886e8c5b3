"""Who a `client_id` is: pre-registered, a metadata document, or a sealed registration."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from auth.client_id_metadata import is_client_id_url
from auth.credentials import KeyRing, digest
from auth.models import Client, Identity
from auth.server import AuthorizationServer
from auth.uris import host_of

SEALED_PREFIX = "client_"
SECRET_PREFIX = "mcp_cs_"
MAX_CLIENT_ID = 4096

_PURPOSE = "client registration"

# The sealed members under short names, with what is meant when one is left out: a client_id
# travels in every URL, so it carries nothing that can be known without it.
_MEMBERS: dict[str, tuple[str, Any]] = {
    "n": ("client_name", ""),
    "r": ("redirect_uris", ()),
    "m": ("token_endpoint_auth_method", "none"),
    "g": ("grant_types", ("authorization_code", "refresh_token")),
    "s": ("scope", None),
    "u": ("client_uri", None),
    "t": ("registered_at", 0),
}


async def find_client(server: AuthorizationServer, client_id: str, network: str) -> Client | None:
    """The client with this id, None if there is none or the operator banned it.

    Raises DocumentUnreachable and DocumentInvalid for a metadata document (`client_id_metadata`),
    and TooManyRequests if who asks, from this network, has us fetch one unknown document after
    another.
    """
    client = server.preregistered.get(client_id)
    if client is None and is_client_id_url(
        client_id, allow_loopback=server.settings.client_metadata_loopback
    ):
        client = await _find_document(server, client_id, network)
    elif client is None:
        client = open_client_id(server.keys, client_id)
    if client is None or await server.store.find_ban(digest(client_id)):
        return None
    return client


def identity_of(server: AuthorizationServer, client_id: str) -> Identity:
    """How we know who this is, without fetching anything."""
    if client_id in server.preregistered:
        return Identity.PREREGISTERED
    if client_id.startswith(SEALED_PREFIX):
        return Identity.SELF_DECLARED
    # What is neither was an operator's, who has taken it out of the file since.
    return Identity.METADATA_DOCUMENT if "://" in client_id else Identity.PREREGISTERED


def label_of(server: AuthorizationServer, client_id: str) -> str:
    """What a person may recognize a client by: its host, or the name that it has with us."""
    client = server.preregistered.get(client_id) or open_client_id(server.keys, client_id)
    return client.client_name if client else host_of(client_id) or client_id


async def _find_document(
    server: AuthorizationServer, client_id: str, network: str
) -> Client | None:
    if server.documents is None:
        return None
    if not server.documents.is_known(client_id):
        await server.limits.client_metadata_limit.take(network)
    return await server.documents.find(client_id)


def seal_client(keys: KeyRing, client: Client) -> str:
    """A `client_id` that is the registration itself, sealed (RFC 7591 §A.5.2)."""
    members = {
        short: getattr(client, name)
        for short, (name, default) in _MEMBERS.items()
        if getattr(client, name) != default
    }
    return SEALED_PREFIX + keys.seal(_PURPOSE, members)


@lru_cache(maxsize=1024)
def open_client_id(keys: KeyRing, client_id: str) -> Client | None:
    """The client that was sealed into this id; None for an id that we did not make."""
    if not client_id.startswith(SEALED_PREFIX) or len(client_id) > MAX_CLIENT_ID:
        return None
    members = keys.unseal(_PURPOSE, client_id.removeprefix(SEALED_PREFIX))
    if members is None:
        return None
    metadata = {name: members.get(short, default) for short, (name, default) in _MEMBERS.items()}
    for name in ("redirect_uris", "grant_types"):
        metadata[name] = tuple(metadata[name])
    return Client(client_id=client_id, identity=Identity.SELF_DECLARED, **metadata)


def secret_of(keys: KeyRing, client_id: str) -> str:
    """The secret of a sealed confidential client: derived, so that nothing has to be stored."""
    return next(_secrets_of(keys, client_id))


def has_secret(keys: KeyRing, client: Client, secret: str) -> bool:
    """Whether this is the client's secret, by its digest or under any key of the ring."""
    presented = digest(secret)
    if client.identity is Identity.PREREGISTERED:
        return client.secret_digest == presented
    # Digests of secrets are compared, so the time taken tells nothing about the secrets.
    return any(digest(derived) == presented for derived in _secrets_of(keys, client.client_id))


def _secrets_of(keys: KeyRing, client_id: str) -> Iterator[str]:
    return (
        SECRET_PREFIX + urlsafe_b64encode(mac).rstrip(b"=").decode()
        for mac in keys.derivations("client secret", client_id.encode())
    )
