"""The page for people: what this server is, and how to connect a client to it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from auth.forms import render_form
from auth.pages.setup_snippets import setup_snippets
from auth.resources import resource_of
from auth.server import AuthorizationServer
from auth.sessions import find_signed_in


async def home(server: AuthorizationServer, request: Request) -> Response:
    """The MCP URL, the set-up of each client, the public tools, and who is signed in."""
    signed_in = await find_signed_in(server, request)
    origin = server.origin(request)
    context: dict[str, Any] = {
        "origin": origin,
        "clients": setup_snippets(server.settings.name, resource_of(server.settings, origin)),
        "tools": await server.list_tools(),
    }
    if signed_in is None:
        return server.pages.render(request, "home.html", **context)
    return render_form(server, request, "home.html", signed_in=signed_in, **context)
