"""The kinds of values that settings have: what may be written, and what is made of it."""

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeVar

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr
from pydantic_settings import NoDecode

from origins import canonical_origin, canonical_resource, issuer_identifier

SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
"""One scope (RFC 6749 §3.3)."""
PICTURE_TYPES = {".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}

_MIN_KEY_LENGTH = 32
_MIN_KEY_CHARACTERS = 8
_MIN_SECRET_LENGTH = 16
_MIN_PASSWORD_LENGTH = 8
_MODULE_AND_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")
_WEB_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")
_EXAMPLE_KEY = re.compile(
    r"change.?(?:me|it|this)|example|insert|placeholder|replace|your.?(?:secret|key)"
)
# What everybody tries first; nothing but digits and signs is the empty word of these.
_DEFAULT_PASSWORD = re.compile(
    r"(?:abc|admin(?:istrator)?|asdf(?:gh(?:jkl)?)?|changeme|default|demo|guest|hello|iloveyou"
    r"|latchgate|letmein|login|mcp|pass(?:word|wort|phrase)?|qwert[yz](?:uiop)?|root|secret|server"
    r"|test|user|welcome)*"
)
_SIGNS = r"[\W\d_]+"
_LETTERS_MEANT = str.maketrans("@01345$7!", "aoieasstl")


def _split(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _words_by_scope(value: object) -> object:
    """`scope=words` with semicolons between."""
    if not isinstance(value, str):
        return value
    pairs = [[part.strip() for part in pair.partition("=")] for pair in value.split(";")]
    if not all(scope and words for scope, _, words in pairs):
        raise ValueError("write it like files:write=Save your files; files:read=See your files")
    return {scope: words for scope, _, words in pairs}


def _web_origin(value: str) -> str:
    origin = value.lower().removesuffix("/")
    if origin != "*" and not _WEB_ORIGIN.fullmatch(origin):
        raise ValueError(f"{value!r} is neither an origin, such as https://app.example.com, nor *")
    return origin


def _scope(value: str) -> str:
    if not SCOPE_TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is no scope: it needs ASCII without quote and backslash")
    return value


def _module_and_name(value: str) -> str:
    if not _MODULE_AND_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not module:name, such as my_tools:mcp")
    return value


def _picture(value: Path) -> Path:
    if value.suffix.lower() not in PICTURE_TYPES:
        *others, last = PICTURE_TYPES
        raise ValueError(f"{value.name!r} is no {', '.join(others)} or {last} file")
    return value


def _strong_key(value: SecretStr) -> SecretStr:
    return _strong(value, "key", _MIN_KEY_LENGTH)


def _strong_secret(value: SecretStr) -> SecretStr:
    """Shorter than a key, since another's server may have made it."""
    return _strong(value, "secret", _MIN_SECRET_LENGTH)


def _strong(value: SecretStr, kind: str, length: int) -> SecretStr:
    text = value.get_secret_value()
    if len(text) < length:
        problem = f"a {kind} has at least {length} characters"
    elif len(set(text)) < _MIN_KEY_CHARACTERS or _EXAMPLE_KEY.search(text.lower()):
        problem = f"this {kind} could be guessed: it repeats itself or comes from an example"
    elif _neighbours(text) > len(text) / 2:
        problem = f"this {kind} could be guessed: its characters follow one another"
    else:
        return value
    raise ValueError(
        f"{problem}: make one with python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
    )


def _neighbours(text: str) -> int:
    """How often a character is followed by itself or by its neighbour: abc, 321."""
    return sum(abs(ord(left) - ord(right)) <= 1 for left, right in pairwise(text))


def _good_password(value: SecretStr) -> SecretStr:
    password = value.get_secret_value()
    if len(password) < _MIN_PASSWORD_LENGTH:
        raise ValueError(f"a password has at least {_MIN_PASSWORD_LENGTH} characters")
    if is_default_password(password):
        raise ValueError("this password is among the first that anybody tries: choose another")
    return value


def is_default_password(password: str) -> bool:
    """Whether a password is one that everybody tries first: admin123, P@ssw0rd!, 12345678."""
    written = password.lower()
    meant = re.sub(_SIGNS + "$", "", written).translate(_LETTERS_MEANT)
    words = (re.sub(_SIGNS, "", spelling) for spelling in (written, meant))
    return any(_DEFAULT_PASSWORD.fullmatch(word) for word in words)


def _limit(value: str) -> str:
    try:
        limits = parse_many(value)
    except ValueError:
        limits = []
    if not limits or any(limit.amount < 1 for limit in limits):
        raise ValueError(f"{value!r} is no limit, such as 10/minute or 5/5minutes;20/hour")
    return value


T = TypeVar("T")
ScopeWords = Annotated[Mapping["Scope", str], NoDecode, BeforeValidator(_words_by_scope)]
Words = Annotated[tuple[T, ...], NoDecode, BeforeValidator(_split)]
Seconds = Annotated[int, Field(gt=0)]
Number = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(gt=0, lt=65536)]
OwnOrigin = Annotated[str, AfterValidator(canonical_origin)]
WebOrigin = Annotated[str, AfterValidator(_web_origin)]
Resource = Annotated[str, AfterValidator(canonical_resource)]
Issuer = Annotated[str, AfterValidator(issuer_identifier)]
Scope = Annotated[str, AfterValidator(_scope)]
ModuleAndName = Annotated[str, AfterValidator(_module_and_name)]
Picture = Annotated[FilePath, AfterValidator(_picture)]
Key = Annotated[SecretStr, AfterValidator(_strong_key)]
Secret = Annotated[SecretStr, AfterValidator(_strong_secret)]
Password = Annotated[SecretStr, AfterValidator(_good_password)]
Limit = Annotated[str, AfterValidator(_limit)]
"""At most so many in so long, in the notation of the library `limits`; several with semicolons."""
