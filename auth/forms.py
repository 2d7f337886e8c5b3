"""The forms that we give to browsers: sealed, bound to browser and session, same-origin only.

A pending authorization request waits in the form that asks for the person's answer, not in memory:
a flood of them costs nothing, several tabs do not disturb each other, and a restart loses none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.authorization_requests import authorize_path
from auth.credentials import digest, is_same, new_secret
from auth.errors import PageError
from auth.http import Form, read_posted_form
from auth.server import AuthorizationServer
from auth.sessions import SignedIn, find_browser, keep_browser


@dataclass(frozen=True, slots=True)
class OpenedForm:
    """A form that came back from the browser it was given to.

    `parameters` is the authorization request that waits, if one does; `shown` the scopes it showed,
    `held` those of them that it showed as held already, not to be ticked; `nonce` names this one
    form, so that it can be spent; `session` whose it is.
    """

    values: Form
    parameters: Mapping[str, str]
    shown: tuple[str, ...]
    held: tuple[str, ...]
    nonce: str
    session: str
    expires_at: int
    is_expired: bool


def render_form(
    server: AuthorizationServer,
    request: Request,
    template: str,
    status: int = 200,
    *,
    signed_in: SignedIn | None = None,
    parameters: Mapping[str, str] | None = None,
    shown: tuple[str, ...] = (),
    held: tuple[str, ...] = (),
    redirect_uri: str | None = None,
    got_at: str | None = None,
    **context: Any,
) -> Response:
    """A page with a form in it, sealed for this browser (and this session) and this page."""
    browser = find_browser(server, request) or new_secret()
    sealed = server.keys.seal(
        f"form {template}",
        {
            "b": digest(browser).hex(),
            "i": _session(signed_in),
            "p": dict(parameters or {}),
            "s": shown,
            "h": held,
            "n": new_secret(),
            "e": server.now() + server.settings.request_ttl,
        },
    )
    response = server.pages.render(
        request,
        template,
        status,
        redirect_uri=redirect_uri,
        got_at=got_at,
        form=sealed,
        account=signed_in and signed_in.account,
        **context,
    )
    keep_browser(server, request, response, browser)
    return response


async def open_form(
    server: AuthorizationServer,
    request: Request,
    *templates: str,
    signed_in: SignedIn | None = None,
) -> OpenedForm:
    """Read a posted form that one of these pages held. Raises PageError if it is not ours."""
    form = await read_form(server, request, *templates)
    if not is_same(form.session, _session(signed_in)):
        raise other_session(form)
    return form


async def read_form(server: AuthorizationServer, request: Request, *templates: str) -> OpenedForm:
    """The same for a form that may be from before this person signed in: it must do nothing."""
    check_same_origin(server, request)
    values = await read_posted_form(request)
    if values.repeated:
        # No page of ours has a field twice, so this is none of our forms.
        raise PageError("forged_form", reason="a field of the form is repeated")
    sealed = values.get("form") or ""
    payloads = (server.keys.unseal(f"form {template}", sealed) for template in templates)
    payload = next((payload for payload in payloads if payload is not None), None)
    browser = find_browser(server, request)
    # Another browser, another page or no seal: somebody else's form (CSRF).
    if payload is None or browser is None or not is_same(payload["b"], digest(browser).hex()):
        raise PageError("forged_form", 403)
    return OpenedForm(
        values=values,
        parameters=payload["p"],
        shown=tuple(payload["s"]),
        # A form that was open during an upgrade may be from before there was such a field.
        held=tuple(payload.get("h", ())),
        nonce=payload["n"],
        session=payload["i"],
        expires_at=payload["e"],
        is_expired=server.now() >= payload["e"],
    )


async def spend_form(server: AuthorizationServer, form: OpenedForm) -> None:
    """Use the one use of a form that is not too old. Raises PageError if it was used before."""
    if not await server.store.spend(digest(form.nonce), form.expires_at, server.now()):
        raise PageError("spent_form", 409)


def other_session(form: OpenedForm) -> PageError:
    """The error of a form from before the person signed out, or in anew: they may ask again."""
    return PageError(
        "other_session", 403, again=authorize_path(form.parameters) if form.parameters else None
    )


def check_same_origin(server: AuthorizationServer, request: Request) -> None:
    """Refuse a form that another site's page sent.

    Our pages say `Referrer-Policy: no-referrer`, which makes browsers send `Origin: null` with
    their forms; what tells those from a stranger's null is Sec-Fetch-Site.
    """
    sender = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if sender == "null" and site == "same-origin":
        return
    own = {None, server.origin(request).url}
    if sender not in own or site not in {None, "same-origin", "none"}:
        raise PageError("forged_form", 403)


def _session(signed_in: SignedIn | None) -> str:
    return digest(f"session {signed_in.session.digest.hex()}").hex() if signed_in else ""
