"""Pictures of the pages: python -m tests.browser.screens DIRECTORY (make screens)."""

import base64
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Literal

import anyio
from playwright.async_api import Browser

from auth.pages import Pages
from settings import Settings
from tests.browser.kit import chromium, listening
from tests.page_samples import NOW, gallery
from tests.web_host import new_authority

HOST = "mcp.example.com"
SHOWN = (
    "home",
    "home-signed-in",
    "sign-in",
    "sign-in-credentials",
    "sign-in-signed_out",
    "consent-host",
    "consent-computer",
    "consent-app",
    "connections",
    "connections-empty",
    "activity",
    "password",
    "error-unknown_client",
    "error-invalid_redirect_uri",
    "error-expired_form",
    "error-request_error",
    "error-forged_form",
    "error-spent_form",
    "error-not_found",
    "error-throttled",
)
OPENED = ("home", "consent-computer")
"""Those of which there is a second picture, with everything unfolded."""
SIZES = {"desktop": (1024, 640), "phone": (390, 700)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LANGUAGES = {"en": "en", "zh": "zh-Hans"}


async def photograph(directory: Path) -> None:
    """Every page of `SHOWN` in each size, theme and language."""
    pages = Pages(Settings(_env_file=None, public_url=f"https://{HOST}"), lambda: NOW)
    with tempfile.TemporaryDirectory() as folder:
        tls = new_authority(Path(folder), [HOST]).server
    async with (
        listening(gallery(pages), tls=tls) as port,
        chromium(port, [HOST]) as browser,
    ):
        for size, theme, language in product(SIZES, THEMES, LANGUAGES):
            await _photograph(browser, directory, size, theme, language)


async def _photograph(
    browser: Browser, directory: Path, size: str, theme: Literal["light", "dark"], language: str
) -> None:
    width, height = SIZES[size]
    async with await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=theme, ignore_https_errors=True
    ) as context:
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        for name in (*SHOWN, *(f"{name}-open" for name in OPENED)):
            path = f"/pages/{name.removesuffix('-open')}"
            await page.goto(f"https://{HOST}{path}?ui_locales={LANGUAGES[language]}")
            if name.endswith("-open"):
                await page.evaluate(UNFOLD)
            # A third of the same picture as a PNG, which is all that Playwright itself would make.
            picture = await devtools.send(
                "Page.captureScreenshot",
                {"format": "webp", "quality": 80, "captureBeyondViewport": True}
                | {"clip": await page.evaluate(WHOLE_PAGE)},
            )
            file = directory / f"{name}.{size}.{theme}.{language}.webp"
            file.write_bytes(base64.b64decode(picture["data"]))


UNFOLD = "for (const details of document.querySelectorAll('details')) details.open = true"
WHOLE_PAGE = """() => {
    const {clientWidth, scrollHeight} = document.documentElement;
    return {x: 0, y: 0, width: clientWidth, height: scrollHeight, scale: 1};
}"""


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    anyio.run(photograph, target)
