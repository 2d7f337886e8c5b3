"""Every page with what it may show: for the tests of the pages and for their screenshots."""

from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auth.accounts import MIN_PASSWORD
from auth.consents import ScopeChoice
from auth.endpoints.connections import Connection
from auth.models import Account, Client, Event, Identity
from auth.pages import Pages, logo, stylesheet
from auth.pages.setup_snippets import setup_snippets
from auth.redirect_uris import Destination
from origins import Origin

NOW = 1_790_000_000
RESOURCE = "https://mcp.example.com/mcp"

ALICE = Account(
    subject="acc_1",
    username="alice",
    password_hash="",
    name="Alice Example",
    email="alice@example.com",
    roles=("reader",),
    created_at=NOW - 90_000_000,
)

PROFILE = ScopeChoice("user", "", (), is_required=True, is_held=False)
WRITING = ScopeChoice("user:write", "", (), is_required=False, is_held=False)
FILES = ScopeChoice("files:write", "", ("Save a file", "delete"), is_required=False, is_held=False)
HELD = ScopeChoice("user", "", (), is_required=True, is_held=True)


def a_client(identity: Identity, **changes: Any) -> Client:
    """A client as the consent page gets it."""
    given: dict[str, Any] = {
        "client_id": "client_eyJuIjoiQ2xhdWRlIENvZGUifQ.aSPWqQ.kRZx6v0eQ9m2m0cQ4t1aO6mXw5s",
        "client_name": "Claude Code",
        "redirect_uris": ("http://localhost/callback",),
        "identity": identity,
    }
    return Client(**given | changes)


def _home(origin: Origin) -> dict[str, Any]:
    resource = f"{origin.url}/mcp"
    return {
        "origin": origin,
        "clients": setup_snippets("Latchgate", resource),
        "tools": _TOOLS,
    }


def _connections(connections: list[Connection], **outcome: Any) -> dict[str, Any]:
    return {"account": ALICE, "form": "sealed.form", "connections": connections, **outcome}


def _password(**outcome: Any) -> dict[str, Any]:
    return {"account": ALICE, "form": "sealed.form", "minimum_length": MIN_PASSWORD, **outcome}


def _consent(
    client: Client, destination: Destination, redirect_uri: str, *scopes: Any
) -> dict[str, Any]:
    return {
        "form": "sealed.form",
        "client": client,
        "account": ALICE,
        "scopes": list(scopes),
        "destination": destination,
        "redirect_uri": redirect_uri,
        "resource": RESOURCE,
        "origin": Origin("https://mcp.example.com"),
        "lifetime": 90 * 86_400,
    }


_CLAUDE_AI = a_client(
    Identity.METADATA_DOCUMENT,
    client_id="https://claude.ai/oauth/mcp-oauth-client-metadata",
    client_name="Claude",
    client_uri="https://claude.ai",
)
_EVENTS = [
    Event(NOW - 60 * 4**step, kind, ALICE.subject, client_id, None, "203.0.113.7", None)
    for step, (kind, client_id) in enumerate(
        (
            ("sign_in_succeeded", None),
            ("consent_given", _CLAUDE_AI.client_id),
            ("grant_narrowed", _CLAUDE_AI.client_id),
            ("sign_in_failed", None),
            ("password_changed", None),
            ("consent_denied", a_client(Identity.SELF_DECLARED).client_id),
        )
    )
]
_LABELS = {
    _CLAUDE_AI.client_id: "claude.ai",
    a_client(Identity.SELF_DECLARED).client_id: "Claude Code",
}
_CONNECTIONS = [
    Connection(
        grant_id="g1",
        client_id=_CLAUDE_AI.client_id,
        client_name="Claude",
        identity=Identity.METADATA_DOCUMENT,
        destination=Destination("host", "claude.ai"),
        scopes=[PROFILE, WRITING],
        created_at=NOW - 20 * 86_400,
        times=1,
        last_used_at=NOW - 240,
        calls=1284,
    ),
    Connection(
        grant_id="g2",
        client_id=a_client(Identity.SELF_DECLARED).client_id,
        client_name="Claude Code",
        identity=Identity.SELF_DECLARED,
        destination=Destination("computer", "localhost"),
        scopes=[PROFILE],
        created_at=NOW - 5,
        times=3,
        last_used_at=None,
        calls=0,
    ),
    Connection(
        grant_id="g3",
        client_id="cursor",
        client_name="Cursor",
        identity=Identity.PREREGISTERED,
        destination=Destination("app", "cursor"),
        scopes=[PROFILE, FILES],
        created_at=NOW - 9 * 86_400,
        times=1,
        last_used_at=NOW - 86_400,
        calls=12,
    ),
]
_TOOLS = [
    (
        "get_user_data",
        "Status and last sign-in of the signed-in person; of nobody else.",
        ("user",),
    ),
    (
        "update_profile",
        "Change the name or the e-mail address of the signed-in person; what is left out stays.",
        ("user", "user:write"),
    ),
]

ERROR_KINDS = (
    "missing_client_id",
    "unknown_client",
    "invalid_redirect_uri",
    "missing_redirect_uri",
    "repeated_parameter",
    "invalid_request",
    "request_error",
    "expired_form",
    "forged_form",
    "other_session",
    "spent_form",
    "not_found",
    "method_not_allowed",
    "misdirected",
    "too_large",
    "unreachable_document",
    "invalid_document",
    "throttled",
    "unavailable",
    "server_error",
)

_AGAIN = "/oauth/authorize?response_type=code&client_id=client_eyJuIjoi&state=x"
_ERROR_CONTEXT: dict[str, dict[str, Any]] = {
    "unknown_client": {
        "details": {"client_id": "client_eyJuIjoiQ2xhdWRlIENvZGUifQ.aSPWqQ.kRZx6v0eQ9m2m0cQ4t…"},
        "snippets": setup_snippets("Latchgate", RESOURCE),
    },
    "request_error": {
        "details": {
            "error": "invalid_scope",
            "description": "none of the scopes exists here: see scopes_supported in the metadata",
            "client_name": "Claude Code",
        },
        "return_url": "http://localhost:51234/callback?error=invalid_scope&state=x",
    },
    "invalid_redirect_uri": {
        "details": {"client_name": "Claude Code", "redirect_uri": "https://evil.example/callback"}
    },
    "missing_redirect_uri": {"details": {"client_name": "Claude Code"}},
    "expired_form": {"details": {"client_name": "Claude Code (latchgate)"}, "again": _AGAIN},
    "other_session": {"again": _AGAIN},
    "unreachable_document": {
        "details": {
            "client_id": _CLAUDE_AI.client_id,
            "reason": "its host could not be reached",
            "retry_after": 30,
        }
    },
    "invalid_document": {
        "details": {
            "client_id": _CLAUDE_AI.client_id,
            "reason": "its client_id is not the URL it was fetched from",
        }
    },
    "invalid_request": {"details": {"description": "the parameters are not a well-formed form"}},
    "throttled": {"details": {"description": "too many attempts: wait", "retry_after": 30}},
    "unavailable": {"details": {"retry_after": 5}},
}


def _error(kind: str) -> dict[str, Any]:
    """What an error page gets of this kind of error."""
    given: dict[str, Any] = {
        "kind": kind,
        "details": {},
        "return_url": None,
        "again": None,
        "correlation_id": "01JDXJ6Q8W",
    }
    return given | _ERROR_CONTEXT.get(kind, {})


PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "home": ("home.html", _home(Origin("https://mcp.example.com"))),
    "home-on-this-computer": ("home.html", _home(Origin("http://127.0.0.1:8000"))),
    "home-signed-in": (
        "home.html",
        {**_home(Origin("https://mcp.example.com")), "account": ALICE, "form": "sealed.form"},
    ),
    "sign-in": ("sign_in.html", {"form": "sealed.form", "client_name": "Claude Code"}),
    "sign-in-alone": ("sign_in.html", {"form": "sealed.form"}),
    **{
        f"sign-in-{problem}": (
            "sign_in.html",
            {
                "form": "sealed.form",
                "client_name": "Claude Code",
                "username": "alice",
                "problem": problem,
                "retry_after": 30,
            },
        )
        for problem in ("credentials", "throttled", "busy", "expired")
    },
    "consent-host": (
        "consent.html",
        _consent(
            _CLAUDE_AI,
            Destination("host", "claude.ai"),
            "https://claude.ai/api/mcp/auth_callback",
            PROFILE,
            WRITING,
            FILES,
        ),
    ),
    "consent-computer": (
        "consent.html",
        _consent(
            a_client(Identity.SELF_DECLARED),
            Destination("computer", "localhost"),
            "http://localhost:51234/callback",
            PROFILE,
            WRITING,
        ),
    ),
    "consent-app": (
        "consent.html",
        _consent(
            a_client(Identity.PREREGISTERED, client_name="Cursor"),
            Destination("app", "cursor"),
            "cursor://anysphere.cursor-mcp/oauth/callback",
            HELD,
            WRITING,
        ),
    ),
    "connections": ("connections.html", _connections(_CONNECTIONS)),
    "connections-empty": ("connections.html", _connections([])),
    **{
        f"connections-{done}": ("connections.html", _connections(_CONNECTIONS[:1], done=done))
        for done in ("revoked", "revoked_all", "narrowed", "unchanged")
    },
    "activity": (
        "activity.html",
        {"account": ALICE, "sign_ins": _EVENTS[:1], "events": _EVENTS, "labels": _LABELS},
    ),
    "activity-empty": (
        "activity.html",
        {"account": ALICE, "sign_ins": [], "events": [], "labels": {}},
    ),
    "password": ("password.html", _password()),
    "password-changed": ("password.html", _password(done=True)),
    **{
        f"password-{problem}": ("password.html", _password(problem=problem, retry_after=30))
        for problem in (
            "credentials",
            "throttled",
            "busy",
            "expired",
            "different",
            "unchanged",
            "too_short",
            "weak",
        )
    },
    **{
        f"sign-in-{done}": ("sign_in.html", {"form": "f", "done": done})
        for done in ("signed_out", "signed_out_everywhere")
    },
    **{f"error-{kind}": ("error.html", _error(kind)) for kind in ERROR_KINDS},
}


def gallery(pages: Pages) -> Starlette:
    """An application that shows each of `PAGES` under /pages/."""

    async def show(request: Request) -> Response:
        template, context = PAGES[request.path_params["name"]]
        return pages.render(request, template, **context)

    return Starlette(
        routes=[
            Route("/pages/{name}", show, methods=["GET", "POST"]),
            Route(pages.stylesheet_path, partial(stylesheet, pages)),
            Route(pages.logo_path, partial(logo, pages)),
        ]
    )
