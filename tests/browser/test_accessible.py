"""Every page, in every state, language and theme, can be read, and its HTML is valid."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest
from playwright.async_api import Browser, BrowserContext

from auth.pages import Pages
from settings import Settings
from tests.browser.kit import listening
from tests.page_samples import NOW, PAGES, gallery

pytestmark = pytest.mark.browser

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"  # make test-browser
AXE = """async () => {
    const {violations} = await axe.run({preload: false});
    return violations.flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html}`));
}"""
# Whether the page is wider than the window, or a word of it than its box.
OVERFLOWING = """() => [...document.querySelectorAll("html, body *")]
    .filter((element) => element.scrollWidth > element.clientWidth && element.clientWidth)
    .filter((element) => getComputedStyle(element).overflowX !== "clip")
    .filter((element) => element.tagName !== "INPUT")
    .map((element) => element.outerHTML.slice(0, 200))
"""


@pytest.fixture(scope="session")
async def gallery_url() -> AsyncIterator[str]:
    pages = Pages(Settings(_env_file=None), lambda: NOW)
    async with listening(gallery(pages)) as port:
        yield f"http://127.0.0.1:{port}/pages"


@pytest.fixture(scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    async with await browser.new_context() as context:
        yield context


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_can_be_read_by_everybody(
    context: BrowserContext, gallery_url: str, name: str, language: str
) -> None:
    page = await context.new_page()
    await page.goto(f"{gallery_url}/{name}?ui_locales={language}")
    await page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    await page.evaluate((MODULES / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert await page.evaluate(AXE) == []
    for width in (320, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate(OVERFLOWING) == []
    await page.close()


async def test_the_html_of_every_page_is_valid(gallery_url: str, tmp_path: Path) -> None:
    async with httpx2.AsyncClient() as http:
        for language in ("en", "zh-Hans"):
            for name in PAGES:
                page = await http.get(f"{gallery_url}/{name}", params={"ui_locales": language})
                (tmp_path / f"{name}.{language}.html").write_bytes(page.content)
    program = MODULES / ".bin" / "html-validate"
    arguments = ("--config", HERE / ".htmlvalidate.json", "--formatter", "text", tmp_path)
    ended = await anyio.run_process([program, *map(str, arguments)], check=False)
    assert ended.stdout.decode() == ""
    assert ended.returncode == 0, ended.stderr
