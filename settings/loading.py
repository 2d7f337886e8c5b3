"""Reading the settings when a program starts, and telling a person where one is wrong."""

import re
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from settings.model import PREFIX, Settings

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_OF_A_SERVICE = re.compile(
    r"latchgate_(?:\w+_)?(?:service_(?:host|port(?:_\w+)?)|port_\d+_(?:tcp|udp|sctp)(?:_\w+)?)"
)
_OF_A_PORT = re.compile(r"(?:tcp|udp|sctp)://")


def load_settings() -> Settings:
    """The settings from the environment and `.env`, for a program that starts.

    Where one is wrong the program ends (SystemExit) with a message for the person who set it: each
    wrong variable, why, and what it is for. No value of a secret is in it.
    """
    try:
        settings = Settings()
        problems = _misspelt()
    except ValidationError as error:
        problems = [*_misspelt(), *dict.fromkeys(map(_explain, error.errors()))]
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


def _explain(error: ErrorDetails) -> str:
    """What is wrong with one setting and what it is for; agreeing ones name themselves."""
    if error["type"] in {"int_parsing", "int_parsing_size"}:
        problem = "write a whole number, in digits only"
    elif error["type"] == "bool_parsing":
        problem = "write true or false"
    elif error["type"] in {"path_not_file", "path_not_directory"}:
        problem = f"there is no file {error['input']!r}, seen from {Path.cwd()}"
    else:
        message = error["msg"].removeprefix("Value error, ")
        problem = message.replace("Input should be", "it has to be", 1)
    if not error["loc"]:
        return problem
    name = str(error["loc"][0])
    return f"{PREFIX}{name.upper()}: {problem}\n    {Settings.model_fields[name].description}"


def _misspelt() -> list[str]:
    """Names that are no setting: what was meant would be silently left at its default."""
    given = {**EnvSettingsSource(Settings).env_vars, **DotEnvSettingsSource(Settings).env_vars}
    names = {PREFIX.lower() + name for name in Settings.model_fields}
    return [
        f"{name.upper()} is no setting; {_meant(name.removeprefix(PREFIX.lower()))}"
        for name in sorted(given.keys() - names)
        if name.startswith(PREFIX.lower()) and not _is_of_others(name, given[name] or "")
    ]


def _is_of_others(name: str, value: str) -> bool:
    """Whether Kubernetes made it for a service with our name, or it is the demo's."""
    return (
        name.startswith(f"{PREFIX}DEMO_".lower())
        or _OF_A_SERVICE.fullmatch(name) is not None
        or (name.endswith("_port") and _OF_A_PORT.match(value) is not None)
    )


def _meant(name: str) -> str:
    """The setting that is nearly it, those that hold all of its words, or else the nearest one."""
    words = set(name.split("_"))
    names = (
        get_close_matches(name, Settings.model_fields, n=1, cutoff=0.85)
        or [known for known in Settings.model_fields if words <= set(known.split("_"))]
        or get_close_matches(name, Settings.model_fields, n=1)
    )
    if not names:
        return "docs/settings.md has the list of all"
    return f"did you mean {' or '.join(PREFIX + known.upper() for known in names)}?"
