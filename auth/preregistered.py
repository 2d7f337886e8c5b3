"""Clients that the operator registers in a TOML file, under the names of RFC 7591 §2.

    [[clients]]
    client_id = "nightly-report"
    client_name = "Nightly report"
    secret_sha256 = "…"                     # or jwks_uri = "https://…", or [clients.jwks]
    grant_types = ["client_credentials"]
    scope = "user"

The secret is drawn at random and its digest alone written down, in hexadecimal:
`secret=$(openssl rand -hex 32) && echo $secret && printf %s $secret | sha256sum`
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from auth.jwks import read_jwks
from auth.models import Client, Identity
from auth.redirect_uris import check_redirect_uri
from auth.uris import check_web_uri

# RFC 6749 appendix A.1 without the colon, which ends the name in HTTP Basic.
_CLIENT_ID = re.compile(r"[\x21-\x39\x3b-\x7e]{1,200}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# The names of other kinds of clients: metadata documents, sealed registrations.
_FOREIGN_PREFIXES = ("https:", "http:", "client_")

GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]


class InvalidClientsFile(ValueError):
    """The file of clients cannot be used; the message names the file, the client and the field."""


def load_clients(path: Path) -> Mapping[str, Client]:
    """The clients in this file, by their client_id; raises InvalidClientsFile."""
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise InvalidClientsFile(f"{path}: it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidClientsFile(f"{path}: it is not TOML: {error}") from error
    tables = content.pop("clients", [])
    if content or not isinstance(tables, list):
        raise InvalidClientsFile(f"{path}: it must hold [[clients]] tables and nothing else")
    clients: dict[str, Client] = {}
    for number, table in enumerate(tables, start=1):
        client = _read_client(path, number, table)
        if client.client_id in clients:
            raise InvalidClientsFile(f"{path}: {client.client_id}: client_id is used twice")
        clients[client.client_id] = client
    return MappingProxyType(clients)


def _read_client(path: Path, number: int, table: Any) -> Client:
    try:
        return _PreregisteredClient.model_validate(table).to_client()
    except ValidationError as error:
        client_id = table.get("client_id") if isinstance(table, dict) else None
        name = client_id or f"client number {number}"
        detail = error.errors(include_url=False)[0]
        field = ".".join(map(str, detail["loc"]))
        # Neither value nor input: somebody may have written a secret where its digest belongs.
        message = detail["msg"].removeprefix("Value error, ")
        raise InvalidClientsFile(
            ": ".join(filter(None, (str(path), str(name), field, message)))
        ) from None


def _own_client_id(client_id: str) -> str:
    if client_id.lower().startswith(_FOREIGN_PREFIXES):
        raise ValueError(f"must not start with {', '.join(_FOREIGN_PREFIXES)}: others do")
    if not _CLIENT_ID.fullmatch(client_id):
        raise ValueError("must be 1 to 200 ASCII characters without spaces and colons")
    return client_id


def _sha256(digest: str) -> str:
    if not _SHA256.fullmatch(digest):
        raise ValueError("must be the SHA-256 of the secret, as 64 hexadecimal digits")
    return digest


def _public_jwks(jwks: dict[str, Any]) -> dict[str, Any]:
    read_jwks(jwks)
    return jwks


def _web_uri(uri: str) -> str:
    check_web_uri(uri)
    return uri


WebUri = Annotated[str, AfterValidator(_web_uri)]


class _PreregisteredClient(BaseModel):
    """One [[clients]] table."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    client_id: Annotated[str, AfterValidator(_own_client_id)]
    client_name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    secret_sha256: Annotated[str, AfterValidator(_sha256)] | None = None
    jwks: Annotated[dict[str, Any], AfterValidator(_public_jwks)] | None = None
    jwks_uri: WebUri | None = None
    redirect_uris: list[str] = Field(default_factory=list)
    grant_types: Annotated[list[GrantType], Field(min_length=1)] = Field(
        default=["authorization_code", "refresh_token"]
    )
    scope: str | None = None
    client_uri: WebUri | None = None

    @model_validator(mode="after")
    def _agree_with_each_other(self) -> Self:
        if sum(map(bool, (self.secret_sha256, self.jwks, self.jwks_uri))) > 1:
            raise ValueError("give one of secret_sha256, jwks and jwks_uri, not several")
        if ("authorization_code" in self.grant_types) != bool(self.redirect_uris):
            raise ValueError("redirect_uris and the grant type authorization_code need each other")
        for index, uri in enumerate(self.redirect_uris):
            if reason := check_redirect_uri(uri, is_public=self._auth_method() == "none"):
                raise ValueError(f"redirect_uris.{index} {reason}")
        if "refresh_token" in self.grant_types and "authorization_code" not in self.grant_types:
            raise ValueError("the grant type refresh_token needs authorization_code")
        if "client_credentials" in self.grant_types:
            self._check_client_credentials()
        return self

    def _check_client_credentials(self) -> None:
        if self._auth_method() == "none":
            raise ValueError("client_credentials needs secret_sha256, jwks or jwks_uri")
        if not self.scope:
            raise ValueError("client_credentials needs scope: the most that it may ask for")

    def _auth_method(self) -> str:
        if self.secret_sha256:
            return "client_secret"
        return "private_key_jwt" if self.jwks or self.jwks_uri else "none"

    def to_client(self) -> Client:
        """The record. `client_secret`: by Basic or in the body, as the client likes."""
        return Client(
            client_id=self.client_id,
            client_name=self.client_name,
            redirect_uris=tuple(self.redirect_uris),
            identity=Identity.PREREGISTERED,
            token_endpoint_auth_method=self._auth_method(),
            grant_types=tuple(self.grant_types),
            scope=self.scope,
            client_uri=self.client_uri,
            secret_digest=bytes.fromhex(self.secret_sha256) if self.secret_sha256 else None,
            jwks=read_jwks(self.jwks) if self.jwks else None,
            jwks_uri=self.jwks_uri,
        )
