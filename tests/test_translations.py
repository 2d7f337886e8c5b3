"""Every text that a person reads is in the catalogues, and nothing else is."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from starlette.requests import Request

from auth.pages import TEMPLATES, Pages
from settings import Settings
from tests.page_samples import NOW, PAGES

CATALOGUES = sorted((TEMPLATES / "locale").glob("*/LC_MESSAGES/messages.po"))
VOID = {"br", "img", "input", "link", "meta"}
READ_ALOUD = {"alt", "aria-label", "placeholder"}


def texts_in_templates() -> set[str]:
    mapping, options = [("**.html", "jinja2")], {"**.html": {"trimmed": "true"}}
    return {str(found[2]) for found in extract_from_dir(TEMPLATES, mapping, options)}


def read_catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


@pytest.mark.slow
@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_a_catalogue_has_every_text_and_no_other(path: Path) -> None:
    """If not: `make translations`, then translate what is empty in the .po file."""
    catalogue = read_catalogue(path)
    assert {message.id for message in catalogue if message.id} == texts_in_templates()
    assert not catalogue.obsolete
    if catalogue.locale_identifier != "en":
        assert [message.id for message in catalogue if not message.string or message.fuzzy] == []
    assert [error for _, errors in catalogue.check() for error in errors] == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.parts[-3])
def test_what_is_served_is_what_was_translated(path: Path) -> None:
    """If not: `make translations`."""
    compiled = Translations(io.BytesIO(path.with_suffix(".mo").read_bytes()))
    for message in read_catalogue(path):
        if isinstance(message.id, str) and message.id:
            assert compiled.gettext(message.id) == (message.string or message.id)


class Untranslated(HTMLParser):
    """Collects the words of a page that stand outside ⟦ and ⟧, the marks of a made-up language.

    Names and code are no language: whoever wrote them marked them with translate="no". Moments are
    written by Babel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: list[bool] = []
        self.depth = 0
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        for name in READ_ALOUD & values.keys():
            self.handle_data(values[name] or "")
        if tag not in VOID:
            self.open.append("translate" in values or tag == "time")

    def handle_endtag(self, _tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if any(self.open):
            return
        for part in re.split("([⟦⟧])", data):
            self.depth += {"⟦": 1, "⟧": -1}.get(part, 0)
            if not self.depth and re.search(r"\w", part):
                self.found.append(part)


@pytest.fixture(scope="module")
def marked_pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    """Pages in a language in which every text stands between ⟦ and ⟧."""
    catalogues = tmp_path_factory.mktemp("locale")
    catalogue = Catalog(locale="en")
    for text in texts_in_templates():
        catalogue.add(text, f"⟦{text}⟧")
    (catalogues / "en" / "LC_MESSAGES").mkdir(parents=True)
    with (catalogues / "en" / "LC_MESSAGES" / "messages.mo").open("wb") as file:
        write_mo(file, catalogue)
    return Pages(Settings(_env_file=None, name="2"), lambda: NOW, catalogues)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_no_page_says_anything_that_cannot_be_translated(marked_pages: Pages, name: str) -> None:
    template, context = PAGES[name]
    request = Request({"type": "http", "method": "POST", "query_string": b"", "headers": []})
    parser = Untranslated()
    parser.feed(bytes(marked_pages.render(request, template, **context).body).decode())
    parser.close()
    assert parser.found in ([], [" – 2"])
