"""How many sessions of the handshake versions are open: of one person (MCP, Session Management).

The SDK has a limit for all together, and ends a session that was not used for half an hour.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer

from resource_server.calls import Call
from resource_server.challenges import Refusal, refusal

PER_PERSON = 200
RETRY_AFTER = 60


class SessionLimits:
    """Counts what the SDK (2.3) keeps, for one process: there the sessions live."""

    def __init__(self, mcp: MCPServer[Any], per_person: int = PER_PERSON) -> None:
        owners = mcp.session_manager._session_owners  # noqa: SLF001 - it shows them to nobody
        self._owners: Mapping[str, AuthorizationContext] = owners
        self.per_person = per_person
        self._refusal = refusal(
            429,
            "too_many_sessions",
            "Too many sessions are open: end one with DELETE, or try again later.",
            retry_after=str(RETRY_AFTER),
        )

    def refuse(self, calls: Sequence[Call], token: AccessToken) -> Refusal | None:
        """How to refuse a request that opens a session if it is one too many."""
        if not any(call.method == "initialize" for call in calls):
            return None
        person = token.subject or token.client_id
        owners = self._owners.values()
        opened = sum((owner["subject"] or owner["client_id"]) == person for owner in owners)
        return self._refusal if opened >= self.per_person else None
