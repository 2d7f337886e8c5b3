"""The page for people: what this server is, and how to connect a client to it."""

from starlette.requests import Request
from starlette.responses import Response

from auth.pages.setup_snippets import setup_snippets
from auth.resources import resource_of
from auth.server import AuthorizationServer
from auth.sessions import find_signed_in


async def home(server: AuthorizationServer, request: Request) -> Response:
    """The MCP URL, the set-up of each client, the public tools, and who is signed in."""
    signed_in = await find_signed_in(server, request)
    origin = server.origin(request)
    return server.pages.render(
        request,
        "home.html",
        account=signed_in and signed_in.account,
        origin=origin,
        clients=setup_snippets(server.settings.name, resource_of(server.settings, origin)),
        tools=await server.list_tools(),
    )
