"""The description of the paths (OpenAPI 3.1); whether it is true, `make test-fuzz` finds out."""

from collections.abc import Iterator
from typing import Any

from auth import authorization_requests, errors
from auth.app import create_server
from auth.endpoints import openapi
from auth.endpoints.registration import ClientMetadata
from auth.grants import GRANTS
from auth.routes import routes
from tests.kit import World, new_settings


async def test_every_path_and_method_is_described(world: World) -> None:
    response = await world.http.get("/oauth/openapi.json")
    paths = response.json()["paths"]

    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "public, max-age=3600"
    served = {
        (route.path, method.lower())
        for route in routes(create_server(new_settings()))
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {(path, method) for path, methods in paths.items() for method in methods} == served
    assert all(operation["summary"] for path in paths.values() for operation in path.values())


async def test_pages_of_any_origin_may_read_it(world: World) -> None:
    headers = {"Origin": "https://editor.example"}
    response = await world.http.get("/oauth/openapi.json", headers=headers)
    assert response.headers["access-control-allow-origin"] == "*"


async def test_it_says_what_the_endpoints_read(world: World) -> None:
    paths = (await world.http.get("/oauth/openapi.json")).json()["paths"]

    def reads(path: str) -> dict[str, Any]:
        ((_, content),) = paths[path]["post"]["requestBody"]["content"].items()
        schema: dict[str, Any] = content["schema"]
        return schema

    asked = {parameter["name"] for parameter in paths["/oauth/authorize"]["get"]["parameters"]}
    kept = {*authorization_requests._KEPT, "resource"}  # noqa: SLF001 - one list of two
    assert asked == {*kept, "response_mode"}
    assert reads("/oauth/authorize")["properties"].keys() == asked
    assert reads("/oauth/register")["properties"].keys() == ClientMetadata.model_fields.keys()
    grants = [
        grant["properties"]["grant_type"]["const"] for grant in reads("/oauth/token")["anyOf"]
    ]
    assert grants == list(GRANTS)
    assert all("grant_type" in grant["required"] for grant in reads("/oauth/token")["anyOf"])


async def test_it_says_which_errors_the_token_endpoint_gives(world: World) -> None:
    paths = (await world.http.get("/oauth/openapi.json")).json()["paths"]
    answers = paths["/oauth/token"]["post"]["responses"]
    content = answers["400"]["content"]["application/json"]["schema"]
    assert errors.InvalidGrant.error in content["properties"]["error"]["enum"]
    assert {"200", "400", "401", "413", "429", "503"} <= answers.keys()


def test_every_reference_leads_somewhere() -> None:
    document = openapi.describe(routes(create_server(new_settings())))
    assert "#/components/responses/Page" in references(document)
    for reference in references(document):
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (value["$ref"],) if "$ref" in value else ()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from references(part)
