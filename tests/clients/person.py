"""The person at the browser that clients open: `$BROWSER URL` signs in, allows, and goes back.

Every visit is written down as a line of JSON: what was asked for, and how it ended.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2

from demo.conversation import Conversation
from demo.discovery import origin_of
from demo.narration import Narrator, StepFailed
from demo.oauth import AuthorizationRequest
from demo.user_agent import FormFiller

CONNECTION_ATTEMPTS = 6
"""Some clients open the browser first and listen for it afterwards."""


async def visit(url: str, password: str) -> str:
    """Walk from the authorization request to the redirect URI; the words that await there."""
    request = dict(parse_qsl(urlsplit(url).query))
    conversation = Conversation(Narrator(sys.stderr), keeps_cookies=True)
    filler = FormFiller(conversation, "admin", lambda: password)
    arrived = await filler.authorize(
        AuthorizationRequest(url, request["redirect_uri"], request.get("state", ""), ""),
        frozenset({origin_of(url)}),
    )
    await conversation.aclose()
    transport = httpx2.AsyncHTTPTransport(retries=CONNECTION_ATTEMPTS)
    async with httpx2.AsyncClient(transport=transport, timeout=30) as http:
        return f"{(await http.get(arrived)).status_code} at {request['redirect_uri']}"


def main(url: str) -> None:
    """One visit, written down before and after."""
    diary = Path(os.environ["PERSON_DIARY"])
    request = dict(parse_qsl(urlsplit(url).query))
    with diary.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(request) + "\n")
    try:
        print(asyncio.run(visit(url, os.environ["PERSON_PASSWORD"])), file=sys.stderr)  # noqa: T201
    except StepFailed as failure:
        raise SystemExit(f"{failure.reason}\n{failure.said}") from failure


if __name__ == "__main__":
    main(sys.argv[1])
