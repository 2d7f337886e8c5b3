"""What tests of real clients share: a server that restarts, a person, a client at work."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from demo.discovery import AUTHORIZATION_SERVER
from demo.start import ROOT, Server, free_port, running

PROGRAMS = Path(__file__).parent / "programs"
NODE_MODULES = Path(__file__).parent / "node_modules"
NODE = NODE_MODULES / ".bin" / "node"
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
PYTHON_SDK_1 = ROOT / ".venv" / "clients-1x" / "bin" / "python"
PASSWORD = "a password of the tests"
INSTALL = "`make environment-clients` installs what the tests of real clients need"

Request = tuple[str, str, int]

_ACCESS_LOG = re.compile(r'"([A-Z]+) (/[^ ?]*)[^"]*" (\d{3})')


class CallFailed(Exception):
    """What the client said when a call failed."""


@dataclass
class Outcome:
    """What came of a step; a reason after "no: " becomes a note below the table."""

    text: str = "ok"


class Client(Protocol):
    """A real client at work: whatever it has to do first, it calls a tool."""

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        """What the tool answered. Raises CallFailed if the client could not, or would not."""


class Latchgate:
    """Our server, or its two halves, started as people start it; can be started anew in place."""

    def __init__(self, folder: Path, *servers: Server) -> None:
        self._folder = folder
        self._servers = servers
        self._processes = ExitStack()
        self._earlier_log = ""

    @property
    def url(self) -> str:
        """The MCP endpoint."""
        return f"{self._servers[-1].url}/mcp"

    @property
    def log(self) -> str:
        """All they have said, before restarts too."""
        return self._earlier_log + "".join(
            file.read_text() for file in sorted(self._folder.glob("*app.log"))
        )

    def requests(self, path: str) -> list[Request]:
        """What was asked of this path, and with which status it was answered."""
        found = [(m[1], m[2], int(m[3])) for m in _ACCESS_LOG.finditer(self.log)]
        return [request for request in found if request[1] == path]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start it, wait until it answers, and end it at the end."""
        try:
            self._start()
            yield
        finally:
            self._processes.close()

    def restart(self) -> None:
        """End it and start it anew; what is not in its store is forgotten."""
        self._processes.close()
        self._earlier_log = self.log
        self._start()

    def _start(self) -> None:
        for server in self._servers:
            self._processes.enter_context(running(server, self._folder))


def combined(folder: Path, **settings: str) -> Latchgate:
    """Both halves in one process."""
    settings = {"ADMIN_PASSWORD": PASSWORD, "PASSWORD_MEMORY_KIB": "8"} | settings
    server = Server("combined_app:app", free_port(), settings, AUTHORIZATION_SERVER, "/mcp")
    return Latchgate(folder, server)


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
    client_metadata_url: str = ""
    """Where the client's own document stands, if it is to describe itself by one."""
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
        document = {"CLIENT_METADATA_URL": self.client_metadata_url}
        return kept | {"PATH": path, "HOME": str(home)} | document | self.person.environment

    @property
    def story(self) -> str:
        """What everybody said, for whoever has to find out why a test failed."""
        said = self.client_log.read_text() if self.client_log.exists() else ""
        log = self.server.log
        return f"-- client --\n{said}\n-- person --\n{self.person.log}\n-- server --\n{log}"


@dataclass
class Program:
    """A client program at work."""

    process: subprocess.Popen[str]
    sessions: int = 0

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
        self.sessions = answer["sessions"]
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["result"]


@contextmanager
def program(scene: Scene, *command: str | Path) -> Iterator[Program]:
    """One of our small programs around a client's library: an order a line, an answer a line."""
    for file in command:
        if isinstance(file, Path):
            require(file)
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


@dataclass
class Inspector:
    """The MCP Inspector's command line: a process for each call, and files between them."""

    scene: Scene
    era: str

    def call(self, tool: str, **arguments: str) -> dict[str, Any]:
        launcher = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
        command = [str(require(NODE)), str(require(NODE_MODULES / launcher)), "--cli"]
        options = {
            "--transport": "http",
            "--protocol-era": self.era,
            "--method": "tools/call",
            "--tool-name": tool,
            "--tool-args-json": json.dumps(arguments),
            "--callback-url": f"http://127.0.0.1:{free_port()}/oauth/callback",
            "--format": "json",
        }
        if self.scene.client_metadata_url:
            options["--client-metadata-url"] = self.scene.client_metadata_url
        # Without a terminal it would open no browser, without a key ring it would forget.
        surroundings = {"MCP_AUTO_OPEN_ENABLED": "true", "MCP_INSPECTOR_SECRET_STORE": "file"}
        done = subprocess.run(  # noqa: S603 - a program we installed
            [*command, self.scene.server.url, *(word for pair in options.items() for word in pair)],
            cwd=self.scene.folder,
            env=self.scene.environment | surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        with self.scene.client_log.open("a") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode:
            raise CallFailed(done.stderr.strip().splitlines()[-1])
        content: dict[str, Any] = json.loads(done.stdout)["result"]["structuredContent"]
        return content


def require(file: Path) -> Path:
    """A client that is not there is a failure that names the command, never a test left out."""
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: {INSTALL}")
    return file
