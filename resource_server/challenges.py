"""Every answer that refuses: the challenge (RFC 6750 §3, RFC 9728 §5.1) and a JSON body."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from origins import Origin
from telemetry.correlation import HEADER, correlation_id

OFFLINE_ACCESS = "offline_access"
"""A scope of the authorization server alone: never in a challenge, never in our metadata (MCP)."""
INVALID_TOKEN = "invalid_token"
INVALID_REQUEST = "invalid_request"
INSUFFICIENT_SCOPE = "insufficient_scope"

# RFC 6750 §3: inside the quotes neither " nor \, so that nothing can break out of them.
_QUOTABLE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with its bytes ready, itself an ASGI application; the body is never read."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the answer."""
        headers = [*self.headers, (HEADER, correlation_id(scope).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def refusal(status: int, error: str | None, description: str, **headers: str) -> Refusal:
    """A refusal in JSON, never cached; `www_authenticate` becomes WWW-Authenticate."""
    body = {"error": error} if error else {}
    return _json_refusal(status, {**body, "error_description": description}, **headers)


def _json_refusal(status: int, body: Mapping[str, object], **headers: str) -> Refusal:
    encoded = json.dumps(body).encode()
    fields = {
        "content-type": "application/json",
        "content-length": str(len(encoded)),
        "cache-control": "no-store",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    pairs = tuple((name.encode(), value.encode("ascii")) for name, value in fields.items())
    return Refusal(status, pairs, encoded)


def challenge(
    origin: Origin, scopes: Iterable[str], error: str | None = None, description: str | None = None
) -> str:
    """The value of WWW-Authenticate: where the metadata is and what is needed, then the free text.

    In this order because clients in the field search it with regular expressions.
    """
    parameters = {
        "error": error,
        "resource_metadata": origin.resource_metadata_url,
        "scope": " ".join(scope for scope in scopes if scope != OFFLINE_ACCESS) or None,
        "error_description": description,
    }
    return "Bearer " + ", ".join(
        _quoted(name, value) for name, value in parameters.items() if value is not None
    )


def _quoted(name: str, value: str) -> str:
    if not _QUOTABLE.fullmatch(value):
        raise ValueError(f"{name} cannot be quoted in a challenge: {value!r}")
    return f'{name}="{value}"'


@dataclass(frozen=True, slots=True)
class Challenges:
    """The refusals of one origin that are the same for everybody."""

    no_token: Refusal
    invalid_token: Refusal
    invalid_request: Refusal

    @classmethod
    def of(cls, origin: Origin, scopes: tuple[str, ...]) -> "Challenges":
        """Build them; `scopes` are those that every call needs."""
        no_token = "An access token is needed: get one where resource_metadata says."
        # One body for every kind of bad token: it tells nobody which tokens exist.
        invalid_token = "The access token is not valid here, or not any more: get a new one."
        invalid_request = "Send exactly one Authorization header, with one token in it."
        return cls(
            # No credentials, no error code (RFC 6750 §3.1): nothing has gone wrong yet.
            refusal(401, None, no_token, www_authenticate=challenge(origin, scopes)),
            refusal(
                401,
                INVALID_TOKEN,
                invalid_token,
                www_authenticate=challenge(origin, scopes, INVALID_TOKEN, invalid_token),
            ),
            refusal(
                400,
                INVALID_REQUEST,
                invalid_request,
                www_authenticate=challenge(origin, scopes, INVALID_REQUEST, invalid_request),
            ),
        )


def insufficient_scope(origin: Origin, scopes: Iterable[str]) -> Refusal:
    """403 that names every scope to ask for: what the call needs and what the token already has.

    Older clients ask for exactly what the challenge names, so leaving out what is held would take
    it away from them (SEP-2350).
    """
    description = "The access token does not cover this call: ask for these scopes."
    value = challenge(origin, scopes, INSUFFICIENT_SCOPE, description)
    return refusal(403, INSUFFICIENT_SCOPE, description, www_authenticate=value)


def bad_message(request_id: str | int | None, code: int, message: str) -> Refusal:
    """400 in JSON-RPC: what is wrong with a message that the MCP server does not get to see."""
    error = {"code": code, "message": message}
    return _json_refusal(400, {"jsonrpc": "2.0", "id": request_id, "error": error})


def unavailable(retry_after: int) -> Refusal:
    """503: whether the token is good cannot be told now. A 401 would make clients drop it."""
    description = "The access token cannot be verified at the moment: try again."
    return refusal(503, "temporarily_unavailable", description, retry_after=str(retry_after))
