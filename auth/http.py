"""The wire: forms and JSON come in here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from auth.errors import (
    InvalidClient,
    InvalidClientMetadata,
    InvalidRequest,
    OAuthError,
    TemporarilyUnavailable,
)
from auth.json_documents import InvalidJson, read_json

MAX_BODY = 64 * 1024
MAX_FIELDS = 100
FORM_TYPE = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_Model = TypeVar("_Model", bound="Parameters")


class Parameters(BaseModel):
    """What an endpoint reads of a form; unknown parameters are ignored (OAuth 2.1 §3.2)."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of one request: empty ones are absent, repeated ones known (OAuth 2.1 §3.1).

    `resource` alone may repeat (RFC 8707 §2): its values are in `resources`.
    """

    values: dict[str, str]
    resources: tuple[str, ...]
    repeated: frozenset[str]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Form":
        """Sort name-value pairs; the first of a repeated parameter is the one kept."""
        values: dict[str, str] = {}
        repeated = set()
        resources = []
        for name, value in pairs:
            if not value:
                continue
            if name == "resource":
                resources.append(value)
            elif name in values:
                repeated.add(name)
            else:
                values[name] = value
        return cls(values, tuple(resources), frozenset(repeated))

    def get(self, name: str) -> str | None:
        """The value of a parameter, None when it is absent."""
        return self.values.get(name)


async def read_body(request: Request) -> bytes:
    """The body, refused as soon as it passes 64 KiB."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("send the body without content encoding", status=415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise InvalidRequest("the body is larger than 64 KiB", status=413)
    return bytes(body)


def _media_type(request: Request) -> tuple[str, str]:
    """The media type of the body and its charset, both in lower case."""
    media_type, *parameters = request.headers.get("content-type", "").lower().split(";")
    charsets = [p.partition("=")[2].strip(' "') for p in parameters if "charset=" in p]
    return media_type.strip(), charsets[0] if charsets else "utf-8"


async def read_form(request: Request) -> Form:
    """The form of a POST: none of it in the URL, nothing repeated (OAuth 2.1 §3.2)."""
    if request.scope["query_string"]:
        raise InvalidRequest("send the parameters in the body, none in the URL")
    form = await read_posted_form(request)
    if form.repeated:
        raise InvalidRequest("a parameter is repeated")
    return form


async def read_posted_form(request: Request) -> Form:
    """The form in the body of a POST, repeated parameters only noted."""
    if _media_type(request) != (FORM_TYPE, "utf-8"):
        raise InvalidRequest(f"send the parameters as {FORM_TYPE} in UTF-8")
    return Form.of(_pairs(await read_body(request)))


def read_query(request: Request) -> Form:
    """The parameters in the URL."""
    return Form.of(_pairs(request.scope["query_string"]))


def _pairs(data: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            data.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            encoding="utf-8",
            errors="strict",
        )
    except ValueError:
        raise InvalidRequest("the parameters are not a well-formed form") from None


def parse(model: type[_Model], form: Form) -> _Model:
    """Read the parameters that an endpoint needs; InvalidRequest names the one that is wrong."""
    try:
        return model.model_validate(form.values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = first["loc"][0]
        problem = "is missing" if first["type"] == "missing" else "is not valid"
        raise InvalidRequest(f"the parameter {name} {problem}") from None


async def read_json_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body (RFC 7591 §3.1): the right type, no member twice."""
    if _media_type(request) != ("application/json", "utf-8"):
        raise InvalidClientMetadata("send the client metadata as application/json in UTF-8")
    try:
        value = read_json(await read_body(request))
    except InvalidJson:
        raise InvalidClientMetadata("the body is not well-formed JSON") from None
    if not isinstance(value, dict):
        raise InvalidClientMetadata("the body is not a JSON object")
    return value


def accepts_html(request: Request) -> bool:
    """Whether a browser asks: only they name text/html."""
    return "text/html" in request.headers.get("accept", "")


def asks_for_json(request: Request) -> bool:
    """Whether a program asks that wants no page: JSON is named and HTML is not."""
    return "json" in request.headers.get("accept", "") and not accepts_html(request)


def error_response(error: OAuthError) -> JSONResponse:
    """An error in JSON (RFC 6749 §5.2, RFC 7591 §3.2.2)."""
    headers = dict(NO_STORE)
    if isinstance(error, InvalidClient) and error.challenge:
        headers["WWW-Authenticate"] = 'Basic realm="latchgate", charset="UTF-8"'
    if isinstance(error, TemporarilyUnavailable):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 413:  # noqa: PLR2004 - the rest of the body is not worth reading
        headers["Connection"] = "close"
    body = {"error": error.error, "error_description": error.description}
    return JSONResponse(body, error.status, headers)
