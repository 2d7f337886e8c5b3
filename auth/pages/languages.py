"""Languages: which one a person reads, and dates and durations written in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from math import ceil, inf
from pathlib import Path
from typing import Literal

from babel import Locale
from babel.dates import (
    DateTimePattern,
    format_timedelta,
    get_date_format,
    get_datetime_format,
    get_time_format,
    parse_pattern,
)
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations

_ENTRY = re.compile(r"\s*([A-Za-z0-9-]+)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
_MOST_ENTRIES = 20
_MINUTE = 60
_DAY = 86_400
_THOUSAND = 1000


@dataclass(frozen=True)
class Language:
    """A language in which the pages can be read, by its BCP 47 tag."""

    tag: str
    locale: Locale
    catalogues: Path

    @cached_property
    def translations(self) -> NullTranslations:
        """Its catalogue, read when the first page needs it."""
        return Translations.load(self.catalogues, [str(self.locale)])

    @property
    def name(self) -> str:
        """Its name for itself."""
        return (self.locale.get_language_name(self.locale.language) or self.tag).capitalize()

    def moment(self, at: int) -> str:
        """A moment in full; in UTC, since a server cannot know a person's time zone."""
        return f"{self._moment.apply(_utc(at), self.locale)} UTC"

    @cached_property
    def _moment(self) -> DateTimePattern:
        """How date and time are written together, read once: a list has many moments."""
        together = str(get_datetime_format("medium", locale=self.locale)).replace("'", "")
        day, time = (
            get("medium", locale=self.locale) for get in (get_date_format, get_time_format)
        )
        return parse_pattern(together.replace("{1}", str(day)).replace("{0}", str(time)))

    def ago(self, at: int, now: int) -> str:
        """A past moment as a person says it: 3 days ago."""
        return format_timedelta(min(at - now, -1), add_direction=True, locale=self.locale)

    def wait(self, seconds: int) -> str:
        """How long to wait: in seconds up to two minutes, then in minutes, rather one too many."""
        if seconds <= 2 * _MINUTE:
            return self._counted(seconds, "second")
        return self._counted(ceil(seconds / _MINUTE) * _MINUTE, "minute")

    def lasting(self, seconds: int) -> str:
        """A duration, in days if it is at least two of them."""
        if seconds < 2 * _DAY:
            return format_timedelta(seconds, locale=self.locale)
        return self._counted(seconds, "day")

    def number(self, count: int) -> str:
        """A whole number, its thousands set apart."""
        return format_decimal(count, locale=self.locale) if count >= _THOUSAND else str(count)

    def _counted(self, seconds: int, unit: Literal["second", "minute", "day"]) -> str:
        """A duration in this unit and in no greater one."""
        return format_timedelta(seconds, unit, threshold=inf, locale=self.locale)


class Languages:
    """The catalogues in a directory, one `<locale>/LC_MESSAGES/messages.mo` for each language."""

    def __init__(self, catalogues: Path) -> None:
        locales = sorted(path.parts[-3] for path in catalogues.glob("*/LC_MESSAGES/messages.mo"))
        self._by_tag = {
            name.replace("_", "-").lower(): Language(
                tag=name.replace("_", "-"),
                locale=Locale.parse(name),
                catalogues=catalogues,
            )
            for name in locales
        }
        self._by_primary_subtag = {tag.partition("-")[0]: tag for tag in self._by_tag}

    @classmethod
    @cache
    def under(cls, catalogues: Path) -> "Languages":
        """The same for all who read from this directory, so that each file is read once."""
        return cls(catalogues)

    def __iter__(self) -> Iterator[Language]:
        return iter(self._by_tag.values())

    def choose(self, ui_locales: str, accept_language: str) -> Language:
        """The first language we have of those asked for, else English.

        `ui_locales` (OpenID Connect Core §3.1.2.1) is an explicit wish and goes before
        Accept-Language (RFC 9110 §12.5.4).
        """
        wishes = (*ui_locales.split()[:_MOST_ENTRIES], *_accepted(accept_language))
        found = (self._find(wish.lower()) for wish in wishes)
        return next((language for language in found if language), self._by_tag["en"])

    def _find(self, tag: str) -> Language | None:
        same_language = self._by_primary_subtag.get(tag.partition("-")[0], "")
        return self._by_tag.get(tag) or self._by_tag.get(same_language)


def _accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, best first, without the refused ones."""
    entries = (_ENTRY.fullmatch(entry) for entry in header.split(",")[:_MOST_ENTRIES])
    weighed = [(float(entry[2] or 1), entry[1]) for entry in entries if entry]
    return [tag for weight, tag in sorted(weighed, key=lambda pair: -pair[0]) if weight]


def _utc(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)
