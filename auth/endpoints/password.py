"""A person's own password."""

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth import audit
from auth.accounts import MAX_PASSWORD, MIN_PASSWORD, password_problem
from auth.authorization_requests import redirect
from auth.endpoints.sign_in import SIGN_IN_PATH
from auth.errors import Overloaded, TooManyRequests
from auth.forms import OpenedForm, open_form, render_form
from auth.models import Account
from auth.pages import page_path
from auth.password_attempts import begin_password_change, remember_device
from auth.server import AuthorizationServer
from auth.sessions import SignedIn, find_signed_in

PASSWORD_PATH = "/oauth/password"


async def show_password(server: AuthorizationServer, request: Request) -> Response:
    """The form."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    return _page(server, request, signed_in)


async def post_password(server: AuthorizationServer, request: Request) -> Response:
    """Set a new password: every other session and every connection of this person ends."""
    signed_in = await find_signed_in(server, request)
    if signed_in is None:
        return redirect(page_path(request, SIGN_IN_PATH))
    form = await open_form(server, request, "password.html", signed_in=signed_in)
    account, new = signed_in.account, form.values.get("new_password") or ""
    try:
        problem = await _problem(server, form, account, new)
        new_hash = "" if problem else await server.passwords.hash(new)
    except TooManyRequests as error:
        wait = error.retry_after
        problem = "busy" if isinstance(error, Overloaded) else "throttled"
        response = _page(
            server, request, signed_in, error.status, problem=problem, retry_after=wait
        )
        response.headers["Retry-After"] = str(wait)
        return response
    if problem:
        return _page(server, request, signed_in, 400, problem=problem)
    if not await server.store.change_password(
        account.subject,
        new_hash,
        server.now(),
        keep_session=signed_in.session.digest,
        verified=account.password_hash,
    ):
        # The operator set another one meanwhile, and theirs is the last word.
        return _page(server, request, signed_in, 400, problem="credentials")
    await audit.record(server, request, "password_changed", subject=account.subject)
    response = _page(server, request, signed_in, done=True)
    remember_device(server, request, response, replace(account, password_hash=new_hash))
    return response


async def _problem(
    server: AuthorizationServer, form: OpenedForm, account: Account, new: str
) -> str | None:
    current = form.values.get("current_password") or ""
    if form.is_expired:
        return "expired"
    if not await _is_current(server, account, current):
        return "credentials"
    if new != (form.values.get("new_password_again") or ""):
        return "different"
    if new == current:
        return "unchanged"
    if len(new) < MIN_PASSWORD:
        return "too_short"
    if password_problem(account.username, new):
        return "weak"
    return None


async def _is_current(server: AuthorizationServer, account: Account, password: str) -> bool:
    """Whether this is the password; who found an open session cannot try as many as they like."""
    attempt = await begin_password_change(server, account.subject)
    if len(password.encode()) > MAX_PASSWORD:
        return False
    return await attempt.judge(server.passwords.verify(account, password))


def _page(
    server: AuthorizationServer,
    request: Request,
    signed_in: SignedIn,
    status: int = 200,
    **outcome: Any,
) -> Response:
    return render_form(
        server,
        request,
        "password.html",
        status,
        signed_in=signed_in,
        got_at=PASSWORD_PATH,
        minimum_length=MIN_PASSWORD,
        **outcome,
    )
