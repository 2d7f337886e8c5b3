"""What tests of real clients share: a server that restarts, a person, a client at work."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from demo.discovery import AUTHORIZATION_SERVER
from demo.start import ROOT, Server, free_port, running

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
NODE_MODULES = HERE / "node_modules"
NODE = NODE_MODULES / ".bin" / "node"
PASSWORD = "a password of the tests"
INSTALL = "make test-clients installs what the tests of real clients need"

Request = tuple[str, str, int]

_ACCESS_LOG = re.compile(r'"([A-Z]+) (/[^ ?]*)[^"]*" (\d{3})')


class CallFailed(Exception):
    """What the client said when a call failed."""


class Client(Protocol):
    """A real client at work: whatever it has to do first, it calls a tool."""

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        """What the tool answered. Raises CallFailed if the client could not, or would not."""


class Latchgate:
    """Our server, started as people start it; it can be ended and started anew on its port."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._server = Server(
            "combined_app:app",
            free_port(),
            {"ADMIN_PASSWORD": PASSWORD, "PASSWORD_MEMORY_KIB": "8"} | settings,
            AUTHORIZATION_SERVER,
            "/mcp",
        )
        self._process = ExitStack()
        self._earlier_log = ""

    @property
    def url(self) -> str:
        """The MCP endpoint."""
        return f"{self._server.url}/mcp"

    @property
    def log(self) -> str:
        """All it has said, before restarts too."""
        file = self._folder / "combined_app.log"
        return self._earlier_log + (file.read_text() if file.exists() else "")

    def requests(self, path: str) -> list[Request]:
        """What was asked of this path, and with which status it was answered."""
        found = [(m[1], m[2], int(m[3])) for m in _ACCESS_LOG.finditer(self.log)]
        return [request for request in found if request[1] == path]

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process.enter_context(running(self._server, self._folder))

    def stop(self) -> None:
        """End it."""
        self._process.close()

    def restart(self) -> None:
        """End it and start it anew; what is not in its store is forgotten."""
        self.stop()
        self._earlier_log = self.log
        self.start()


class Person:
    """Whoever sits at the browser that a client opens: `person.py`, and what it wrote down."""

    def __init__(self, folder: Path) -> None:
        self._diary = folder / "diary.jsonl"
        self._words = folder / "person.log"
        self.browser = folder / "browser"
        command = shlex.join([sys.executable, "-m", "tests.clients.person"])
        # In the background, as a browser: some clients wait for the command that opens it.
        self.browser.write_text(
            f"#!/bin/sh\ncd {shlex.quote(str(ROOT))} && "
            f'{command} "$1" </dev/null >>{shlex.quote(str(self._words))} 2>&1 &\n'
        )
        self.browser.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """What a client has to be told of its surroundings."""
        return {
            "BROWSER": str(self.browser),
            "PERSON_DIARY": str(self._diary),
            "PERSON_PASSWORD": PASSWORD,
        }

    @property
    def visits(self) -> list[dict[str, str]]:
        """The authorization requests that were opened, in order."""
        lines = self._diary.read_text().splitlines() if self._diary.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def log(self) -> str:
        """What the person saw."""
        return self._words.read_text() if self._words.exists() else ""


@dataclass
class Scene:
    """A server, a person and a folder: where a client is tried."""

    folder: Path
    server: Latchgate
    person: Person
    client_log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.client_log = self.folder / "client.log"

    @property
    def environment(self) -> dict[str, str]:
        """A home of its own, so that no client finds what another remembered, and no screen."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        path = f"{NODE.parent}{os.pathsep}{kept.get('PATH', '')}"
        return kept | {"PATH": path, "HOME": str(home)} | self.person.environment

    @property
    def story(self) -> str:
        """What everybody said, for whoever has to find out why a test failed."""
        said = self.client_log.read_text() if self.client_log.exists() else ""
        return f"-- client --\n{said}\n-- person --\n{self.person.log}\n-- server --\n{self.server.log}"


@dataclass
class Program:
    """A client program at work."""

    process: subprocess.Popen[str]

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.do("call", tool, arguments)
        return answer

    def do(self, verb: str, *arguments: Any) -> Any:
        """What else the client can do: `introspect` or `revoke` its token."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": verb, "with": arguments}) + "\n")
        line = self.process.stdout.readline()
        if not line:
            raise CallFailed(f"the program ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["result"]


@contextmanager
def program(scene: Scene, *command: str | Path) -> Iterator[Program]:
    """One of our small programs around a client's library: an order a line, an answer a line."""
    require(Path(command[0]))
    with (
        scene.client_log.open("ab") as log,
        subprocess.Popen(  # noqa: S603 - a program of ours
            [*map(str, command)],
            cwd=scene.folder,
            env=scene.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            bufsize=1,
        ) as process,
    ):
        try:
            yield Program(process)
        finally:
            process.terminate()


def require(file: Path) -> None:
    """A client that is not there is a failure that names the command, never a test left out."""
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: {INSTALL}")
