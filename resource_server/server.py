"""The MCP server that comes along: about the signed-in person. Edit this file first.

Any other server does as well: LATCHGATE_MCP_SERVER=my_tools:mcp.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from mcp_types import ToolAnnotations
from pydantic import Field
from typing_extensions import TypedDict

from resource_server.people import CLIENT_SUBJECT, People, Profile, ProfileUnchanged
from resource_server.scopes import requires

JSON = "application/json"

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class ProfileResource(TypedDict):
    """`user://profile`."""

    user_id: str
    username: str
    name: str
    email: str
    role: str
    roles: list[str]


class StatsResource(TypedDict):
    """`user://stats`; times are ISO 8601 in UTC."""

    user_id: str
    requests_today: int | None
    last_active: str | None


class UserData(TypedDict):
    """What `get_user_data` answers: who and when, or why not."""

    user_id: str
    username: NotRequired[str]
    status: str
    last_login: NotRequired[str | None]
    error: NotRequired[str]


def create_mcp_server(people: People) -> MCPServer[Any]:
    """The resources and tools of the signed-in person; `people` keeps the records."""
    mcp: MCPServer[Any] = MCPServer(
        "Latchgate", instructions="Answers questions about the person who is signed in."
    )

    @mcp.resource("user://profile", mime_type=JSON, title="Your profile")
    async def profile() -> ProfileResource:
        """Who is signed in: id, user name, name, e-mail address and roles."""
        return _profile(await _signed_in(people))

    @mcp.resource("user://stats", mime_type=JSON, title="Your activity")
    async def stats() -> StatsResource:
        """How much the signed-in person's clients have asked today, and when last."""
        subject = (await _signed_in(people)).subject
        activity = await people.find_activity(subject)
        return {
            "user_id": subject,
            "requests_today": activity.requests_today,
            "last_active": _iso(activity.last_used_at),
        }

    @mcp.tool(title="Get user data", annotations=_READS)
    async def get_user_data(
        user_id: Annotated[
            str, Field(description="'current', or the id or user name of the signed-in person")
        ] = "current",
    ) -> UserData:
        """Status and last sign-in of the signed-in person; of nobody else."""
        person = await _signed_in(people)
        if user_id not in {"current", person.subject, person.username}:
            # The same words whether they exist or not.
            error = "You may not see this user, or there is no such user."
            return {"user_id": user_id, "status": "unknown", "error": error}
        return {
            "user_id": person.subject,
            "username": person.username,
            "status": "active",
            "last_login": _iso(person.last_sign_in_at),
        }

    @mcp.tool(
        title="Update profile",
        annotations=_WRITES,
    )
    @requires("user:write")
    async def update_profile(
        name: Annotated[str | None, Field(description="The new name", max_length=200)] = None,
        email: Annotated[
            str | None, Field(description="The new e-mail address", max_length=320)
        ] = None,
    ) -> ProfileResource:
        """Change the name or the e-mail address of the signed-in person; what is left out stays."""
        person = await _signed_in(people)
        try:
            return _profile(await people.update_profile(person.subject, name, email))
        except ProfileUnchanged as error:
            raise ToolError(str(error)) from error

    return mcp


async def _signed_in(people: People) -> Profile:
    """The person whose token this is; an error the client can read if there is none."""
    token = get_access_token()
    subject = token.subject if token else None
    if subject and subject.startswith(CLIENT_SUBJECT):
        raise ResourceError(
            "Nobody is signed in: this token is the client's own (client_credentials), and this is "
            "about a person. Let one sign in (authorization_code)."
        )
    person = await people.find_profile(subject) if subject else None
    if person is None:
        raise ResourceError("Nobody is signed in.")
    return person


def _profile(person: Profile) -> ProfileResource:
    return {
        "user_id": person.subject,
        "username": person.username,
        "name": person.name,
        "email": person.email,
        "role": person.roles[0] if person.roles else "",
        "roles": list(person.roles),
    }


def _iso(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
