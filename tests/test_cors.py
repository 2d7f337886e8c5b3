"""Cross-origin requests (Fetch §3.3)."""

from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from cors import CrossOrigin

ORIGIN = {"Origin": "https://page.example"}


async def app(scope: Scope, _receive: Receive, send: Send) -> None:
    """Refuses everything, and shares one path by itself."""
    own = [(b"access-control-allow-origin", b"*")] if scope["path"] == "/shared" else []
    headers = [(b"www-authenticate", b"Bearer"), *own]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": b"no"})


@pytest.fixture
def http() -> httpx2.AsyncClient:
    guarded = CrossOrigin(app, ("/mcp", "/shared"))
    transport = httpx2.ASGITransport(app=guarded)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


async def test_a_preflight_is_answered_before_anybody_asks_for_a_token(
    http: httpx2.AsyncClient,
) -> None:
    names = "authorization, content-type, mcp-method, mcp-name, mcp-param-whatever"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": names}
    answer = await http.options("/mcp", headers=ORIGIN | asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == names
    assert "DELETE" in answer.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.content == b""


async def test_a_preflight_that_names_no_headers_is_told_the_usual_ones(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.options("/mcp", headers=ORIGIN)
    assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"


async def test_a_preflight_does_not_make_us_send_more_than_a_little(
    http: httpx2.AsyncClient,
) -> None:
    asked = {"Access-Control-Request-Headers": "x" * 60_000}
    answer = await http.options("/mcp", headers=ORIGIN | asked)
    assert len(answer.headers["access-control-allow-headers"]) == 2048


@pytest.mark.parametrize("path", ["/mcp", "/shared"])
async def test_errors_are_shared_too_and_the_challenge_can_be_read(
    http: httpx2.AsyncClient, path: str
) -> None:
    answer = await http.post(path, headers=ORIGIN)
    assert answer.status_code == 401
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    exposed = answer.headers["access-control-expose-headers"]
    assert {"WWW-Authenticate", "Mcp-Session-Id"} <= set(exposed.split(", "))


async def test_nothing_is_added_to_other_paths_or_without_an_origin(
    http: httpx2.AsyncClient,
) -> None:
    for answer in (await http.post("/mcp"), await http.options("/mcp")):
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers
    for path in ("/oauth/consent", "/mcp/more", "/"):
        answer = await http.options(path, headers=ORIGIN)
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers


async def test_what_is_no_http_passes() -> None:
    reached = []

    async def reach(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope["type"])

    async def unused(*_: Any) -> Any:
        raise AssertionError("nobody may call this")

    await CrossOrigin(reach, ())({"type": "lifespan"}, unused, unused)
    assert reached == ["lifespan"]
