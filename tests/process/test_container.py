"""The container's steps in a plain directory: what is sent, installed, started, asked, stopped."""

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo import client
from demo.start import ROOT, free_port
from tests.kit import PASSWORD

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PATIENCE = 60


def instructions(name: str) -> list[str]:
    """What the last stage says by this name, lines that go on joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE.partition("\nFROM ")[2].partition("\nFROM ")[2])
    return [line.partition(" ")[2] for line in joined.splitlines() if line.startswith(f"{name} ")]


def command(name: str) -> list[str]:
    """The words of an instruction in exec form."""
    (instruction,) = instructions(name)
    words: list[str] = json.loads(instruction[instruction.index("[") :])
    return words


def is_sent(path: Path) -> bool:
    """Whether .dockerignore lets a file through: of the lines that match it the last decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        if any(matches(part, pattern) for part in (path, *path.parents[:-1])):
            sent = line.startswith("!")
    return sent


def matches(path: Path, pattern: str) -> bool:
    expression = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path.as_posix()) is not None


def files(folder: Path) -> set[Path]:
    """Every file that git knows or would add, as a fresh clone has it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],  # noqa: S607
        cwd=folder,
        check=True,
        capture_output=True,
    ).stdout.decode()
    return {Path(name) for name in listed.split("\0") if name and (folder / name).is_file()}


@dataclass(frozen=True)
class Container:
    """The directories that stand for /app, /opt/venv and /data, and a port for 8000."""

    root: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets, and what an operator does."""
        settings = {"LATCHGATE_ADMIN_PASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        for instruction in instructions("ENV"):
            for pair in shlex.split(instruction):
                name, _, value = pair.partition("=")
                settings[name] = self.here(value.replace("$PATH", settings["PATH"]))
        return settings

    def here(self, word: str) -> str:
        """A word of the Dockerfile with our directories and port for the container's."""
        for path in ("/opt/venv", "/app", "/data"):
            word = re.sub(rf"(?<![\w.]){path}\b", f"{self.root}{path}", word)
        return re.sub(r"\b8000\b", str(self.port), word)

    def run(self, words: list[str]) -> subprocess.Popen[str]:
        """Start a command without a capability: otherwise root could write whatever is there."""
        unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        return subprocess.Popen(  # noqa: S603 - the Dockerfile's own words
            [*(unprivileged if os.getuid() == 0 else ()), *map(self.here, words)],
            cwd=self.here(instructions("WORKDIR")[0]),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """What `docker build` makes, in a directory."""
    root = tmp_path_factory.mktemp("container")
    for path in files(ROOT):
        if is_sent(path):
            (root / "app" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, root / "app" / path)
    (root / "data").mkdir(mode=0o700)
    run = [sys.executable, "-m"]
    venv = root / "opt" / "venv"
    subprocess.run([*run, "venv", "--without-pip", str(venv)], check=True)  # noqa: S603
    # uv's cache keeps this to seconds; what it installs is the same to the byte: the hashes.
    options = ["--quiet", "--no-config", "--require-hashes", "--only-binary=:all:"]
    lock = root / "app" / "requirements.lock"
    install = [*run, "uv", "pip", "sync", *options, f"--python={venv}/bin/python", str(lock)]
    subprocess.run(install, check=True)  # noqa: S603
    for folder, _, names in os.walk(root / "app"):
        for name in names:
            (Path(folder) / name).chmod(0o444)
        Path(folder).chmod(0o555)
    yield Container(root, free_port())
    for folder, _, _ in os.walk(root / "app"):
        Path(folder).chmod(0o755)  # for whoever clears the directory away


def test_nothing_but_what_the_server_runs_is_sent() -> None:
    sent = {path for path in files(ROOT) if is_sent(path)}
    assert {path.parts[0] for path in sent if len(path.parts) > 1} == {
        "auth",
        "resource_server",
        "settings",
        "telemetry",
        "templates",
    }
    assert {Path("combined_app.py"), Path("requirements.lock")} <= sent
    for secret in (".env", ".latchgate/key", "latchgate.db", "store.db.key", "auth/store.db.key"):
        assert not is_sent(Path(secret)), secret


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert not re.search(r"apt-get|build-essential|gcc", DOCKERFILE)
    assert "--require-hashes --only-binary :all:" in DOCKERFILE


def is_healthy(container: Container) -> bool:
    """What HEALTHCHECK finds."""
    check = container.run(command("HEALTHCHECK"))
    check.communicate()
    return check.returncode == 0


def test_a_journey_with_the_image_and_a_clean_stop(container: Container) -> None:
    before = {path: path.stat().st_mtime_ns for path in (container.root / "app").rglob("*")}
    server = container.run(command("CMD"))
    try:
        deadline = time.monotonic() + PATIENCE
        while not is_healthy(container):
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < deadline
        told = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "demo.client", f"http://127.0.0.1:{container.port}/mcp"],
            cwd=ROOT,
            env=os.environ | {client.PASSWORD_VARIABLE: PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stdout + told.stderr
    finally:
        server.send_signal(signal.SIGTERM)
        log, _ = server.communicate(timeout=20)
    assert server.returncode in {0, -signal.SIGTERM}
    assert "Application shutdown complete" in log
    assert "Traceback" not in log
    assert "WARNING" not in log, log

    after = {path: path.stat().st_mtime_ns for path in (container.root / "app").rglob("*")}
    assert after == before
    data = container.root / "data"
    assert {path.name for path in data.iterdir()} == {"latchgate.db", "latchgate.db.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()} == {0o600}
