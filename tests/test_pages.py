"""What each page says, in which language, and what it allows a browser to do."""

import re
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from auth.audit import REMEMBERED
from auth.models import Event, Identity
from auth.pages import TEMPLATES, Pages, as_name
from auth.pages.accent import DARK, LIGHT, contrast, readable_accent
from auth.pages.security_headers import form_action_source
from settings import Settings
from tests.kit import World, authorization_request
from tests.page_samples import ALICE, ERROR_KINDS, NOW, PAGES, a_client, gallery

ORIGIN = "https://mcp.example.com"
CONSENT = PAGES["consent-host"][1]


def make_pages(**settings: Any) -> Pages:
    given = {"public_url": ORIGIN} | settings
    return Pages(Settings(_env_file=None, **given), lambda: NOW)


def client_for(pages: Pages) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=gallery(pages))
    return httpx2.AsyncClient(transport=transport, base_url=ORIGIN)


@pytest.fixture(scope="module")
def pages() -> Pages:
    return make_pages()


@pytest.fixture
async def browser(pages: Pages) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_for(pages) as client:
        yield client


def render(pages: Pages, template: str, query: str = "", **context: Any) -> Response:
    headers = [(b"host", b"mcp.example.com")]
    scope = {"type": "http", "method": "GET", "query_string": query.encode(), "headers": headers}
    return pages.render(Request(scope), template, **context)


def html(response: Response) -> str:
    return bytes(response.body).decode()


def is_quick(took: Iterable[float]) -> bool:
    """Whether five milliseconds are enough; what measures coverage takes time, too."""
    return min(took) < 0.005 or sys.gettrace() is not None


@pytest.mark.parametrize("name", PAGES)
async def test_every_page_is_small_fast_and_free_of_scripts(
    browser: httpx2.AsyncClient, pages: Pages, name: str
) -> None:
    template, context = PAGES[name]
    took = []
    for _ in range(3):
        began = time.process_time()
        render(pages, template, **context)
        took.append(time.process_time() - began)
    page = await browser.get(f"/pages/{name}")
    style = await browser.get(pages.stylesheet_path)
    assert page.status_code == 200
    assert is_quick(took)
    assert len(style.content) < 12_000
    assert len(page.content) + len(style.content) < 25_000
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert "://" not in page.text.split("<main")[0].removeprefix("<!DOCTYPE html>")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["connections", "activity"])
def test_a_page_of_a_person_to_whom_much_happened_is_small_and_fast_too(
    pages: Pages, name: str, language: str
) -> None:
    template, context = PAGES[name]
    for listed, count in (("connections", 10), ("events", 50), ("sign_ins", 10)):
        if listed in context:
            context = context | {listed: (context[listed] * count)[:count]}
    took = []
    page = render(pages, template, f"ui_locales={language}", **context)
    for _ in range(40):
        began = time.process_time()
        render(pages, template, f"ui_locales={language}", **context)
        took.append(time.process_time() - began)
    assert is_quick(took)
    assert len(page.body) + len(pages.stylesheet.content) < 25_000


async def test_every_page_carries_every_security_header(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/pages/home")
    assert dict(page.headers) | {
        "content-security-policy": (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "strict-transport-security": "max-age=31536000; includeSubDomains",
        "content-language": "en",
        "vary": "Accept, Accept-Language, Cookie",
    } == dict(page.headers)


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_that_a_client_may_open_in_a_popup_leaves_it_its_opener(
    browser: httpx2.AsyncClient, name: str
) -> None:
    page = await browser.get(f"/pages/{name}")
    is_ours_alone = name.startswith(("home", "connections", "password", "activity"))
    assert ("cross-origin-opener-policy" in page.headers) == is_ours_alone


async def test_plain_http_on_loopback_is_not_told_to_use_tls() -> None:
    async with client_for(make_pages(public_url=None)) as browser:
        page = await browser.get("http://127.0.0.1:8000/pages/home")
    assert page.status_code == 200
    assert "strict-transport-security" not in page.headers


@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [
        ("https://c.example/callback", "https://c.example"),
        ("https://c.example:8443/cb?x=1", "https://c.example:8443"),
        ("https://c.example", "https://c.example"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:33418"),
        ("http://localhost:51234/callback", "http://localhost:51234"),
        ("http://[::1]:51234/callback", "http:"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:"),
        ("com.example.app:/callback", "com.example.app:"),
        ("https://c.example@evil.example/", None),
        ("https://c.example; script-src *", None),
        ("https://c.example,https://evil.example", None),
        ("https://*.example/cb", None),
        ("https://c.example\r\nSet-Cookie: a=b", None),
        ("https://[::1]/cb", None),
        ("HTTPS:; script-src *", None),
        ("evil ;script-src *://x", None),
        ("app:/cb\r\nSet-Cookie: a=b", None),
        ("", None),
    ],
)
def test_a_form_may_lead_to_the_redirect_origin_and_nowhere_else(
    pages: Pages, redirect_uri: str, source: str | None
) -> None:
    assert form_action_source(redirect_uri) == source
    response = render(pages, "sign_in.html", redirect_uri=redirect_uri, form="f")
    policy = response.headers["content-security-policy"]
    form_action = f"'self' {source}" if source else "'self'"
    assert f"; form-action {form_action}; frame-ancestors" in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    ("redirect_uri", "form_action"),
    [
        ("https://claude.ai/api/mcp/auth_callback", "https://claude.ai claude:"),
        ("https://claude.com/api/mcp/auth_callback", "https://claude.com claude:"),
        (
            "https://vscode.dev/redirect",
            "https://vscode.dev vscode: vscode-insiders: http://127.0.0.1:* http://localhost:*",
        ),
        ("https://claude.ai.evil.example/", "https://claude.ai.evil.example"),
        ("https://claude.ai:8443/", "https://claude.ai:8443"),
    ],
)
def test_a_callback_known_to_lead_on_may_do_so(
    pages: Pages, redirect_uri: str, form_action: str
) -> None:
    response = render(pages, "sign_in.html", redirect_uri=redirect_uri, form="f")
    policy = response.headers["content-security-policy"]
    assert f"; form-action 'self' {form_action}; frame-ancestors" in policy


@pytest.mark.parametrize(
    ("query", "accept_language", "tag"),
    [
        ("", None, "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-Hans"),
        ("", "zh-TW", "zh-Hans"),
        ("", "de-DE,de;q=0.9", "en"),
        ("", "de, en;q=0.4, zh;q=0.6", "zh-Hans"),
        ("", "en;q=0.4, zh;q=0", "en"),
        ("", "zh;q=nan, ;;, zh;q=7", "en"),
        ("", "*", "en"),
        ("?ui_locales=zh-CN", "en", "zh-Hans"),
        ("?ui_locales=fr+zh", "en", "zh-Hans"),
        ("?ui_locales=en", "zh", "en"),
        ("?ui_locales=fr", "zh", "zh-Hans"),
    ],
)
async def test_the_person_chooses_the_language(
    browser: httpx2.AsyncClient, query: str, accept_language: str | None, tag: str
) -> None:
    headers = {} if accept_language is None else {"Accept-Language": accept_language}
    page = await browser.get(f"/pages/sign-in{query}", headers=headers)
    assert page.headers["content-language"] == tag
    assert f'<html lang="{tag}">' in page.text
    assert ("登录" in page.text) == (tag == "zh-Hans")


async def test_a_chosen_language_stays_chosen(browser: httpx2.AsyncClient) -> None:
    page = await browser.get("/pages/sign-in?state=a%26b&ui_locales=zh-Hans")
    assert 'action="/oauth/sign-in?ui_locales=zh-Hans"' in page.text
    assert 'href="?state=a%26b&amp;ui_locales=en" lang="en"' in page.text
    posted = await browser.post("/pages/sign-in?ui_locales=zh-Hans")
    assert "hreflang" not in posted.text


def test_the_recipe_of_the_client_in_question_comes_first(pages: Pages) -> None:
    context = PAGES["error-expired_form"][1]
    for client_name, first in (("Cursor", "Cursor"), ("Claude Code (x)", "Claude Code"), ("", "")):
        details = {"client_name": client_name}
        page = html(render(pages, "error.html", **context | {"details": details}))
        assert re.findall(r"<dt translate=.no.>(.*?)</dt>", page)[0] == (first or "Claude Code")


async def test_dates_and_durations_are_written_in_the_language(browser: httpx2.AsyncClient) -> None:
    english = await browser.get("/pages/connections")
    chinese = await browser.get("/pages/connections?ui_locales=zh")
    assert ">Sep 1, 2026, 2:13:20\u202fPM UTC</time>" in english.text
    assert ">4 minutes ago <span>Sep 21, 2026, 2:09:20\u202fPM UTC</span></time>" in english.text
    assert ">2026年9月1日 14:13:20 UTC</time>" in chinese.text
    assert ">4分钟前 <span>2026年9月21日 14:09:20 UTC</span></time>" in chinese.text
    assert "1,284" in english.text
    assert "90 days" in (await browser.get("/pages/consent-app")).text
    assert "90天" in (await browser.get("/pages/consent-app?ui_locales=zh")).text
    assert "30 seconds" in (await browser.get("/pages/sign-in-throttled")).text
    assert "30秒钟" in (await browser.get("/pages/error-throttled?ui_locales=zh")).text


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (1, "in 1 second.", "1秒钟"),
        (120, "in 120 seconds.", "120秒钟"),
        (121, "in 3 minutes.", "3分钟"),
        (1800, "in 30 minutes.", "30分钟"),
    ],
)
def test_nobody_is_told_to_wait_for_hundreds_of_seconds(
    pages: Pages, seconds: int, english: str, chinese: str
) -> None:
    context: dict[str, Any] = {"form": "f", "problem": "throttled", "retry_after": seconds}
    assert english in html(render(pages, "sign_in.html", **context))
    assert f"请在{chinese}后" in html(render(pages, "sign_in.html", "ui_locales=zh", **context))


def test_a_short_lifetime_is_told_in_hours(pages: Pages) -> None:
    assert "1 hour at" in html(render(pages, "consent.html", **CONSENT | {"lifetime": 3600}))


code = '<code translate="no">{}</code>'.format
name_of = '<bdi translate="no">{}</bdi>'.format
HOSTILE = '"><img src=x onerror=alert(1)>\u202egpj.exe\n' + "W" * 300


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    ("template", "context"),
    [
        (
            "consent.html",
            CONSENT | {"client": a_client(Identity.SELF_DECLARED, client_name=HOSTILE)},
        ),
        ("sign_in.html", {"form": HOSTILE, "username": HOSTILE, "client_name": HOSTILE}),
        (
            "error.html",
            {
                "kind": "request_error",
                "details": {"client_name": HOSTILE, "description": HOSTILE},
                "return_url": f"http://localhost/?{HOSTILE}",
                "correlation_id": HOSTILE,
            },
        ),
        ("home.html", PAGES["home"][1] | {"tools": [(HOSTILE, HOSTILE, (HOSTILE,))]}),
    ],
)
def test_what_strangers_wrote_is_only_text(
    pages: Pages, template: str, context: dict[str, Any], language: str
) -> None:
    page = html(render(pages, template, f"ui_locales={language}", **context))
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Claude Code", "Claude Code"),
        ("文件助手 🗂", "文件助手 🗂"),
        ("Claude\u202eedoC", "ClaudeedoC"),
        ("  Claude \n\t Code\x00 ", "Claude Code"),
        ("Cla\u200bude", "Claude"),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_a_name_cannot_pretend_to_be_another_text(given: str, shown: str) -> None:
    assert as_name(given) == shown


def test_the_consent_page_begins_with_who_wants_what_as_whom(pages: Pages) -> None:
    page = html(render(pages, "consent.html", **CONSENT))
    who, what, whom = map(name_of, ("Claude", "Latchgate", "Alice Example"))
    heading = f"{who} wants to use {what} as {whom}"
    assert f'<main class="narrow">\n<h1>{heading}</h1>' in page


def test_required_scopes_cannot_be_unticked_and_held_ones_are_only_listed(pages: Pages) -> None:
    page = html(render(pages, "consent.html", **CONSENT))
    assert 'name="scope:user"' not in page
    assert page.count("always included") == 1
    assert 'name="scope:user:write" value="yes" checked>' in page
    step_up = html(render(pages, "consent.html", **PAGES["consent-app"][1]))
    assert 'name="scope:user"' not in step_up
    assert "What it may do already" in step_up


def test_a_key_pressed_in_the_consent_form_denies(pages: Pages) -> None:
    page = html(render(pages, "consent.html", **CONSENT))
    assert page.index('value="deny"') < page.index('value="allow"')
    assert "autofocus" not in page


@pytest.mark.parametrize(
    ("client", "text", "link"),
    [
        (a_client(Identity.PREREGISTERED), "set up this app (verified)", False),
        (CONSENT["client"], f"comes from {code('claude.ai')} (verified)", True),
        (
            a_client(
                Identity.METADATA_DOCUMENT,
                client_id="https://c.example/id",
                client_uri="https://other.example",
            ),
            f"comes from {code('c.example')} (verified)",
            False,
        ),
        (
            a_client(
                Identity.METADATA_DOCUMENT,
                client_id="https://c.example/id",
                client_uri="https://[",
            ),
            "(verified)",
            False,
        ),
        (
            a_client(Identity.SELF_DECLARED, client_uri="https://claude.ai", client_name=""),
            "Not verified: the app gave this name itself",
            False,
        ),
    ],
)
def test_the_consent_page_says_how_the_name_is_known(
    pages: Pages, client: Any, text: str, *, link: bool
) -> None:
    page = html(render(pages, "consent.html", **CONSENT | {"client": client}))
    assert text in page
    assert page.index(text) < page.index("<h2>")
    assert ("About this app" in page) == link


@pytest.mark.parametrize(
    ("name", "place", "warned"),
    [
        ("consent-host", f"goes to {code('claude.ai')}.", False),
        ("consent-computer", "goes to an app on this computer.", True),
        ("consent-app", f"goes to the app registered for {code('cursor://')}.", True),
    ],
)
async def test_the_consent_page_says_where_the_answer_goes(
    browser: httpx2.AsyncClient, name: str, place: str, *, warned: bool
) -> None:
    page = await browser.get(f"/pages/{name}")
    assert place in page.text
    assert ("you have just started it yourself" in page.text) == warned


def test_whoever_allowed_nothing_is_told_that_and_nothing_of_apps(pages: Pages) -> None:
    texts = ("You have not allowed any app.", "These apps may use this server")
    for name, shown in (("connections-empty", [True, False]), ("connections", [False, True])):
        page = html(render(pages, "connections.html", **PAGES[name][1]))
        assert [text in page for text in texts] == shown


async def test_the_tools_of_the_samples_are_those_that_come_along(
    world: World, browser: httpx2.AsyncClient
) -> None:
    real = await world.browser().get("/")
    sample = await browser.get("/pages/home")
    tools = re.compile(r'<dl class="tools">.*?</dl>', re.DOTALL)
    assert tools.findall(real.text) == tools.findall(sample.text) != []


def test_names_are_listed_as_the_language_does(pages: Pages) -> None:
    context = PAGES["consent-host"][1]
    for language, between in (("en", ", "), ("zh", "、")):
        page = html(render(pages, "consent.html", f"ui_locales={language}", **context))
        assert between.join(map(name_of, ("Save a file", "delete"))) in page


def test_the_home_page_says_what_it_is_for(pages: Pages) -> None:
    page = html(render(pages, "home.html", **PAGES["home"][1]))
    assert f"<h1>Connect an app to {name_of('Latchgate')}</h1>" in page
    assert "<title>About this server – Latchgate</title>" in page


@pytest.mark.parametrize("kind", ERROR_KINDS)
async def test_every_error_says_what_to_do(browser: httpx2.AsyncClient, kind: str) -> None:
    page = await browser.get(f"/pages/error-{kind}")
    assert "What you can do" in page.text
    assert "01JDXJ6Q8W" in page.text
    assert ("mcp-remote" in page.text) == (kind in {"unknown_client", "expired_form", "spent_form"})


def test_a_kind_of_error_without_words_is_a_fault_of_ours(pages: Pages) -> None:
    page = render(pages, "error.html", kind="new", details={}, correlation_id="c")
    assert "Something went wrong here" in html(page)


def test_every_error_that_is_raised_has_its_words_and_no_other() -> None:
    sources = [
        path.read_text(encoding="utf-8") for path in (TEMPLATES.parent / "auth").rglob("*.py")
    ]
    raised = {kind for text in sources for kind in re.findall(r'PageError\(\s*"(\w+)"', text)}
    # Where errors are rendered, kinds are made from statuses and from types of errors too.
    rendered = (TEMPLATES.parent / "auth" / "failures.py").read_text(encoding="utf-8")
    assert raised <= set(ERROR_KINDS)
    assert {kind for kind in ERROR_KINDS if f'"{kind}"' not in rendered} <= raised


@pytest.mark.parametrize("kind", ["throttled", "unavailable"])
def test_who_only_has_to_wait_is_told_how_long_and_no_other_reason(pages: Pages, kind: str) -> None:
    details = {"description": "too many attempts: wait", "retry_after": 30}
    page = html(render(pages, "error.html", kind=kind, details=details, correlation_id="c"))
    assert "in 30 seconds." in page
    assert "Reason" not in page


@pytest.mark.parametrize("kind", sorted(REMEMBERED))
def test_every_event_is_told_in_words(pages: Pages, kind: str) -> None:
    event = Event(NOW, kind, ALICE.subject, None, None, None, None)
    page = render(pages, "activity.html", account=ALICE, events=[event], sign_ins=[], labels={})
    assert kind not in html(page)


async def test_the_stylesheet_may_be_kept_for_ever(
    browser: httpx2.AsyncClient, pages: Pages
) -> None:
    style = await browser.get(pages.stylesheet_path)
    assert style.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert pages.stylesheet_path in (await browser.get("/pages/home")).text
    assert make_pages(accent_color="#aa0000").stylesheet_path != pages.stylesheet_path


@pytest.mark.parametrize(
    "color", ["#000000", "#ffffff", "#ffff00", "#1f5fbf", "#808080", "#ff0000"]
)
def test_text_in_any_accent_colour_can_be_read(color: str) -> None:
    accent = readable_accent(color)
    assert contrast(accent.light, LIGHT) >= 4.5
    assert contrast(accent.dark, DARK) >= 4.5


async def test_name_and_logo_are_the_operators(tmp_path: Path) -> None:
    picture = tmp_path / "house.PNG"
    picture.write_bytes(b"\x89PNG")
    pages = make_pages(name="Haus & Hof", logo=picture)
    async with client_for(pages) as browser:
        served = await browser.get(pages.logo_path)
        page = await browser.get("/pages/home")
    assert (served.headers["content-type"], served.content) == ("image/png", b"\x89PNG")
    assert f'<img src="{pages.logo_path}"' in page.text
    assert "Haus &amp; Hof" in page.text


async def test_our_own_logo_can_do_nothing_but_be_seen(
    browser: httpx2.AsyncClient, pages: Pages
) -> None:
    served = await browser.get(pages.logo_path)
    assert served.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in served.headers["content-security-policy"]


def test_the_languages_can_be_told_in_metadata(pages: Pages) -> None:
    assert pages.language_tags == ("en", "zh-Hans")


@pytest.mark.parametrize("color", ["red", "#fff", "#12345g", "#123456; } body { display: none"])
def test_an_accent_colour_is_six_hexadecimal_digits(color: str) -> None:
    with pytest.raises(ValidationError):
        make_pages(accent_color=color)


async def test_every_page_of_the_journey_takes_less_than_five_milliseconds(world: World) -> None:
    """Of the processor's time, with all that is read and sealed for it, and the client's part."""
    client = await world.register()
    stranger, person = world.browser(), await world.signed_in()
    request = authorization_request(client)
    for browser, path, query in (
        (stranger, "/", {}),
        (stranger, "/oauth/sign-in", {}),
        (stranger, "/oauth/authorize", request),
        (stranger, "/oauth/authorize", {"client_id": "unknown"}),
        (person, "/oauth/authorize", request),
        (person, "/oauth/connections", {}),
        (person, "/oauth/password", {}),
    ):
        took = []
        for _ in range(8):
            began = time.process_time()
            await browser.get(path, params=query)
            took.append(time.process_time() - began)
        assert is_quick(took), path
