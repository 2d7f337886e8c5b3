"""Protected resource metadata (RFC 9728)."""

from functools import partial
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from host_guard import HostGuard
from origins import Origin, Origins
from resource_server.metadata import (
    METADATA_PATHS,
    Description,
    metadata,
    protected_resource_metadata,
)
from tests.resource_server_kit import ISSUER, RESOURCE


def new_client(
    origins: Origins, scopes: tuple[str, ...] = ("user",), servers: tuple[str, ...] = ()
) -> httpx2.AsyncClient:
    """A client of a server that describes itself so."""
    description = Description(origins, scopes, "Example", servers)
    endpoint = partial(metadata, description)
    app = Starlette(routes=[Route(path, endpoint) for path in METADATA_PATHS])
    transport = httpx2.ASGITransport(app=HostGuard(app, origins))
    return httpx2.AsyncClient(transport=transport, base_url=ISSUER)


async def test_the_document_is_the_same_to_the_byte_at_each_path() -> None:
    async with new_client(Origins(())) as http:
        answers = [await http.get(path) for path in METADATA_PATHS]
    assert METADATA_PATHS[1:] == (
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource/mcp/",
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json() == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["user"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Example",
    }


async def test_caches_and_pages_may_have_it_and_nothing_but_a_look_is_possible() -> None:
    async with new_client(Origins(())) as http:
        answer = await http.get(METADATA_PATHS[0])
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "public, max-age=3600"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert (await http.head(METADATA_PATHS[0])).status_code == 200
        assert (await http.post(METADATA_PATHS[0])).status_code == 405


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("a.example", "https://a.example"),
        ("A.example:443", "https://a.example"),
        ("b.example:8443", "https://b.example:8443"),
    ],
)
async def test_each_configured_origin_describes_itself(host: str, origin: str) -> None:
    async with new_client(Origins(("https://a.example", "https://b.example:8443"))) as http:
        document = (await http.get(METADATA_PATHS[0], headers={"Host": host})).json()
    assert document["resource"] == f"{origin}/mcp"
    assert document["authorization_servers"] == [origin]


async def test_no_header_but_host_decides_and_no_foreign_one() -> None:
    headers = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    async with new_client(Origins(())) as http:
        answer = await http.get(METADATA_PATHS[0], headers=headers)
        assert answer.json()["resource"] == RESOURCE
        answer = await http.get(METADATA_PATHS[0], headers={"Host": "evil.example"})
        assert answer.status_code == 421


async def test_without_the_guard_a_foreign_host_is_still_not_described() -> None:
    endpoint = partial(metadata, Description(Origins(()), ("user",), "Example"))
    transport = httpx2.ASGITransport(app=Starlette(routes=[Route("/x", endpoint)]))
    async with httpx2.AsyncClient(transport=transport) as http:
        assert (await http.get("http://evil.example/x")).status_code == 421


async def test_another_authorization_server_is_named_to_the_letter() -> None:
    async with new_client(Origins(()), servers=("https://as.example/realms/x/",)) as http:
        document = (await http.get(METADATA_PATHS[0])).json()
    assert document["authorization_servers"] == ["https://as.example/realms/x/"]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [((), None), (("offline_access",), None), (("user", "offline_access"), ["user"])],
)
def test_what_would_be_empty_is_left_out_and_offline_access_with_it(
    scopes: tuple[str, ...], expected: Any
) -> None:
    document = protected_resource_metadata(Origin(ISSUER), [ISSUER], scopes, "Example")
    assert document.get("scopes_supported") == expected
    assert "scopes_supported" not in document or expected
