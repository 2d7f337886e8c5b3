"""Every setting: what it is for, and a default that is safe."""

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import DirectoryPath, Field, FilePath, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from origins import Origins
from settings.values import (
    Issuer,
    Key,
    Limit,
    ModuleAndName,
    Number,
    OwnOrigin,
    Password,
    Picture,
    Port,
    Resource,
    Scope,
    ScopeWords,
    Seconds,
    Secret,
    WebOrigin,
    Words,
)

PREFIX = "LATCHGATE_"
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Settings(BaseSettings):
    """What an operator may say; every value has a default that works on one's own machine.

    Lists are words separated by spaces or commas. Durations are whole seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    name: str = Field("Latchgate", description="The name of this server, as people read it.")
    accent_color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = Field(
        "#1f5fbf", description="The colour of buttons and links on the pages, #rrggbb."
    )
    logo: Picture | None = Field(
        None, description="The picture on the pages, an .svg, .png or .webp file; unset: ours."
    )

    public_url: OwnOrigin | None = Field(
        None,
        description=(
            "The https URL under which clients reach this server, without a path. "
            "Unset: any loopback host and port."
        ),
    )
    extra_origins: Words[OwnOrigin] = Field((), description="Further https URLs that lead here.")
    contained: bool = Field(
        default=False,
        description=(
            "Whether a container decides who reaches the port: only then may a server without a "
            "public URL listen on more than this machine's loopback."
        ),
    )
    browser_origins: Words[WebOrigin] = Field(
        (),
        description="Further web origins whose pages may call /mcp; * for any.",
    )

    store_url: str = Field("memory://", description="memory://, sqlite:///path or valkey://host.")
    secret_keys: Words[Key] = Field(
        (),
        description=(
            "The key ring, newest first; unset: one is made and kept in a file. Needed with Valkey."
        ),
    )

    admin_username: str = Field("admin", description="The account the first start creates.")
    admin_password: Password | None = Field(
        None, description="The password of the first account; unset: a random one, printed once."
    )

    password_memory_kib: int = Field(
        19_456, ge=8, description="argon2id: memory for one password, in KiB (OWASP: 19456)."
    )
    password_iterations: int = Field(2, ge=1, description="argon2id: passes over the memory.")

    scopes: Words[Scope] = Field(
        ("user", "user:write"),
        description="The scopes that clients may ask for, besides those tools name.",
    )
    required_scopes: Words[Scope] = Field(
        ("user",),
        description=(
            "The scopes that every call to /mcp needs; also what a client gets that asks for none."
        ),
    )

    scope_words: ScopeWords = Field(
        {},
        description=(
            "What scopes allow, as the consent page says it: `files:write=Save your files; …`. "
            "Unset: the names of the tools that need them."
        ),
    )

    clients_file: FilePath | None = Field(
        None, description="A TOML file of pre-registered clients."
    )
    registration: Literal["on", "off"] = Field(
        "on", description="Whether clients may register themselves; those that did may stay."
    )
    client_metadata_documents: Literal["on", "off"] = Field(
        "on", description="Whether a client_id may be the URL of a client's metadata document."
    )
    client_metadata_hosts: Words[str] = Field(
        (), description="The only hosts whose metadata documents are fetched; empty: any."
    )
    client_metadata_pins: FilePath | DirectoryPath | None = Field(
        None,
        description="Metadata documents to use instead of fetching them: a JSON file, or a "
        "directory of such files.",
    )
    client_metadata_loopback: bool = Field(
        default=False,
        description="For development: metadata documents on this machine too, and over http.",
    )

    code_ttl: int = Field(
        60, gt=0, le=10 * MINUTE, description="Life of an authorization code, in seconds."
    )
    access_token_ttl: Seconds = Field(HOUR, description="Life of an access token, in seconds.")
    refresh_token_ttl: Seconds = Field(
        30 * DAY, description="Seconds that a refresh token may lie unused."
    )
    grant_ttl: Seconds = Field(
        90 * DAY, description="Seconds that a consent lasts, however often it is refreshed."
    )
    refresh_grace: int = Field(
        120,
        ge=0,
        le=120,
        description=(
            "Seconds in which a spent refresh token still repeats its answer: no longer than an "
            "access token lives."
        ),
    )
    session_ttl: Seconds = Field(
        8 * HOUR, description="Seconds that a person stays signed in without a request."
    )
    session_max_ttl: Seconds = Field(
        12 * HOUR, description="Seconds that a person stays signed in at most."
    )
    request_ttl: Seconds = Field(
        10 * MINUTE, description="Seconds that a sign-in or consent page may stand open."
    )

    trusted_proxies: Number = Field(
        0,
        description="How many proxies stand in front: so many hops of X-Forwarded-For count.",
    )
    body_timeout: Seconds = Field(
        30, description="Seconds in which the body of a request has to arrive."
    )
    sign_in_limit: Limit = Field(
        "5/5minutes;20/hour", description="Failed sign-ins with one name from one address."
    )
    sign_in_account_limit: Limit = Field(
        "100/hour",
        description=(
            "Failed sign-ins with one name from anywhere; browsers in which that person has signed "
            "in before are not counted."
        ),
    )
    sign_in_address_limit: Limit = Field(
        "20/minute;200/hour", description="Failed sign-ins from one address, whatever the name."
    )
    password_queue: Number = Field(
        50, description="Passwords that may wait to be checked; further ones are sent away (503)."
    )
    authorization_limit: Limit = Field(
        "120/minute", description="Authorization requests from one address."
    )
    registration_limit: Limit = Field(
        "30/minute;300/hour", description="Registrations of clients from one address."
    )
    client_metadata_limit: Limit = Field(
        "30/minute;300/hour",
        description="Metadata documents nobody named before, by requests from one address.",
    )
    client_metadata_fetch_limit: Limit = Field(
        "60/minute",
        description="Requests of ours to one host for documents and keys of clients; "
        "as many again for those that were good before.",
    )
    client_authentication_limit: Limit = Field(
        "10/minute", description="Wrong secrets of one client from one address."
    )
    token_limit: Limit = Field(
        "20/minute", description="Failed token requests of one client with one code or token."
    )
    token_lookup_limit: Limit = Field(
        "300/minute",
        description="Introspections and revocations of unknown tokens by one client.",
    )
    client_assertion_limit: Limit = Field(
        "600/minute",
        description="Assertions, good ones too, of clients known by their documents, "
        "from one address.",
    )
    streams_per_person: Number = Field(
        32, description="Streams of /mcp that one person may have open."
    )
    streams: Number = Field(1000, description="Streams of /mcp that may be open in all.")

    log_format: Literal["readable", "json"] = Field(
        "readable", description="Log lines for people, or a JSON object each."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least of our log lines to write; the audit log is always written."
    )
    metrics_token: Key | None = Field(
        None, description="The Bearer token that opens /metrics; unset: there is no such path."
    )
    metrics_port: Port | None = Field(
        None, description="A port of their own for metrics, without a token; unset: none."
    )
    metrics_host: str = Field(
        "127.0.0.1", description="The address on which LATCHGATE_METRICS_PORT is opened."
    )

    mcp_server: ModuleAndName = Field(
        "resource_server.server:create_mcp_server",
        description="module:name of the MCP server to protect, or of a function that makes it.",
    )
    mcp_sessions: Literal["auto", "stateful", "stateless"] = Field(
        "auto",
        description=(
            "Sessions before protocol 2026-07-28; auto: kept by one process on memory:// or "
            "SQLite, else none."
        ),
    )
    mcp_lists: Literal["all", "usable"] = Field(
        "all", description="Whether lists of tools leave out what the caller's token cannot use."
    )

    resource_server_url: Resource | None = Field(
        None, description="Split deployment, authorization server: the URL of the MCP endpoint."
    )
    authorization_server: Issuer | None = Field(
        None, description="Split deployment, resource server: the issuer whose tokens it takes."
    )
    token_verification: Literal["introspection", "jwks"] = Field(
        "introspection", description="Split deployment: how the resource server checks a token."
    )
    introspection_client_id: str | None = Field(
        None, description="Split deployment: the name with which the resource server introspects."
    )
    introspection_client_secret: Secret | None = Field(
        None,
        description=(
            "Split deployment: the secret with which the resource server introspects, the same on "
            "both sides."
        ),
    )

    @model_validator(mode="after")
    def _agree_with_each_other(self) -> Self:
        if self.extra_origins and not self.public_url:
            raise ValueError(
                f"{PREFIX}EXTRA_ORIGINS needs {PREFIX}PUBLIC_URL: say which origin is the main one"
            )
        if (self.introspection_client_id is None) != (self.introspection_client_secret is None):
            raise ValueError(
                f"{PREFIX}INTROSPECTION_CLIENT_ID and {PREFIX}INTROSPECTION_CLIENT_SECRET "
                "belong together: set both or neither"
            )
        return self

    @cached_property
    def origins(self) -> Origins:
        """Under which origins we are reached."""
        configured = (self.public_url,) if self.public_url else ()
        return Origins((*configured, *self.extra_origins))
