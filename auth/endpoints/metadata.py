"""Authorization server metadata (RFC 8414)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth.client_assertion import ALGORITHMS
from auth.grants import GRANTS
from auth.resources import resource_of
from auth.scopes import OFFLINE_ACCESS
from auth.server import AuthorizationServer

METADATA_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "X-Content-Type-Options": "nosniff",
    # For caches too, which ask without an Origin and answer with one.
    "Access-Control-Allow-Origin": "*",
}


async def metadata(server: AuthorizationServer, request: Request) -> Response:
    """What this server offers, for the origin that was asked."""
    return JSONResponse(describe(server, request), headers=METADATA_HEADERS)


def describe(server: AuthorizationServer, request: Request) -> dict[str, Any]:
    """The document (RFC 8414 §2): only what works, nothing empty."""
    origin = server.origin(request)
    confidential = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    is_open = server.settings.registration == "on"
    registration = {"registration_endpoint": f"{origin.url}/oauth/register"} if is_open else {}
    algorithms = list(ALGORITHMS)
    return {
        "issuer": origin.issuer,
        "authorization_endpoint": f"{origin.url}/oauth/authorize",
        "token_endpoint": f"{origin.url}/oauth/token",
        **registration,
        "revocation_endpoint": f"{origin.url}/oauth/revoke",
        "introspection_endpoint": f"{origin.url}/oauth/introspect",
        "scopes_supported": [*server.scopes.supported, OFFLINE_ACCESS],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", *confidential],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": ["none", *confidential],
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "client_id_metadata_document_supported": server.documents is not None,
        "authorization_response_iss_parameter_supported": True,
        "protected_resources": [resource_of(server.settings, origin)],
        "ui_locales_supported": list(server.pages.language_tags),
    }
