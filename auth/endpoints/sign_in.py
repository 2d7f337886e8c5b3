"""Signing in and out: the pages at which we learn who the person is (OAuth 2.1 §3.1)."""

from contextlib import suppress
from typing import Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from auth import audit
from auth.accounts import MAX_PASSWORD, MAX_USERNAME, sign_in
from auth.authorization_requests import authorize_path, find_redirection, redirect
from auth.errors import Overloaded, TooManyRequests
from auth.forms import OpenedForm, open_form, render_form
from auth.http import NO_STORE, Form, asks_for_json
from auth.models import Account
from auth.pages import page_path
from auth.password_attempts import begin_attempt, remember_device
from auth.server import AuthorizationServer
from auth.sessions import end_session, find_signed_in, start_session
from auth.store import StoreUnavailable

SIGN_IN_PATH = "/oauth/sign-in"
CONNECTIONS_PATH = "/oauth/connections"

_NOTED_EVERY = 60
_DONE = {"signed_out", "signed_out_everywhere"}


async def show_sign_in(server: AuthorizationServer, request: Request) -> Response:
    """The sign-in page with nothing waiting behind it."""
    if await find_signed_in(server, request):
        return redirect(page_path(request, CONNECTIONS_PATH))
    done = request.query_params.get("done")
    return render_form(server, request, "sign_in.html", done=done if done in _DONE else None)


async def post_sign_in(server: AuthorizationServer, request: Request) -> Response:
    """Check a username and password; on to the request that waited, if one did."""
    form = await open_form(server, request, "sign_in.html")
    username = form.values.get("username") or ""
    if form.is_expired:
        return await _again(server, request, form, username, "expired")
    try:
        account = await _check(server, request, username, form.values.get("password") or "")
    except TooManyRequests as error:
        return await _wait(server, request, form, username, error)
    response = redirect(
        authorize_path(form.parameters) if form.parameters else page_path(request, CONNECTIONS_PATH)
    )
    if account is None or not await _start(server, request, response, account):
        reason = "wrong username or password"
        again = await _again(server, request, form, username, "credentials")
        return _note_failure(server, request, again, username, "sign_in_failed", reason)
    remember_device(server, request, response, account)
    await server.store.record_sign_in(account.subject, server.now())
    await audit.record(server, request, "sign_in_succeeded", subject=account.subject)
    return response


async def _check(
    server: AuthorizationServer, request: Request, username: str, password: str
) -> Account | None:
    """The person with this password. Counted before it is hashed, or a burst would not be seen."""
    # Nothing longer than can be stored is counted or hashed: it is nobody's, and could only cost.
    if len(username) > MAX_USERNAME or len(password.encode()) > MAX_PASSWORD:
        return None
    attempt = await begin_attempt(server, request, username)
    return await attempt.judge(sign_in(server.store, server.passwords, username, password))


async def _start(
    server: AuthorizationServer, request: Request, response: Response, account: Account
) -> bool:
    """Start a session; whoever signs in twice keeps the first, to which other tabs' forms belong.

    That of somebody else ends: nobody could end it any more. False if the person was disabled or
    given another password a moment ago.
    """
    before = await find_signed_in(server, request)
    if before and before.account.subject == account.subject:
        return True
    is_started = await start_session(server, request, response, account)
    if before and is_started:
        await server.store.revoke_session(before.session.digest)
    return is_started


async def _wait(
    server: AuthorizationServer,
    request: Request,
    form: OpenedForm,
    username: str,
    error: TooManyRequests,
) -> Response:
    """Neither right nor wrong: this attempt was not looked at, and another is welcome later."""
    is_busy = isinstance(error, Overloaded)
    reason = f"{'too many at once' if is_busy else 'too many attempts'}: wait {error.retry_after} s"
    is_for_program = asks_for_json(request)
    if is_for_program or is_busy:
        await audit.record(server, request, "sign_in_throttled", reason=reason)
    if is_for_program:
        raise error
    response = await _again(
        server,
        request,
        form,
        username,
        "busy" if is_busy else "throttled",
        error.status,
        retry_after=error.retry_after,
    )
    response.headers["Retry-After"] = str(error.retry_after)
    if is_busy:
        # Everybody's doing: nothing for the list of the person whose name it was.
        return response
    return _note_failure(server, request, response, username, "sign_in_throttled", reason)


def _note_failure(
    server: AuthorizationServer,
    request: Request,
    response: Response,
    username: str,
    kind: audit.Kind,
    reason: str,
) -> Response:
    """Let the person whose name it was know, once a minute; not before the answer has left.

    Whoever tried would otherwise learn from the time that it takes whether there is such a person.
    """

    async def note() -> None:
        subject = None
        with suppress(StoreUnavailable):
            account = await server.store.find_account_by_username(username)
            if account and not await _was_noted(server, account.subject, kind):
                subject = account.subject
        with suppress(StoreUnavailable):
            await audit.record(server, request, kind, subject=subject, reason=reason)

    response.background = BackgroundTask(note)
    return response


async def _was_noted(server: AuthorizationServer, subject: str, kind: audit.Kind) -> bool:
    """Whether the person's list says so already: a flood of failures is no flood of writing."""
    since = server.now() - _NOTED_EVERY
    events = await server.store.list_events(subject)
    return any(event.kind == kind and event.at > since for event in events)


async def _again(
    server: AuthorizationServer,
    request: Request,
    form: OpenedForm,
    username: str,
    problem: str,
    status: int = 400,
    **details: Any,
) -> Response:
    """The page again with what went wrong; the waiting request waits on in a fresh form."""
    if asks_for_json(request):
        body = {"error": "access_denied", "error_description": "the sign-in was refused"}
        return JSONResponse(body, 400, NO_STORE)
    if form.parameters:
        waiting = await find_redirection(server, request, Form.of(form.parameters.items()))
        details |= {
            "client_name": waiting.client.client_name,
            "redirect_uri": waiting.redirect_uri,
        }
    return render_form(
        server,
        request,
        "sign_in.html",
        status,
        got_at=authorize_path(form.parameters) if form.parameters else SIGN_IN_PATH,
        parameters=form.parameters,
        username=username,
        problem=problem,
        **details,
    )


async def sign_out(server: AuthorizationServer, request: Request) -> Response:
    """Sign out, here or everywhere; from the consent page, on to sign in as somebody else."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    pages = ("consent.html", "connections.html", "password.html", "home.html")
    form = await open_form(server, request, *pages, signed_in=signed_in)
    done: audit.Kind = "signed_out_everywhere" if form.values.get("everywhere") else "signed_out"
    response = redirect(
        authorize_path(form.parameters)
        if form.parameters
        else page_path(request, SIGN_IN_PATH, done=done)
    )
    await end_session(server, request, response, signed_in)
    subject = signed_in.account.subject
    if done == "signed_out_everywhere":
        await server.store.revoke_sessions(subject)
    await audit.record(server, request, done, subject=subject)
    return response
