"""The bearer token of a request: take it, verify it, hand it on (OAuth 2.1 §5, RFC 6750)."""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials
from starlette.types import ASGIApp, Receive, Scope, Send

from host_guard import answer_misdirected
from origins import Origin, Origins
from resource_server.challenges import Challenges, Refusal, insufficient_scope, unavailable
from resource_server.refusals import Refusals
from resource_server.scopes import union
from resource_server.verifiers import MAX_TOKEN, VerifierUnavailable, VerifyToken
from telemetry.metrics import Metrics

ORIGIN = "latchgate.origin"
"""Where in the ASGI scope the application finds the origin of ours that the request was sent to."""

logger = logging.getLogger("latchgate.bearer")


class RequireBearerToken:
    """ASGI middleware: only requests with a token for this resource and these scopes pass.

    The token comes in the Authorization header and nowhere else (OAuth 2.1 §5.1). The application
    finds it in `scope["user"]`, `scope["auth"]` and through the SDK's `get_access_token()`.
    `note_use` is told of every request that passes; it must be quick.
    """

    def __init__(
        self,
        app: ASGIApp,
        verify: VerifyToken,
        origins: Origins,
        required_scopes: Sequence[str],
        *,
        note_use: Callable[[AccessToken], None],
        metrics: Metrics,
        refusals: Refusals,
    ) -> None:
        self._app = app
        self._verify = verify
        self._origins = origins
        self._required = tuple(required_scopes)
        self._required_set = frozenset(required_scopes)
        self._note_use = note_use
        self._note_refusal = metrics.note_refusal
        self._refused = refusals.note
        self._challenges = lru_cache(maxsize=256)(self._build_challenges)

    def _build_challenges(self, origin: Origin) -> Challenges:
        return Challenges.of(origin, self._required)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it with a challenge."""
        headers = dict(scope["headers"])
        origin = self._origins.select(headers.get(b"host", b"").decode("latin-1"))
        if origin is None:
            await answer_misdirected(send)
            return
        credentials = headers.get(b"authorization")
        if credentials is None:
            self._note_refusal("no_token", 401)
            await self._challenges(origin).no_token(scope, receive, send)
            return
        if len(headers) != len(scope["headers"]) and _is_repeated(scope, b"authorization"):
            self._note_refusal("repeated_authorization", 400)
            await self._challenges(origin).invalid_request(scope, receive, send)
            return
        token = await self._authenticate(scope, credentials, origin)
        if isinstance(token, Refusal):
            await token(scope, receive, send)
            return
        self._note_use(token)
        scope[ORIGIN] = origin
        user = scope["user"] = AuthenticatedUser(token)
        scope["auth"] = AuthCredentials(token.scopes)
        reset = auth_context_var.set(user)
        try:
            await self._app(scope, receive, send)
        finally:
            auth_context_var.reset(reset)

    async def _authenticate(
        self, scope: Scope, credentials: bytes, origin: Origin
    ) -> AccessToken | Refusal:
        """The token that these credentials are, or how to refuse them."""
        scheme, _, presented = credentials.partition(b" ")
        presented = presented.strip(b" ")
        if scheme.lower() != b"bearer" or not presented:
            self._note_refusal("no_token", 401)
            return self._challenges(origin).no_token
        if len(presented) > MAX_TOKEN or not presented.isascii():
            self._note_refusal("malformed_token", 401)
            self._refused(scope, "token_refused", "malformed")
            return self._challenges(origin).invalid_token
        try:
            token = await self._verify(presented.decode("ascii"))
        except VerifierUnavailable as error:
            logger.error("could not verify a token: %s", error)  # noqa: TRY400 - no traceback
            self._note_refusal("unavailable", 503)
            return unavailable(error.retry_after)
        if token is None and b" " in presented:
            # RFC 6750 §3.1; looked at here, where no good token comes by.
            self._note_refusal("malformed_authorization", 400)
            return self._challenges(origin).invalid_request
        if token is None:
            self._note_refusal("unknown_token", 401)
            self._refused(scope, "token_refused", "unknown, expired or revoked")
            return self._challenges(origin).invalid_token
        if token.resource != origin.resource:
            # RFC 8707 §2: for whom it was issued, compared as the one string that we emit.
            self._note_refusal("wrong_resource", 401)
            self._refused(scope, "token_refused", "wrong resource", token)
            return self._challenges(origin).invalid_token
        if not self._required_set.issubset(token.scopes):
            self._note_refusal("insufficient_scope", 403)
            self._refused(scope, "scope_denied", f"needs {' '.join(self._required)}", token)
            return insufficient_scope(origin, union(self._required, token.scopes))
        return token


def _is_repeated(scope: Scope, wanted: bytes) -> bool:
    return [name for name, _ in scope["headers"]].count(wanted) > 1
