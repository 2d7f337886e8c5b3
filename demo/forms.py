"""HTML forms as a person sees them: read from a page, filled in, ready to be submitted."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

Pair = tuple[str, str]

_SUBMITTING = {"submit", "image"}
_TYPED_IN = {"text", "email", "tel"}
_NOT_SENT = {"button", "reset", "file"}
_EMPTY = {"br", "input", "img", "hr", "path"}
_UNSEEN = {"script", "style", "template", "noscript", "svg"}

_YES = re.compile(
    r"\b(?:allow|approve|accept|authori[sz]e|yes|continue|grant|confirm|agree|consent|next|submit"
    r"|(?:sign|log)[- ]?in|login)\b|允许|同意|授权|批准|登录|继续",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\b(?:deny|cancel|reject|decline|refuse|disagree|no|not|don['’]t|abort|back|another|different|somebody|someone|else"
    r"|(?:sign|log)[- ]?(?:out|up)|logout|register|forgot)\b|拒绝|取消|退出|其他",
    re.IGNORECASE,
)
_USERNAME = re.compile(r"user|login|mail|account|identifier", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Control:
    """A field or button of a form; `text` is what a button says."""

    name: str
    kind: str
    value: str = ""
    text: str = ""
    autocomplete: str = ""
    action: str = ""
    is_checked: bool = False
    is_required: bool = False

    @property
    def is_username(self) -> bool:
        """Whether it asks who is there."""
        hint = f"{self.name} {self.autocomplete}"
        return self.kind in _TYPED_IN and _USERNAME.search(hint) is not None

    @property
    def agrees(self) -> bool:
        """Whether pressing it says yes: by what it sends, else by what it says."""
        for words in (self.value, self.text, self.name):
            words = words.replace("_", " ")  # noqa: PLW2901 - a word boundary for the patterns
            if _NO.search(words):
                return False
            if _YES.search(words):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Form:
    """A form: where it goes, and its controls in the order of the page."""

    action: str = ""
    method: str = "get"
    controls: list[Control] = field(default_factory=list)

    @property
    def asks_password(self) -> bool:
        """Whether it has a field for a password."""
        return any(control.kind == "password" for control in self.controls)

    @property
    def username_field(self) -> Control | None:
        """The field for the person's name; beside a password it is any field to type in."""
        typed_in = [control for control in self.controls if control.kind in _TYPED_IN]
        named = [control for control in typed_in if control.is_username]
        return next(iter(named or (typed_in if self.asks_password else [])), None)

    @property
    def agreeing_button(self) -> Control | None:
        """The button that says yes; where a name or password is asked, the first one that is."""
        buttons = [control for control in self.controls if control.kind in _SUBMITTING]
        agreeing = [button for button in buttons if button.agrees]
        if not agreeing and (self.asks_password or self.username_field):
            agreeing = buttons
        return next(iter(agreeing), None)

    @property
    def target(self) -> str:
        """Where the yes button sends the form."""
        pressed = self.agreeing_button
        return (pressed.action if pressed else "") or self.action

    def filled(self, username: str, password: Callable[[], str]) -> list[Pair]:
        """What a browser would send when a person fills this in and presses the yes button."""
        asked, pressed = self.username_field, self.agreeing_button
        pairs: list[Pair] = []
        for control in self.controls:
            if not control.name or control.kind in _NOT_SENT:
                continue
            if control.kind in _SUBMITTING and control is not pressed:
                continue
            if control.kind in {"checkbox", "radio"}:
                if control.is_checked or control.is_required:
                    pairs.append((control.name, control.value or "on"))
            elif control.kind == "password":
                pairs.append((control.name, password()))
            else:
                pairs.append((control.name, username if control is asked else control.value))
        return pairs


@dataclass(frozen=True, slots=True)
class Page:
    """What matters of a page: its title, its text, what it warns of, its forms.

    `facts` are the terms of its description lists, each with what stands beside it.
    """

    title: str
    text: str
    alert: str
    forms: list[Form]
    facts: list[str]

    def form_to_fill(self) -> Form | None:
        """The form that leads on: one that asks for a password, else a yes, else a name."""
        for form in self.forms:
            if form.asks_password:
                return form
        agreeable = [form for form in self.forms if form.agreeing_button]
        return next(
            (form for form in agreeable if not form.username_field), next(iter(agreeable), None)
        )


def read_page(html: str) -> Page:
    """Read a page, forgiving as browsers are. A control outside every form is left out."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return Page(
        title=_squeezed(reader.title),
        text=_squeezed(reader.text),
        alert=_squeezed(reader.alert),
        forms=reader.forms,
        facts=[_squeezed(fact) for fact in reader.facts],
    )


class _Reader(HTMLParser):
    """Collects forms and text. The innermost of button, select, title or alert takes the words."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.title = self.text = self.alert = ""
        self._form: Form | None = None
        self._button: Mapping[str, str] | None = None
        self._select: Mapping[str, str] | None = None
        self._chosen: str | None = None
        self._words = ""
        self._unseen = 0
        self._in_title = False
        self.facts: list[str] = []
        self._in_fact = False
        self._alert_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in reversed(attrs)}
        self._begin_alert(tag, at)
        match tag:
            case "form":
                self._form = Form(at.get("action", ""), at.get("method", "get").lower())
                self.forms.append(self._form)
            case "input":
                self._add(at, at.get("type") or "text", at.get("value", ""))
            case "textarea":
                self._add(at, tag, "")
            case "button":
                self._button, self._words = at, ""
            case "select":
                self._select, self._chosen = at, None
            case "option" if self._chosen is None or "selected" in at:
                self._chosen = at.get("value", "")
            case "title":
                self._in_title = True
            case "dt" | "dd":
                self._begin_fact(tag)
            case _ if tag in _UNSEEN:
                self._unseen += 1

    def _begin_alert(self, tag: str, at: Mapping[str, str]) -> None:
        if self._alert_tags or at.get("role") == "alert":
            self._alert_tags += {tag} - _EMPTY

    def _begin_fact(self, tag: str) -> None:
        if tag == "dt":
            self.facts.append("")
        elif self.facts:
            self.facts[-1] += ": "
        self._in_fact = bool(self.facts)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._alert_tags:
            while self._alert_tags.pop() != tag:
                pass
        match tag:
            case "form":
                self._form = None
            case "button" if self._button is not None:
                at, self._button = self._button, None
                self._add(at, at.get("type") or "submit", at.get("value", ""), self._words)
            case "select" if self._select is not None:
                at, self._select = self._select, None
                self._add(at, tag, self._chosen or "")
            case "title":
                self._in_title = False
            case "dt" | "dd":
                self._in_fact = False
            case _ if tag in _UNSEEN:
                self._unseen = max(0, self._unseen - 1)

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if self._in_title:
            self.title += data
            return
        self.text += data + " "
        if self._button is not None:
            self._words += data
        if self._alert_tags:
            self.alert += data + " "
        if self._in_fact:
            self.facts[-1] += data

    def _add(self, at: Mapping[str, str], kind: str, value: str, text: str = "") -> None:
        if self._form is None or "disabled" in at:
            return
        self._form.controls.append(
            Control(
                name=at.get("name", ""),
                kind=kind.lower(),
                value=value,
                text=_squeezed(text),
                autocomplete=at.get("autocomplete", ""),
                action=at.get("formaction", ""),
                is_checked="checked" in at,
                is_required="required" in at,
            )
        )


def _squeezed(text: str) -> str:
    return " ".join(text.split())
