"""The seven steps of MCP authorization, each told as it happens; then refresh, and revoke.

    python -m demo.client [URL] [--username admin] [--browser] …

Exit codes: 0 all done, 1 a step failed, 130 interrupted.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import get_args

import httpx2

from demo import INTERRUPTED
from demo.conversation import Conversation
from demo.discovery import origin_of
from demo.mcp_session import McpEndpoint, Protocol, call_tool, look_around
from demo.narration import Narrator, StepFailed, wants_color
from demo.oauth import AuthorizationServer, choose_scope
from demo.steps import (
    ask_without_token,
    find_authorization_server,
    find_resource,
    known_client,
    refresh,
    revoke,
)
from demo.user_agent import FormFiller, UserAgent, system_browser

DEFAULT_URL = "http://127.0.0.1:8000/mcp"
PASSWORD_VARIABLE = "LATCHGATE_DEMO_PASSWORD"
SECRET_VARIABLE = "LATCHGATE_DEMO_CLIENT_SECRET"


@dataclass(frozen=True, slots=True)
class Journey:
    """What the person who starts the client decides."""

    url: str = DEFAULT_URL
    username: str = "admin"
    password: str | None = field(default=None, repr=False)
    uses_browser: bool = False
    protocol: Protocol = "auto"
    scope: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    trusted: tuple[str, ...] = ()

    def read_password(self) -> str:
        """The password given, or asked for on the terminal. Raises StepFailed without either."""
        if self.password is not None:
            return self.password
        if not sys.stdin.isatty():
            raise StepFailed(
                f"no password for {self.username}",
                remedy=f"set {PASSWORD_VARIABLE}, or pass --password, or use --browser",
            )
        return getpass.getpass(f"    Password of {self.username}: ")


async def travel(
    journey: Journey, narrator: Narrator, transport: httpx2.AsyncBaseTransport | None = None
) -> str:
    """All the steps, in order, and what the tool answered at last.

    Raises StepFailed at the first that does not succeed.
    """
    async with AsyncExitStack() as stack:
        conversation = Conversation(narrator, transport)
        stack.push_async_callback(conversation.aclose)
        user_agent: UserAgent
        if journey.uses_browser:
            user_agent = await stack.enter_async_context(system_browser(narrator))
        else:
            browser = Conversation(narrator, transport, keeps_cookies=True)
            stack.push_async_callback(browser.aclose)
            user_agent = FormFiller(browser, journey.username, journey.read_password)

        narrator.step("Ask for the MCP endpoint without a token")
        challenge = await ask_without_token(conversation, journey.url)

        narrator.step("Read the protected resource's metadata")
        resource = await find_resource(conversation, journey.url, challenge)

        narrator.step("Read the authorization server's metadata")
        metadata = await find_authorization_server(conversation, resource)
        trusted = frozenset(map(origin_of, (metadata.issuer, *journey.trusted)))
        server = AuthorizationServer(conversation, metadata, resource.resource, trusted)
        server.require_endpoints()
        scope = journey.scope or choose_scope(
            challenge.get("scope"), resource.scopes_supported, metadata
        )

        narrator.step("Register as a client")
        if journey.client_id:
            client = known_client(journey.client_id, journey.client_secret, metadata)
            narrator.note(f"already registered as {client.client_id}")
        else:
            client = await server.register(user_agent.redirect_uri, scope)

        narrator.step("Sign in and allow")
        request = server.authorization_request(client, user_agent.redirect_uri, scope)
        # The password may also go where the issuer's metadata sends the browser.
        pages = trusted | {origin_of(metadata.authorization_endpoint)}
        response = await user_agent.authorize(request, pages)
        code = server.read_authorization_response(request, response)
        narrator.note("state and issuer are ours")

        narrator.step("Exchange the code for a token")
        tokens = await server.exchange_code(client, request, code)

        narrator.step("Use the MCP server")
        endpoint = McpEndpoint(narrator, journey.url, journey.protocol, transport)
        await endpoint.use(tokens.access_token, look_around)

        narrator.step("Refresh the token and call again")
        tokens = await refresh(server, client, tokens)
        answer = await endpoint.use(tokens.access_token, call_tool)

        narrator.step("Revoke it, and see that it no longer works")
        await revoke(server, client, tokens, journey.url)
        return answer


def run(
    journey: Journey, narrator: Narrator, transport: httpx2.AsyncBaseTransport | None = None
) -> int:
    """Travel, and answer with the exit code."""
    try:
        answer = asyncio.run(travel(journey, narrator, transport))
    except StepFailed as failure:
        narrator.failed(failure)
        return 1
    except KeyboardInterrupt:
        narrator.note("interrupted")
        return INTERRUPTED
    narrator.done(answer)
    return 0


def new_options() -> argparse.ArgumentParser:
    """What may be said on the command line, but for the URL."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--username", default="admin", help="who signs in (default: admin)")
    parser.add_argument("--password", help=f"better: the variable {PASSWORD_VARIABLE}")
    parser.add_argument("--browser", action="store_true", help="sign in in your own browser")
    parser.add_argument(
        "--protocol",
        choices=get_args(Protocol),
        default="auto",
        help="legacy: the initialize handshake of the versions before 2026-07-28",
    )
    parser.add_argument("--scope", help="what to ask for, instead of what the server proposes")
    parser.add_argument(
        "--client-id", help=f"instead of registering; its secret, if any: {SECRET_VARIABLE}"
    )
    parser.add_argument(
        "--trust-origin",
        action="append",
        default=[],
        metavar="URL",
        help="another origin that may have the password and the tokens; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--no-color", action="store_true")
    return parser


def carry_out(url: str, options: argparse.Namespace) -> int:
    """The journey to this URL as the options say; answers with the exit code."""
    # What goes wrong is told by us; the SDK's own log would tell it again, with a traceback.
    logging.getLogger("mcp").addHandler(logging.NullHandler())
    color = wants_color(sys.stdout, refused=options.no_color or options.json)
    narrator = Narrator(sys.stdout, color=color, as_json=options.json)
    password = options.password or os.environ.get(PASSWORD_VARIABLE)
    secret = os.environ.get(SECRET_VARIABLE)
    for value in (password, secret):
        narrator.keep_secret(value or "")
    journey = Journey(
        url=url,
        username=options.username,
        password=password,
        uses_browser=options.browser,
        protocol=options.protocol,
        scope=options.scope,
        client_id=options.client_id,
        client_secret=secret,
        trusted=tuple(options.trust_origin),
    )
    return run(journey, narrator)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.client",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[new_options()],
    )
    parser.add_argument("url", nargs="?", default=DEFAULT_URL, help="the MCP endpoint")
    options = parser.parse_args(arguments)
    return carry_out(options.url, options)


if __name__ == "__main__":
    sys.exit(main())
