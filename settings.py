"""The settings: the only reader of the environment. Every name has the prefix LATCHGATE_."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    DirectoryPath,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from origins import Origins, canonical_origin, canonical_resource, issuer_identifier

PREFIX = "LATCHGATE_"
MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_MIN_KEY_LENGTH = 32
_MIN_PASSWORD_LENGTH = 8
_MODULE_AND_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_WEB_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")


def _split(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _web_origin(value: str) -> str:
    origin = value.lower().removesuffix("/")
    if origin != "*" and not _WEB_ORIGIN.fullmatch(origin):
        raise ValueError(f"{value!r} is neither an origin, such as https://app.example.com, nor *")
    return origin


def _scope(value: str) -> str:
    if not _SCOPE.fullmatch(value):
        raise ValueError(f"{value!r} is no scope: it needs ASCII without quote and backslash")
    return value


def _module_and_name(value: str) -> str:
    if not _MODULE_AND_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not module:name, such as my_tools:mcp")
    return value


def _strong_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _MIN_KEY_LENGTH:
        raise ValueError(
            f"a key has at least {_MIN_KEY_LENGTH} characters: make one with "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return value


def _long_password(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < _MIN_PASSWORD_LENGTH:
        raise ValueError(f"a password has at least {_MIN_PASSWORD_LENGTH} characters")
    return value


T = TypeVar("T")
Words = Annotated[tuple[T, ...], NoDecode, BeforeValidator(_split)]
Seconds = Annotated[int, Field(gt=0)]
OwnOrigin = Annotated[str, AfterValidator(canonical_origin)]
WebOrigin = Annotated[str, AfterValidator(_web_origin)]
Resource = Annotated[str, AfterValidator(canonical_resource)]
Issuer = Annotated[str, AfterValidator(issuer_identifier)]
Scope = Annotated[str, AfterValidator(_scope)]
ModuleAndName = Annotated[str, AfterValidator(_module_and_name)]
Key = Annotated[SecretStr, AfterValidator(_strong_key)]
Password = Annotated[SecretStr, AfterValidator(_long_password)]


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
    logo: FilePath | None = Field(
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
    browser_origins: Words[WebOrigin] = Field(
        (),
        description="Further web origins whose pages may call /mcp; * for any.",
    )

    store_url: str = Field("memory://", description="memory://, sqlite:///path or valkey://host.")
    secret_keys: Words[Key] = Field(
        (), description="The key ring, newest first; unset: one key is made and kept by the store."
    )

    admin_username: str = Field("admin", description="The account the first start creates.")
    admin_password: Password | None = Field(
        None, description="Its password; unset: a random one, printed once."
    )

    password_memory_kib: int = Field(
        19_456, ge=8, description="argon2id: memory for one password, in KiB (OWASP: 19456)."
    )
    password_iterations: int = Field(2, ge=1, description="argon2id: passes over that memory.")

    scopes: Words[Scope] = Field(
        ("user", "user:write"),
        description="The scopes that clients may ask for, besides those tools name.",
    )
    required_scopes: Words[Scope] = Field(
        ("user",),
        description="The scopes that every call to /mcp needs: the defaults of a request.",
    )

    clients_file: FilePath | None = Field(
        None, description="A TOML file of pre-registered clients."
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
        description="Seconds in which a spent refresh token still repeats its answer.",
    )
    session_ttl: Seconds = Field(
        8 * HOUR, description="Seconds that a person stays signed in unseen."
    )
    session_max_ttl: Seconds = Field(
        12 * HOUR, description="Seconds that a person stays signed in at most."
    )
    request_ttl: Seconds = Field(
        10 * MINUTE, description="Seconds that a sign-in or consent page may stand open."
    )

    mcp_server: ModuleAndName = Field(
        "resource_server.server:create_mcp_server",
        description="module:name of the MCP server to protect, or of a function that makes it.",
    )
    mcp_sessions: Literal["auto", "stateful", "stateless"] = Field(
        "auto",
        description="Sessions before protocol 2026-07-28; auto: unless the store is shared.",
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
    introspection_client_secret: SecretStr | None = Field(
        None, description="Split deployment: its secret, the same on both sides."
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


def load_settings() -> Settings:
    """The settings from the environment and `.env`, for a program that starts.

    Where one is wrong the program ends (SystemExit) with a message for the person who set it: each
    wrong variable, why, and what it is for. No value of a secret is in it.
    """
    try:
        settings = Settings()
        problems = _misspelt()
    except ValidationError as error:
        wrong = dict.fromkeys((detail["loc"][:1], detail["msg"]) for detail in error.errors())
        problems = _misspelt() + [_explain(*pair) for pair in wrong]
    except (OSError, UnicodeDecodeError) as error:
        problems = [f".env cannot be read: {error}"]
    else:
        if not problems:
            return settings
    start = "Latchgate does not start, because of its settings."
    end = (
        "They come from the environment and from the file .env in this directory; "
        ".env.example describes each."
    )
    raise SystemExit("\n\n".join((start, *problems, end)))


def _explain(location: tuple[int | str, ...], message: str) -> str:
    """What is wrong with one setting and what it is for; agreeing ones name themselves."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0])
    return f"{PREFIX}{name.upper()}: {message}\n    {Settings.model_fields[name].description}"


def _misspelt() -> list[str]:
    """Names that are no setting but nearly one: what was meant would be silently left at default.

    Others with our prefix are not ours to judge: orchestrators make LATCHGATE_PORT and the like.
    """
    given = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    names = {PREFIX.lower() + name: name for name in Settings.model_fields}
    return [
        f"{name.upper()} is no setting; did you mean {PREFIX}{nearest[0].upper()}?"
        for name in sorted(given - names.keys())
        if name.startswith(PREFIX.lower())
        and (nearest := _nearest(name.removeprefix(PREFIX.lower()), names.values()))
    ]


def _nearest(name: str, names: Iterable[str]) -> list[str]:
    return get_close_matches(name, names, n=1, cutoff=0.85)
