"""The person's answer to the consent page (OAuth 2.1 §4.1.1)."""

from starlette.requests import Request
from starlette.responses import Response

from auth import audit
from auth.authorization_requests import (
    RedirectionEndpoint,
    authorize_path,
    find_redirection,
    read_authorization_request,
    redirect,
    refuse,
)
from auth.consents import find_consent, give_code
from auth.errors import AuthorizationError, PageError
from auth.forms import OpenedForm, open_form, other_session, read_form, spend_form
from auth.http import Form
from auth.server import AuthorizationServer
from auth.sessions import SignedIn, find_signed_in


async def consent(server: AuthorizationServer, request: Request) -> Response:
    """Allow: a code for what was ticked. Deny: `access_denied`. Each form answers once."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        raise other_session(await read_form(server, request, "consent.html"))
    form = await open_form(server, request, "consent.html", signed_in=signed_in)
    decision = form.values.get("decision")
    if decision not in {"allow", "deny"}:
        return redirect(authorize_path(form.parameters))
    # The request as it was sealed, read again: the client may have been banned since.
    redirection = await find_redirection(server, request, Form.of(form.parameters.items()))
    if form.is_expired:
        raise PageError(
            "expired_form",
            again=authorize_path(form.parameters),
            client_name=redirection.client.client_name,
        )
    await spend_form(server, form)
    if decision == "deny":
        client, subject = redirection.client, signed_in.account.subject
        await audit.record(server, request, "consent_denied", subject=subject, client=client)
        error = AuthorizationError("access_denied", "the person said no")
        return refuse(server, redirection, error)
    try:
        code = await _allow(server, request, signed_in, redirection, form)
    except AuthorizationError as error:
        return refuse(server, redirection, error)
    return redirect(redirection.url({"code": code}))


async def _allow(
    server: AuthorizationServer,
    request: Request,
    signed_in: SignedIn,
    redirection: RedirectionEndpoint,
    form: OpenedForm,
) -> str:
    """The code for what was allowed: only what was shown, without what was unticked."""
    waiting = Form.of(form.parameters.items())
    asked = read_authorization_request(server, request, redirection, waiting)
    question = await find_consent(server, signed_in.account, asked)
    # What cannot be unticked – required, or held before and still – is not submitted either.
    kept = set(form.held) & set(question.held)
    ticked = {scope for scope in asked.scopes if form.values.get(f"scope:{scope}")}
    allowed = kept | ticked | set(server.scopes.required)
    scopes = tuple(s for s in asked.scopes if s in allowed and s in form.shown)
    if not scopes:
        raise AuthorizationError("access_denied", "the person allowed none of the scopes")
    code, grant = await give_code(server, signed_in, asked, scopes)
    await audit.record(server, request, "consent_given", grant=grant)
    return code
