"""What happened lately in a person's name: sign-ins, and what their apps did."""

from starlette.requests import Request
from starlette.responses import Response

from auth.audit import SIGN_INS
from auth.authorization_requests import redirect
from auth.clients import label_of
from auth.endpoints.sign_in import SIGN_IN_PATH
from auth.pages import as_name, page_path
from auth.server import AuthorizationServer
from auth.sessions import find_signed_in

MOST = 50


async def activity(server: AuthorizationServer, request: Request) -> Response:
    """The last sign-ins, and the last of everything."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    events = await server.store.list_events(signed_in.account.subject)
    shown = events[:MOST]
    client_ids = {event.client_id for event in shown if event.client_id}
    return server.pages.render(
        request,
        "activity.html",
        account=signed_in.account,
        sign_ins=[event for event in events if event.kind in SIGN_INS],
        events=shown,
        labels={client_id: as_name(label_of(server, client_id)) for client_id in client_ids},
    )
