"""How the demo tells what happens: a line for what was asked, a line for what came back."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO
from urllib.parse import parse_qsl, urlsplit

SECRET_NAMES = frozenset(
    {
        "access_token",
        "client_secret",
        "code",
        "code_verifier",
        "id_token",
        "password",
        "refresh_token",
        "registration_access_token",
        "state",
        "token",
    }
)
"""The parameters whose values are never printed whole."""

_OPAQUE_NAMES = frozenset({"client_id", "code_challenge"})
"""No secrets, but nothing that anybody wants to read to the end."""

LINE = 120
LONG = 400
OPAQUE = 40
SAID = 400
LONG_SECRET = 40

_COLORS = {
    "step": "1",
    "asked": "36",
    "answered": "32",
    "note": "2",
    "failed": "31;1",
    "done": "32;1",
}
_MARKS = {
    "step": "\n",
    "asked": "  → ",
    "answered": "  ← ",
    "note": "    ",
    "failed": "\n✗ ",
    "done": "\n✓ ",
}


class StepFailed(Exception):
    """A step did not succeed: why, what the server said, and what can be done."""

    def __init__(self, reason: str, *, said: str = "", remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.said = said[:SAID]
        self.remedy = remedy


class Narrator:
    """Tells each event as lines for people, or as one JSON object a line for machines.

    Whatever was once handed to `keep_secret` is shortened in everything told afterwards, so that
    no answer of a server can make us print it.
    """

    def __init__(
        self, out: TextIO | None = None, *, color: bool = False, as_json: bool = False
    ) -> None:
        self._out = out or sys.stdout
        self._color = color
        self._as_json = as_json
        self._secrets: dict[str, str] = {}
        self._step = 0

    def keep_secret(self, value: str) -> None:
        """Never tell this value whole again."""
        if value:
            self._secrets[value] = shorten(value)

    def step(self, title: str) -> None:
        """A new step begins."""
        self._step += 1
        self._tell("step", f"{self._step}. {title}", title=title)

    def asked(self, what: str, details: Mapping[str, Any] | None = None) -> None:
        """What was asked, and with which parameters."""
        self._tell("asked", what, details)

    def answered(self, what: str, details: Mapping[str, Any] | None = None) -> None:
        """What came back."""
        self._tell("answered", what, details)

    def note(self, text: str) -> None:
        """Something worth knowing about the step."""
        self._tell("note", text)

    def invite(self, url: str) -> None:
        """A URL for the person to open: told whole, `state` and all, or it would be of no use."""
        secrets, self._secrets = self._secrets, {}
        self._tell("note", url)
        self._secrets = secrets

    def done(self, answer: str) -> None:
        """Every step succeeded; what came of it, in a line."""
        self._tell("done", f"{self._step} steps done. {answer}".rstrip())

    def failed(self, failure: StepFailed) -> None:
        """The step failed, and so the journey ends."""
        where = f"Step {self._step} failed: " if self._step else ""
        details = {"the server said": failure.said, "what to do": failure.remedy}
        self._tell(
            "failed", where + failure.reason, {name: text for name, text in details.items() if text}
        )

    def _tell(
        self, event: str, text: str, details: Mapping[str, Any] | None = None, **more: str
    ) -> None:
        shown = {name: self._redact(name, value) for name, value in (details or {}).items()}
        text = self._hide(text)
        if self._as_json:
            record = {"event": event, "step": self._step, "text": text, **more}
            lines = [json.dumps(record | ({"details": shown} if shown else {}))]
        else:
            lines = self._lines(event, text, shown)
        say("\n".join(lines), self._out)

    def _lines(self, event: str, text: str, details: Mapping[str, Any]) -> list[str]:
        mark = _MARKS[event]
        text = text.replace("\n", "\n    ")
        if self._color:
            text = f"\x1b[{_COLORS[event]}m{text}\x1b[0m"
        lines = [mark + text]
        for name, value in details.items():
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"      {name}: {shown}")
        return lines

    def _redact(self, name: str, value: Any) -> Any:
        if not isinstance(value, str):
            shown = json.dumps(value, ensure_ascii=False)
            hidden = abridge(self._hide(shown), LONG)
            return value if hidden == shown else hidden
        if name in SECRET_NAMES:
            self.keep_secret(value)
        return abridge(self._hide(value), OPAQUE if name in _OPAQUE_NAMES else LONG)

    def _hide(self, text: str) -> str:
        # The longest first: a short one may be part of a long one, which then is found no more.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, self._secrets[secret])
        return printable(text)


def say(text: str, out: TextIO) -> None:
    """Print at once; where nobody reads on (`| head`), go on in silence."""
    try:
        print(text, file=out, flush=True)
    except BrokenPipeError:
        # What is in the buffer still has to go somewhere, at the latest when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def shorten(secret: str) -> str:
    """Enough of a secret to recognize it, never enough to use it.

    The end is shown too: refresh tokens of one family begin alike.
    """
    head, tail = (secret[:10], secret[-4:]) if len(secret) >= LONG_SECRET else ("", "")
    return f"{head}…{tail} ({len(secret)} characters)"


def abridge(text: str, limit: int = LINE) -> str:
    """A long text that is no secret, cut so that a line stays a line."""
    return text if len(text) <= limit else f"{text[:limit]}…({len(text)} characters)"


def printable(text: str) -> str:
    """Without the control characters by which a server could write on somebody's terminal."""
    return "".join(
        character for character in text if character in "\n\t" or character.isprintable()
    )


def without_query(url: str) -> str:
    """A URL as it is told: what is in its query is told apart, or not at all."""
    bare, query, _ = url.partition("?")
    return f"{bare}?…" if query else bare


def query_of(url: str) -> dict[str, str]:
    """The parameters in the query of a URL, to be told apart from it."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def wants_color(out: TextIO, *, refused: bool) -> bool:
    """Whether to color: on a terminal, unless told not to (https://no-color.org)."""
    return not refused and not os.environ.get("NO_COLOR") and out.isatty()
