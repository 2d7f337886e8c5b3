"""An OpenAPI 3.1 description of every path: what is read from the models, the rest by hand."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import unwrap
from typing import Any, Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.endpoints.authorization import authorize
from auth.endpoints.introspection import IntrospectionRequest, introspect
from auth.endpoints.metadata import METADATA_HEADERS, metadata
from auth.endpoints.registration import ClientMetadata, register
from auth.endpoints.revocation import RevocationRequest, revoke
from auth.endpoints.token import token
from auth.errors import (
    InvalidClient,
    InvalidClientMetadata,
    InvalidGrant,
    InvalidRedirectUri,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    TemporarilyUnavailable,
    TooManyRequests,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from auth.grants.authorization_code import AuthorizationCodeRequest
from auth.grants.client_credentials import ClientCredentialsRequest
from auth.grants.refresh_token import RefreshTokenRequest
from auth.http import FORM_TYPE, Parameters

OPENAPI_PATH = "/oauth/openapi.json"

JSON, HTML = "application/json", "text/html"
Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
STRINGS: Schema = {"type": "array", "items": STRING}
INTEGER: Schema = {"type": "integer"}
# RFC 6749 §5.2.
DESCRIPTION: Schema = {"type": "string", "pattern": r"^[\x20-\x21\x23-\x5B\x5D-\x7E]+$"}
_ERROR: Schema = {"$ref": "#/components/schemas/Error"}
REFUSED_ANYWHERE = (400, 404, 405, 408, 413, 414, 415, 421, 431, 503)


class AuthorizationParameters(Parameters):
    """OAuth 2.1 §4.1.1, RFC 7636 §4.3, RFC 8707 §2."""

    response_type: Literal["code"]
    response_mode: Literal["query"] | None = None
    client_id: str
    redirect_uri: str | None = None
    scope: str | None = None
    state: str | None = None
    code_challenge: str
    code_challenge_method: Literal["S256"]
    prompt: str | None = None
    ui_locales: str | None = None
    resource: str | None = None


class ClientAuthentication(Parameters):
    """OAuth 2.1 §2.4 as far as it is in the body."""

    client_id: str | None = None
    client_secret: str | None = None
    client_assertion: str | None = None
    client_assertion_type: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """What a program may send to an endpoint, what it is answered, and what goes wrong."""

    reads: Sequence[Schema] = ()
    content_type: str = FORM_TYPE
    status: int = 200
    answer: Schema | None = None
    raises: Sequence[type[OAuthError]] = ()
    authenticates: bool = False


def _members(optional: Mapping[str, Schema] | None = None, **required: Schema) -> Schema:
    """An object that has these members at least."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": [*required],
    }


def _form(model: type[BaseModel], **further: Schema) -> Schema:
    """What is read of a form: by the model, about the client, and what is read elsewhere."""
    form = _schema(model)
    form["properties"] |= {**_schema(ClientAuthentication)["properties"], **further}
    form["required"] += [name for name, schema in further.items() if "const" in schema]
    return form


def _schema(model: type[BaseModel]) -> Schema:
    """The schema of a model; what may be None is simply left out on the wire."""
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        present = field["anyOf"][0] if "anyOf" in field else field
        schema["properties"][name] = {n: v for n, v in present.items() if n != "title"}
    return {"required": [], **schema}


_RAISED_BY_ALL = (InvalidRequest, InvalidClient, TooManyRequests, TemporarilyUnavailable)
_GRANT_REQUESTS: Mapping[str, type[Parameters]] = {
    "authorization_code": AuthorizationCodeRequest,
    "refresh_token": RefreshTokenRequest,
    "client_credentials": ClientCredentialsRequest,
}


def _operations() -> Mapping[object, Operation]:
    """By the function that answers. What is not here is a page, or a file that belongs to one."""
    return {
        metadata: Operation(answer=_members(issuer=STRING, token_endpoint=STRING)),
        openapi: Operation(answer=_members(openapi=STRING)),
        register: Operation(
            [_schema(ClientMetadata)],
            JSON,
            201,
            _members(
                {"client_secret": STRING, "client_secret_expires_at": INTEGER},
                client_id=STRING,
                client_id_issued_at=INTEGER,
                redirect_uris=STRINGS,
                grant_types=STRINGS,
                response_types=STRINGS,
                token_endpoint_auth_method=STRING,
                scope=STRING,
            ),
            (InvalidRequest, InvalidClientMetadata, InvalidRedirectUri, TooManyRequests),
        ),
        token: Operation(
            [
                _form(model, grant_type={"const": name}, resource=STRING)
                for name, model in _GRANT_REQUESTS.items()
            ],
            answer=_members(
                {"refresh_token": STRING},
                access_token=STRING,
                token_type={"const": "Bearer"},
                expires_in=INTEGER,
                scope=STRING,
            ),
            raises=(
                *_RAISED_BY_ALL,
                InvalidGrant,
                InvalidScope,
                InvalidTarget,
                UnauthorizedClient,
                UnsupportedGrantType,
            ),
            authenticates=True,
        ),
        introspect: Operation(
            [_form(IntrospectionRequest, token_type_hint=STRING)],
            answer=_members(
                {"scope": STRING, "sub": STRING, "client_id": STRING, "exp": INTEGER},
                active={"type": "boolean"},
            ),
            raises=_RAISED_BY_ALL,
            authenticates=True,
        ),
        revoke: Operation(
            [_form(RevocationRequest, token_type_hint=STRING)],
            raises=_RAISED_BY_ALL,
            authenticates=True,
        ),
    }


class Description:
    """The description of these routes: the same for every origin, made when first asked for."""

    def __init__(self, table: Iterable[Route]) -> None:
        self._table = table

    @cached_property
    def document(self) -> bytes:
        """Ready to be sent."""
        return json.dumps(describe(self._table)).encode()


async def openapi(description: Description, request: Request) -> Response:
    """This description."""
    del request
    return Response(description.document, media_type=JSON, headers=METADATA_HEADERS)


def describe(table: Iterable[Route]) -> Schema:
    """The document (OpenAPI 3.1 §4.8.1) about these routes."""
    operations = _operations()
    paths: dict[str, Schema] = {}
    for route in table:
        function = unwrap(route.endpoint).func
        for method in sorted((route.methods or set()) - {"HEAD"}):
            summary = (function.__doc__ or "").partition("\n")[0]
            operation = operations.get(function)
            described = _program(operation) if operation else _page(function, method)
            paths.setdefault(route.path, {})[method.lower()] = {"summary": summary, **described}
    return {
        "openapi": "3.1.0",
        "info": {"title": "The authorization server of Latchgate", "version": "1"},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                "Error": _members(
                    {"correlation_id": STRING, "authorization_url": STRING},
                    error=STRING,
                    error_description=DESCRIPTION,
                )
            },
            "responses": {
                "Refused": _response("What is wrong", {JSON: _ERROR}),
                "Page": _response("What is wrong, on a page or in JSON", {JSON: _ERROR, HTML: {}}),
            },
            "securitySchemes": {"client_secret_basic": {"type": "http", "scheme": "basic"}},
        },
    }


def _program(operation: Operation) -> Schema:
    described: Schema = {
        "responses": {
            **_refused(REFUSED_ANYWHERE, "Refused"),
            **_raised(operation.raises),
            str(operation.status): _response(
                "As asked", {JSON: operation.answer} if operation.answer else {}
            ),
        }
    }
    if operation.reads:
        schema = operation.reads[0] if len(operation.reads) == 1 else {"anyOf": operation.reads}
        described |= _body(operation.content_type, schema)
    if operation.authenticates:
        described["security"] = [{}, {"client_secret_basic": []}]
    return described


def _raised(types: Iterable[type[OAuthError]]) -> Schema:
    codes: dict[str, list[str]] = {}
    for raised in types:
        codes.setdefault(str(raised.status), []).append(raised.error)
    return {
        status: _response(
            ", ".join(own), {JSON: {"allOf": [_ERROR], "properties": {"error": {"enum": own}}}}
        )
        for status, own in codes.items()
    }


def _page(function: object, method: str) -> Schema:
    described: Schema = {
        "responses": {
            **_refused((*REFUSED_ANYWHERE, 401, 403, 409, 429), "Page"),
            "200": _response("A page, or a part of one", {"*/*": {}}),
            "303": _response("On to another page, or back to the client", {}),
        }
    }
    if function is not authorize:
        form = _members(form=STRING)
        return described | (_body(FORM_TYPE, form) if method == "POST" else {})
    schema = _schema(AuthorizationParameters)
    if method == "POST":
        return described | _body(FORM_TYPE, schema)
    described["parameters"] = [
        {"name": name, "in": "query", "required": name in schema["required"], "schema": of}
        for name, of in schema["properties"].items()
    ]
    return described


def _body(content_type: str, schema: Schema) -> Schema:
    return {"requestBody": {"required": True, "content": {content_type: {"schema": schema}}}}


def _refused(statuses: Iterable[int], name: str) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{name}"} for status in statuses}


def _response(description: str, content: Mapping[str, Schema]) -> Schema:
    described = {media: {"schema": schema} for media, schema in content.items()}
    return {"description": description, **({"content": described} if described else {})}
