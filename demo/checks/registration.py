"""The registrations of real clients, as they send them (RFC 7591 §3.1).

Asked only on demand: a server that stores registrations keeps these.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2

from demo.checks.deployment import Deployment, remedy_for, seen
from demo.checks.finding import Finding, Question
from demo.conversation import json_object

_CODE = {"grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]}
_NATIVE = _CODE | {"application_type": "native"}

REGISTRATIONS: dict[str, dict[str, Any]] = {
    "claude.ai": _CODE | {"redirect_uris": ["https://claude.ai/api/mcp/auth_callback"]},
    "Claude Code": _CODE
    | {
        "redirect_uris": ["http://localhost:52731/callback"],
        "token_endpoint_auth_method": "none",
    },
    "ChatGPT": _CODE
    | {
        "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
        "token_endpoint_auth_method": "none",
    },
    "Cursor": _CODE
    | {
        "redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
        ],
        "token_endpoint_auth_method": "none",
    },
    "VS Code": _NATIVE
    | {
        "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
        "token_endpoint_auth_method": "none",
    },
    "Inspector": _NATIVE
    | {
        "redirect_uris": ["http://localhost:6274/oauth/callback"],
        "token_endpoint_auth_method": "none",
        "scope": "",
    },
    "mcp-remote": _NATIVE
    | {
        "redirect_uris": ["http://localhost:13927/oauth/callback"],
        "token_endpoint_auth_method": "none",
        "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
        "software_version": "1.0.0",
    },
    "Python SDK": _NATIVE | {"redirect_uris": ["http://localhost:3030/callback"]},
}


async def check_registrations(deployment: Deployment) -> AsyncIterator[Finding]:
    """Each client registers as it does in the field."""
    url = deployment.endpoint("registration_endpoint")
    if url is None:
        return
    for client, metadata in REGISTRATIONS.items():
        request = {"client_name": f"{client} (latchgate doctor)"} | metadata
        response = await deployment.ask("POST", url, json=request)
        registered = json_object(response) or {}
        question = Question(f"registration of {client}", client)
        if response.status_code != httpx2.codes.CREATED or not registered.get("client_id"):
            error = registered.get("error_description") or registered.get("error")
            yield question.failure(
                f"{seen(response)}, {error}",
                remedy_for(
                    response,
                    "accept what it sends, with its redirect URIs, and answer 201 "
                    "(RFC 7591 §3.2.1)",
                ),
            )
            continue
        echoed = registered.get("redirect_uris")
        asked_method = metadata.get("token_endpoint_auth_method")
        method = registered.get("token_endpoint_auth_method", asked_method)
        yield question.judge(
            holds=echoed == metadata["redirect_uris"] and asked_method in {None, method},
            seen=f"201, redirect_uris {echoed}, {method}",
            remedy="give back the redirect URIs and the authentication method that were asked for",
        )
