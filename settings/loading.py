"""Reading the settings when a program starts, and telling a person where one is wrong."""

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from settings.model import PREFIX, Settings


def load_settings() -> Settings:
    """The settings from the environment and `.env`, for a program that starts.

    Where one is wrong the program ends (SystemExit) with a message for the person who set it: each
    wrong variable, why, and what it is for. No value of a secret is in it.
    """
    try:
        settings = Settings()
        problems = _misspelt()
    except ValidationError as error:
        wrong = dict.fromkeys((detail["loc"][:1], detail["msg"]) for detail in error.errors())
        problems = _misspelt() + [_explain(*pair) for pair in wrong]
    except (OSError, UnicodeDecodeError) as error:
        problems = [f".env cannot be read: {error}"]
    else:
        if not problems:
            return settings
    start = "Latchgate does not start, because of its settings."
    end = (
        "They come from the environment and from the file .env in this directory; "
        ".env.example describes each."
    )
    raise SystemExit("\n\n".join((start, *problems, end)))


def _explain(location: tuple[int | str, ...], message: str) -> str:
    """What is wrong with one setting and what it is for; agreeing ones name themselves."""
    message = message.removeprefix("Value error, ")
    if not location:
        return message
    name = str(location[0])
    return f"{PREFIX}{name.upper()}: {message}\n    {Settings.model_fields[name].description}"


def _misspelt() -> list[str]:
    """Names that are no setting but nearly one: what was meant would be silently left at default.

    Others with our prefix are not ours to judge: orchestrators make LATCHGATE_PORT and the like.
    """
    given = {*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars}
    names = {PREFIX.lower() + name: name for name in Settings.model_fields}
    return [
        f"{name.upper()} is no setting; did you mean {PREFIX}{nearest[0].upper()}?"
        for name in sorted(given - names.keys())
        if name.startswith(PREFIX.lower())
        and (nearest := _nearest(name.removeprefix(PREFIX.lower()), names.values()))
    ]


def _nearest(name: str, names: Iterable[str]) -> list[str]:
    return get_close_matches(name, names, n=1, cutoff=0.85)
