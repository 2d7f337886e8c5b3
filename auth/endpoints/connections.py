"""What a person has allowed, to whom, how it was used: narrow it or take it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from auth import audit
from auth.authorization_requests import redirect
from auth.clients import identity_of
from auth.consents import ScopeChoice, choice
from auth.endpoints.sign_in import CONNECTIONS_PATH, SIGN_IN_PATH
from auth.errors import PageError
from auth.forms import OpenedForm, open_form, render_form
from auth.models import Grant, Identity, Use
from auth.pages import page_path
from auth.redirect_uris import Destination, redirect_destination
from auth.server import AuthorizationServer
from auth.sessions import SignedIn, find_signed_in

_DONE = {"revoked", "revoked_all", "narrowed", "unchanged"}


@dataclass(frozen=True, slots=True)
class Connection:
    """An app's grants for one resource, as the page shows them: each sign-in of an app adds one.

    `grant_id` is the newest one's; `last_used_at` is None until the first call.
    """

    grant_id: str
    client_id: str
    client_name: str
    identity: Identity
    destination: Destination
    scopes: list[ScopeChoice]
    created_at: int
    times: int
    last_used_at: int | None
    calls: int


async def show_connections(server: AuthorizationServer, request: Request) -> Response:
    """The list."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    subject = signed_in.account.subject
    await server.uses.write_to(server.store)
    uses = {use.grant_id: use for use in await server.store.find_uses(subject)}
    groups: dict[tuple[str, str], list[Grant]] = {}
    for grant in await server.store.find_grants(subject, server.now()):
        groups.setdefault(_app(grant), []).append(grant)
    done = request.query_params.get("done")
    return render_form(
        server,
        request,
        "connections.html",
        signed_in=signed_in,
        connections=[_describe(server, grants, uses) for grants in groups.values()],
        done=done if done in _DONE else None,
    )


def _app(grant: Grant) -> tuple[str, str]:
    """What the grants of one connection have in common."""
    return grant.client_id, grant.resource


def _describe(
    server: AuthorizationServer, grants: Sequence[Grant], uses: Mapping[str, Use]
) -> Connection:
    newest = grants[0]
    used = [uses[grant.grant_id] for grant in grants if grant.grant_id in uses]
    scopes = dict.fromkeys(scope for grant in grants for scope in grant.scopes)
    return Connection(
        grant_id=newest.grant_id,
        client_id=newest.client_id,
        client_name=newest.client_name,
        identity=identity_of(server, newest.client_id),
        destination=redirect_destination(newest.redirect_uri),
        scopes=[choice(server, scope, is_held=True) for scope in scopes],
        created_at=newest.created_at,
        times=len(grants),
        last_used_at=max((use.last_used_at for use in used), default=None),
        calls=sum(use.calls for use in used),
    )


async def post_connections(server: AuthorizationServer, request: Request) -> Response:
    """Revoke one connection or all, or narrow one; effective on the next request.

    A page that stood open for long may still do so: it can only take away.
    """
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    form = await open_form(server, request, "connections.html", signed_in=signed_in)
    if form.values.get("revoke_all"):
        await server.store.revoke_grants(signed_in.account.subject, server.now())
        await audit.record(
            server, request, "grant_revoked", subject=signed_in.account.subject, reason="all"
        )
        return redirect(page_path(request, CONNECTIONS_PATH, done="revoked_all"))
    if grant_id := form.values.get("revoke"):
        for grant in await _own_grants(server, signed_in, grant_id):
            await _revoke(server, request, grant)
        return redirect(page_path(request, CONNECTIONS_PATH, done="revoked"))
    if grant_id := form.values.get("narrow"):
        grants = await _own_grants(server, signed_in, grant_id)
        done = await _narrow(server, request, form, grants)
        return redirect(page_path(request, CONNECTIONS_PATH, done=done))
    return redirect(page_path(request, CONNECTIONS_PATH))


async def _narrow(
    server: AuthorizationServer, request: Request, form: OpenedForm, grants: Sequence[Grant]
) -> str:
    """Leave what is ticked or required; a grant of which nothing is left ends. What was done."""
    left: list[tuple[str, ...]] = []
    for grant in grants:
        scopes = tuple(
            scope
            for scope in grant.scopes
            if scope in server.scopes.required or form.values.get(f"scope:{scope}")
        )
        left.append(scopes)
        if not scopes:
            await _revoke(server, request, grant)
        elif scopes != grant.scopes:
            await server.store.narrow_grant(grant.grant_id, scopes, server.now())
            await audit.record(server, request, "grant_narrowed", grant=grant)
    if left == [grant.scopes for grant in grants]:
        return "unchanged"
    return "narrowed" if any(left) else "revoked"


async def _revoke(server: AuthorizationServer, request: Request, grant: Grant) -> None:
    await server.store.revoke_grant(grant.grant_id, server.now())
    await audit.record(server, request, "grant_revoked", grant=grant)


async def _own_grants(
    server: AuthorizationServer, signed_in: SignedIn, grant_id: str
) -> Sequence[Grant]:
    """The person's grants of one connection; somebody else's does not exist for them.

    Those too whose code is still on its way to the app: it must not be worth more than is left.
    """
    grants = await server.store.find_grants(
        signed_in.account.subject, server.now(), with_unexchanged=True
    )
    shown = next((grant for grant in grants if grant.grant_id == grant_id), None)
    if shown is None:
        raise PageError("not_found", 404)
    return [grant for grant in grants if _app(grant) == _app(shown)]
