"""The Lua scripts of the Valkey store: each is one atomic step on the server.

In the files `--- name flags` begins a script; `shared.lua` stands before each of them. The flags
are the server's: `no-writes` is a read, `allow-oom` shuts somebody out and so has to work when the
server's memory is full. Every other script is refused as a whole then, before its first write.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files

_BEGINNING = re.compile(r"^--- (\w+)((?: [a-z-]+)*)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One script; `sha` is the name under which the server keeps it."""

    name: str
    text: str
    is_read: bool
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "sha", digest)


def load_scripts() -> Mapping[str, Script]:
    """Every script by its name."""
    folder = files(__package__)
    shared = (folder / "shared.lua").read_text("utf-8")
    return {
        script.name: script
        for name in ("people.lua", "grants.lua")
        for script in _split((folder / name).read_text("utf-8"), shared)
    }


def _split(text: str, shared: str) -> Iterator[Script]:
    _, *parts = _BEGINNING.split(text)
    for name, flags, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        words = flags.split()
        yield Script(
            name=name,
            text=f"#!lua flags={','.join(words)}\n{shared}\n{body}",
            is_read="no-writes" in words,
        )
