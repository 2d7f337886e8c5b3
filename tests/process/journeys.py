"""The whole journey over the network, and races: what experiments with several servers share."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from tests.kit import Browser, authorization_request, redirected, registration
from tests.process.latchgate import new_client
from tests.process.minting import Mint, Program
from tests.resource_server_kit import modern, modern_headers, result, wire

RACERS = 100


async def journey(transport: httpx2.AsyncBaseTransport, origin: str) -> None:
    """A client registers, a person signs in and allows, and it calls until its token is revoked."""
    async with new_client(transport, origin) as http, new_client(transport, origin) as cookies:
        unauthorized = await http.post("/mcp", json=modern("tools/list"))
        assert unauthorized.status_code == 401, unauthorized.text
        answer = await http.post("/oauth/register", json=registration())
        assert answer.status_code == 201, answer.text
        program = Program(http, answer.json())
        tokens = await allow(Browser(cookies), program)
        assert await asks(http, tokens) == "active"
        answer = await program.refresh(tokens["refresh_token"])
        assert answer.status_code == 200, answer.text
        tokens = answer.json()
        assert await asks(http, tokens) == "active"
        answer = await program.revoke(tokens["refresh_token"])
        assert answer.status_code == 200, answer.text
        answer = await program.call(tokens["access_token"])
        assert answer.status_code == 401, answer.text


async def allow(browser: Browser, program: Program) -> dict[str, Any]:
    """The tokens that a client gets when a person signs in and allows what it asks for."""
    answer = await browser.sign_in()
    assert answer.status_code == 303, answer.text
    return await allow_again(browser, program)


async def allow_again(browser: Browser, program: Program) -> dict[str, Any]:
    """The same for a person who is signed in already."""
    resource = str(program.http.base_url).removesuffix("/") + "/mcp"
    request = authorization_request(program.client, resource=resource)
    answer = await program.exchange(redirected(await browser.allow(request))["code"])
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def asks(http: httpx2.AsyncClient, tokens: Mapping[str, Any]) -> str:
    """What the MCP server says about the signed-in person."""
    call = modern("tools/call", name="get_user_data", arguments={})
    headers = wire(tokens["access_token"], modern_headers("tools/call", "get_user_data"))
    answer = await http.post("/mcp", json=call, headers=headers)
    status: str = result(answer)["structuredContent"]["status"]
    return status


async def race_for_codes(programs: Sequence[Program], mint: Mint, rounds: int) -> tuple[int, int]:
    """A hundred present one code at once; the rounds with one winner, and the errors (5xx) seen."""
    one_winner = errors = 0
    for code in await mint.codes(rounds):
        racers = (programs[number % len(programs)] for number in range(RACERS))
        answers = await asyncio.gather(*(program.exchange(code) for program in racers))
        statuses = [answer.status_code for answer in answers]
        one_winner += statuses.count(200) == 1
        errors += sum(status >= 500 for status in statuses)
    return one_winner, errors


async def race_to_refresh(programs: Sequence[Program], mint: Mint, rounds: int) -> int:
    """A hundred present one refresh token at once; the rounds after which one family lived on.

    Within the grace all of them have to get the same pair, and the pair has to be good.
    """
    one_family = 0
    for code in await mint.codes(rounds):
        tokens = (await programs[0].exchange(code)).json()
        racers = [programs[number % len(programs)] for number in range(RACERS)]
        answers = await asyncio.gather(
            *(program.refresh(tokens["refresh_token"]) for program in racers)
        )
        pairs = {
            (str(pair.get("access_token")), pair.get("refresh_token"))
            for pair in (answer.json() for answer in answers)
        }
        access_token, refresh_token = next(iter(pairs))
        if len(pairs) == 1 and refresh_token is not None:
            called = await programs[0].call(access_token)  # the resource that it is for
            refreshed = await programs[-1].refresh(refresh_token)
            one_family += (called.status_code, refreshed.status_code) == (200, 200)
    return one_family
