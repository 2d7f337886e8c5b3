"""The pages people see: templates rendered in their language, under strict security headers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from babel.support import NullTranslations
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from auth.pages.accent import DARK, LIGHT, readable_accent
from auth.pages.languages import Language, Languages
from auth.pages.security_headers import security_headers
from auth.self_description import one_line
from auth.uris import host_of
from settings import Settings
from settings.values import PICTURE_TYPES

TEMPLATES = Path(__file__).parents[2] / "templates"
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages refer to, under a path that changes with its content."""

    path: str
    content: bytes
    media_type: str

    @classmethod
    def of(cls, name: str, suffix: str, content: bytes, media_type: str) -> "Asset":
        """Named by its digest, so that browsers may keep it for ever."""
        return cls(
            f"/assets/{name}.{sha256(content).hexdigest()[:16]}{suffix}", content, media_type
        )


class Pages:
    """Renders templates. `clock` tells the seconds since the epoch, for "3 days ago"."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        catalogues: Path = TEMPLATES / "locale",
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._languages = Languages.under(catalogues)
        self.logo = _logo(settings)
        self.stylesheet = _stylesheet(settings)

    @property
    def stylesheet_path(self) -> str:
        """Where `stylesheet` is to be served."""
        return self.stylesheet.path

    @property
    def logo_path(self) -> str:
        """Where `logo` is to be served."""
        return self.logo.path

    @property
    def language_tags(self) -> tuple[str, ...]:
        """What metadata may offer as `ui_locales_supported` (RFC 8414 §2)."""
        return tuple(language.tag for language in self._languages)

    def render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        *,
        redirect_uri: str | None = None,
        got_at: str | None = None,
        headers: Mapping[str, str] | None = None,
        **context: object,
    ) -> Response:
        """A page in the person's language; its form may lead to `redirect_uri` in the end.

        `got_at`: where what answers a posted form can be got, so that the language can be changed.
        """
        ui_locales = request.query_params.get("ui_locales", "")
        language = self._languages.choose(ui_locales, request.headers.get("accept-language", ""))
        origin = self._settings.origins.select(request.headers.get("host", ""))
        body = (
            environment(language)
            .get_template(template)
            .render(
                language=language,
                other_languages=self._other_languages(request, language, got_at),
                here=partial(page_path, request),
                host=origin.host if origin else None,
                now=int(self._clock()),
                server_name=self._settings.name,
                stylesheet_path=self.stylesheet_path,
                logo_path=self.logo_path,
                redirect_uri=redirect_uri,
                **context,
            )
        )
        return HTMLResponse(
            body,
            status,
            {
                **security_headers(
                    template,
                    is_secure=origin is not None and origin.is_secure,
                    redirect_uri=redirect_uri,
                ),
                "Content-Language": language.tag,
                **(headers or {}),
            },
        )

    def _other_languages(
        self, request: Request, current: Language, got_at: str | None
    ) -> list[tuple[Language, str]]:
        """Links to this page in the other languages; only what was got can be got again."""
        if request.method in {"GET", "HEAD"}:
            path, query = "", request.scope["query_string"].decode("latin-1")
        elif got_at is not None:
            path, _, query = got_at.partition("?")
        else:
            return []
        if "ui_locales" in query:
            pairs = parse_qsl(query, keep_blank_values=True)
            query = urlencode([pair for pair in pairs if pair[0] != "ui_locales"])
        before = f"{path}?{query}&" if query else f"{path}?"
        return [
            (language, f"{before}ui_locales={language.tag}")
            for language in self._languages
            if language is not current
        ]


@cache
def environment(language: Language | None = None) -> Environment:
    """The templates in this language, each compiled when it is first shown."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    translations = language.translations if language else NullTranslations()
    environment.install_gettext_translations(  # type: ignore[attr-defined]  # the extension adds it
        translations, newstyle=True
    )
    gettext = _remembering(translations)
    environment.globals |= {"_": gettext, "gettext": gettext}
    environment.filters |= {"as_name": as_name, "host_of": host_of, "iso": _iso}
    return environment


def _remembering(translations: NullTranslations) -> Callable[..., Markup]:
    """`gettext` for templates; Jinja's own would look each text up again for each page."""

    @cache
    def found(message: str) -> Markup:
        return Markup(translations.gettext(message))  # noqa: S704 - the catalogue is ours

    @cache
    def whole(message: str) -> Markup:
        return found(message) % {}

    def gettext(message: str, **variables: object) -> Markup:
        return found(message) % variables if variables else whole(message)

    return gettext


async def stylesheet(pages: Pages, _request: Request) -> Response:
    """The one stylesheet, at `pages.stylesheet_path`."""
    return _immutable(pages.stylesheet)


async def logo(pages: Pages, _request: Request) -> Response:
    """The logo, at `pages.logo_path`."""
    return _immutable(pages.logo)


def page_path(request: Request, path: str, **query: str) -> str:
    """The path to a page of ours, in the language that the person chose on this one."""
    if chosen := request.query_params.get("ui_locales"):
        query["ui_locales"] = chosen
    return f"{path}?{urlencode(query)}" if query else path


def as_name(text: str) -> str:
    """A name that somebody chose, as pages show it."""
    return one_line(text, _LONGEST_NAME)


def _iso(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat()}Z"


def _stylesheet(settings: Settings) -> Asset:
    return Asset.of("style", ".css", _colored(settings, "style.css"), "text/css; charset=utf-8")


def _logo(settings: Settings) -> Asset:
    if settings.logo is None:
        return Asset.of("logo", ".svg", _colored(settings, "logo.svg"), PICTURE_TYPES[".svg"])
    suffix = settings.logo.suffix.lower()
    return Asset.of("logo", suffix, settings.logo.read_bytes(), PICTURE_TYPES[suffix])


def _colored(settings: Settings, name: str) -> bytes:
    """A template without words, in the operator's accent colour."""
    accent = readable_accent(settings.accent_color)
    template = environment().get_template(name)
    return template.render(accent=accent, light=LIGHT, dark=DARK).encode()


def _immutable(asset: Asset) -> Response:
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(asset.content, media_type=asset.media_type, headers=headers)
