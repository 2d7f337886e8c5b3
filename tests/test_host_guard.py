"""A name that is not ours: programs and people are told, each in their own way."""

import re
from collections.abc import Callable

import pytest
from starlette.applications import Starlette

from auth.app import create_app as create_authorization_server
from auth.store.memory import MemoryStore
from combined_app import create_app
from tests.clock import Clock
from tests.kit import HTML, new_http_client, new_settings

ELSEWHERE = {"Host": "elsewhere.example"}


@pytest.fixture(params=[create_app, create_authorization_server], ids=["combined", "split"])
def app(request: pytest.FixtureRequest) -> Starlette:
    create: Callable[..., Starlette] = request.param
    return create(new_settings(), MemoryStore(), Clock())


@pytest.mark.parametrize("path", ["/", "/oauth/authorize?client_id=x", "/nowhere"])
async def test_a_person_gets_a_page_with_its_stylesheet_and_picture(
    app: Starlette, path: str
) -> None:
    async with new_http_client(app) as http:
        page = await http.get(path, headers=HTML | ELSEWHERE)
        assert page.status_code == 421
        assert "This server does not go by that name" in page.text
        assert "LATCHGATE_PUBLIC_URL" in page.text
        assert "elsewhere" not in page.text
        for asset in set(re.findall(r'"(/assets/[^"]+)"', page.text)):
            assert (await http.get(asset, headers=ELSEWHERE)).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
async def test_a_program_gets_json(app: Starlette, headers: dict[str, str]) -> None:
    async with new_http_client(app) as http:
        response = await http.get("/", headers=headers | ELSEWHERE)
    assert response.status_code == 421
    assert response.json()["error"] == "misdirected_request"
    assert "LATCHGATE_PUBLIC_URL" in response.json()["error_description"]


@pytest.mark.parametrize("host", ["[", 'x"><script>', "a b", "127.0.0.1:8000, evil.example", ""])
async def test_a_name_that_is_none_is_refused_all_the_same(app: Starlette, host: str) -> None:
    async with new_http_client(app) as http:
        page = await http.get("/", headers=HTML | {"Host": host})
    assert page.status_code == 421
    assert "<script" not in page.text
