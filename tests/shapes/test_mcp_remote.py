"""mcp-remote: what it sends besides what `tests/clients` sees it do."""

from tests.kit import World, authorization_request, error_of
from tests.shapes.kit import registered

REGISTRATION = {
    "client_name": "MCP CLI Proxy",
    "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
    "redirect_uris": ["http://localhost:8436/oauth/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
    "application_type": "native",
    "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
    "software_version": "0.15.1",
}
JSON = {"Accept": "application/json"}


async def test_it_asks_first_whether_its_registration_still_counts(world: World) -> None:
    """https://github.com/punkpeye/mcp-remote: only `invalid_client` makes it register again."""
    client = await registered(world, REGISTRATION)
    request = authorization_request(client)

    known = await world.http.get("/oauth/authorize", params=request, headers=JSON)
    gone = await world.http.get(
        "/oauth/authorize", params=request | {"client_id": "client_gone"}, headers=JSON
    )

    assert error_of(known) == (400, "interaction_required")
    assert error_of(gone) == (400, "invalid_client")
