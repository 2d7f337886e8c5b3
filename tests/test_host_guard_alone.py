"""Which hosts the Host guard lets through (RFC 9110 §15.5.20; docs/threat-model.md, 1)."""

from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from host_guard import HostGuard
from origins import Origins
from tests.resource_server_kit import asgi_scope


async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers whatever it is asked."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def new_client(*configured: str) -> httpx2.AsyncClient:
    """A client of the guarded application."""
    transport = httpx2.ASGITransport(app=HostGuard(app, Origins(configured)))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


LOOPBACK = ["127.0.0.1", "127.0.0.1:9001", "localhost", "LOCALHOST:1", "[::1]:8000"]
FOREIGN = ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""]


@pytest.mark.parametrize(
    ("configured", "host", "status"),
    [((), host, 200) for host in LOOPBACK]
    + [((), host, 421) for host in FOREIGN]
    + [(("https://mcp.example.com",), host, 421) for host in [*FOREIGN, *LOOPBACK]]
    + [
        (("https://mcp.example.com",), "mcp.example.com", 200),
        (("https://mcp.example.com",), "MCP.example.com:443", 200),
        (("https://mcp.example.com",), "mcp.example.com:444", 421),
        (("https://mcp.example.com", "https://two.example"), "two.example", 200),
    ],
)
async def test_only_hosts_of_ours_are_answered(
    configured: tuple[str, ...], host: str, status: int
) -> None:
    async with new_client(*configured) as http:
        assert (await http.get("/mcp", headers={"Host": host})).status_code == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_machines_may_ask_how_we_are_under_any_name(path: str) -> None:
    async with new_client() as http:
        assert (await http.get(path, headers={"Host": "10.0.0.1"})).status_code == 200
        assert (await http.get(f"{path}/", headers={"Host": "10.0.0.1"})).status_code == 421


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
async def test_no_host_or_two_are_no_host_of_ours(hosts: list[str]) -> None:
    scope = asgi_scope()
    scope["headers"] = [(b"host", host.encode()) for host in hosts]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await HostGuard(app, Origins(()))(scope, receive, send)
    assert sent[0]["status"] == 421


@pytest.mark.parametrize(
    ("configured", "setting"),
    [((), "LATCHGATE_PUBLIC_URL"), (("https://a.example",), "LATCHGATE_EXTRA_ORIGINS")],
)
async def test_the_log_names_the_value_and_the_setting_once(
    configured: tuple[str, ...], setting: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with new_client(*configured) as http:
        await http.get("/", headers={"Host": "mcp.example.com"})
        answer = await http.get("/", headers={"Host": "mcp.example.com"})
    assert setting in answer.json()["error_description"]
    assert caplog.text.count(f"{setting}=https://mcp.example.com") == 1


async def test_what_is_no_http_passes() -> None:
    reached = []

    async def reach(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope["type"])

    async def unused(*_: Any) -> Any:
        raise AssertionError("nobody may call this")

    await HostGuard(reach, Origins(()))({"type": "lifespan"}, unused, unused)
    assert reached == ["lifespan"]
