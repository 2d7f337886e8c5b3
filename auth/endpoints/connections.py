"""What a person has allowed, to whom, how it was used: narrow it or take it back."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from auth import audit
from auth.authorization_requests import redirect
from auth.consents import ScopeChoice, choice, is_self_declared
from auth.endpoints.sign_in import CONNECTIONS_PATH, SIGN_IN_PATH
from auth.errors import PageError
from auth.forms import open_form, render_form
from auth.models import Grant, Use
from auth.pages import page_path
from auth.redirect_uris import redirect_destination
from auth.server import AuthorizationServer
from auth.sessions import SignedIn, find_signed_in

_DONE = {"revoked", "revoked_all", "narrowed"}


@dataclass(frozen=True, slots=True)
class Connection:
    """A grant as the page shows it; `last_used_at` is None until the first call."""

    grant_id: str
    client_name: str
    host: str
    scopes: list[ScopeChoice]
    created_at: int
    last_used_at: int | None
    calls: int
    is_verified: bool


async def show_connections(server: AuthorizationServer, request: Request) -> Response:
    """The list, with the person's last sign-ins and events."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    subject = signed_in.account.subject
    await server.uses.write_to(server.store)
    uses = {use.grant_id: use for use in await server.store.find_uses(subject)}
    grants = await server.store.find_grants(subject, server.now())
    events = await server.store.list_events(subject)
    done = request.query_params.get("done")
    return render_form(
        server,
        request,
        "connections.html",
        signed_in=signed_in,
        grants=[_describe(server, grant, uses.get(grant.grant_id)) for grant in grants],
        events=events,
        sign_ins=[event for event in events if event.kind == "sign_in_succeeded"][:10],
        done=done if done in _DONE else None,
    )


def _describe(server: AuthorizationServer, grant: Grant, use: Use | None) -> Connection:
    return Connection(
        grant_id=grant.grant_id,
        client_name=grant.client_name,
        host=redirect_destination(grant.redirect_uri)[1],
        scopes=[choice(server, scope, is_held=True) for scope in grant.scopes],
        created_at=grant.created_at,
        last_used_at=use.last_used_at if use else None,
        calls=use.calls if use else 0,
        is_verified=not is_self_declared(grant.client_id),
    )


async def post_connections(server: AuthorizationServer, request: Request) -> Response:
    """Revoke one grant or all, or narrow one; effective on the next request."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    form = await open_form(server, request, "connections.html", signed_in=signed_in)
    if form.is_expired:
        raise PageError("expired_form")
    if form.values.get("revoke_all"):
        await server.store.revoke_grants(signed_in.account.subject, server.now())
        await audit.record(
            server, request, "grant_revoked", subject=signed_in.account.subject, reason="all"
        )
        return redirect(page_path(request, CONNECTIONS_PATH, done="revoked_all"))
    if grant_id := form.values.get("revoke"):
        grant = await _own_grant(server, signed_in, grant_id)
        await server.store.revoke_grant(grant.grant_id, server.now())
        await audit.record(server, request, "grant_revoked", grant=grant)
        return redirect(page_path(request, CONNECTIONS_PATH, done="revoked"))
    if grant_id := form.values.get("narrow"):
        grant = await _own_grant(server, signed_in, grant_id)
        scopes = tuple(
            scope
            for scope in grant.scopes
            if scope in server.scopes.required or form.values.get(f"scope:{scope}")
        )
        await server.store.narrow_grant(grant.grant_id, scopes, server.now())
        await audit.record(server, request, "grant_narrowed", grant=grant)
        return redirect(page_path(request, CONNECTIONS_PATH, done="narrowed"))
    return redirect(page_path(request, CONNECTIONS_PATH))


async def _own_grant(server: AuthorizationServer, signed_in: SignedIn, grant_id: str) -> Grant:
    """The person's own grant; somebody else's does not exist for them."""
    grant = await server.store.find_grant(grant_id, server.now())
    if grant is None or grant.subject != signed_in.account.subject:
        raise PageError("not_found", 404)
    return grant
