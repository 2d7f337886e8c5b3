"""A newcomer's path: the commands of README.md and docs/, as they stand there, do what they say."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from demo import client
from demo.start import ROOT, free_port

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

README = (ROOT / "README.md").read_text("utf-8")
YOUR_TOOLS = (ROOT / "docs" / "your-tools.md").read_text("utf-8")
STORES = (ROOT / "docs" / "stores.md").read_text("utf-8")
PATIENCE = 60


def block(text: str, words: str) -> str:
    """The first fenced block that has these words."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return next(str(block) for block in blocks if words in block)


class Home:
    """What a clone holds, with the environment in place; port 8000 and 9000 are two free ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "latchgate"
        self.folder.mkdir()
        self.ports = {"8000": str(free_port()), "9000": str(free_port())}
        for path in ROOT.iterdir():
            if not path.name.startswith(".") and path.suffix not in {".db", ".lock"}:
                (self.folder / path.name).symlink_to(path)
        (self.folder / ".venv").symlink_to(sys.prefix)
        for lock in ROOT.glob("*.lock"):
            # As old as can be: the environment is up to date, and make has nothing to install.
            (self.folder / lock.name).write_bytes(lock.read_bytes())
            os.utime(self.folder / lock.name, (0, 0))

    def here(self, text: str) -> str:
        """The text with our ports."""
        return re.sub(r"\b[89]000\b", lambda match: self.ports[match[0]], text)

    @property
    def url(self) -> str:
        """What stands in the documents as http://127.0.0.1:8000."""
        return self.here("http://127.0.0.1:8000")

    def process(self, command: str, folder: str = ".", **settings: str) -> subprocess.Popen[str]:
        """A command, pasted."""
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("LATCHGATE_")}
        return subprocess.Popen(  # noqa: S603 - the documents' own words
            ["bash", "-o", "pipefail", "-c", self.here(command)],  # noqa: S607
            cwd=self.folder / folder,
            env=inherited | {"PORT": self.ports["8000"]} | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str, folder: str = ".", **settings: str) -> tuple[int, str]:
        """A command that ends: its exit code, and what it printed."""
        process = self.process(command, folder, **settings)
        printed, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, printed

    @contextmanager
    def running(self, command: str, servers: int = 1) -> Iterator[str]:
        """What a command printed that serves until it is ended."""
        process = self.process(command)
        assert process.stdout is not None
        try:
            printed = ""
            while printed.count("Uvicorn running on") < servers:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            yield printed
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=PATIENCE)

    def journey(self, printed: str) -> tuple[int, str]:
        """What a client gets that signs in with the password that the first start printed."""
        (password,) = re.findall(r"sign in as admin with the password (\S+)", printed)
        command = block(README, "demo.client").splitlines()[0].removesuffix(" --browser")
        return self.run(command, **{client.PASSWORD_VARIABLE: password})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_run_it_connect_a_client_and_have_it_examined(home: Home) -> None:
    with home.running(block(README, "make run\n")) as printed:
        code, told = home.journey(printed)
        assert code == 0, told
        doctor = block(README, "demo.doctor").splitlines()[1]
        code, told = home.run(doctor)
        assert re.search(rf"examining +{home.url}/mcp\n", told)
        assert "0 to think about, 0 that keep clients away" in told
        assert code == 0
        # Whoever stops reading gets no traceback.
        assert home.run(f"{doctor} | head -1") == (141, "\n")


def test_tools_of_one_s_own(home: Home) -> None:
    (home.folder / "my_tools.py").write_text(block(README, "# my_tools.py"))
    with home.running(block(README, "LATCHGATE_MCP_SERVER=my_tools:mcp")):
        page = httpx2.get(home.url, headers={"Accept": "text/html"}).text
    assert "save" in page
    assert "files:write" in page


def test_two_processes(home: Home) -> None:
    with home.running(block(README, "LATCHGATE_INTROSPECTION_CLIENT_ID"), servers=2) as printed:
        deadline = time.monotonic() + PATIENCE
        while httpx2.get(f"{home.url}/readyz").status_code != httpx2.codes.OK:
            assert time.monotonic() < deadline
        code, told = home.journey(printed)
    assert code == 0, told


def test_tests_of_tools_of_one_s_own(home: Home) -> None:
    elsewhere = home.folder.parent / "mine"
    elsewhere.mkdir()
    for folder in (home.folder, elsewhere):
        tools = block(YOUR_TOOLS, "# my_tools.py") + block(YOUR_TOOLS, '@requires("files:write")')
        (folder / "my_tools.py").write_text(tools)
        (folder / "test_my_tools.py").write_text(block(YOUR_TOOLS, "# test_my_tools.py"))
    for words, place in (("python -m pytest", "."), ("PYTHONPATH=../latchgate", "../mine")):
        code, told = home.run(block(YOUR_TOOLS, words), place)
        assert code == 0, told
        assert "1 passed" in told


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="Debian, Ubuntu: apt install sqlite3")
def test_a_backup_is_taken_again_and_put_in_place(home: Home) -> None:
    store = {"LATCHGATE_STORE_URL": "sqlite:///latchgate.db"}
    accounts = f"{sys.executable} -m auth.accounts"
    (home.folder / "latchgate.db.key").write_text("of the backup")
    (home.folder / "ended.sql").write_text(block(STORES, "-- ended.sql"))
    for name in ("ada", "alice"):
        assert home.run(f"{accounts} add {name} --generate", **store)[0] == 0
        assert home.run(block(STORES, "VACUUM INTO 'backup.db'")) == (0, "")
    assert (home.folder / "backup.db").stat().st_mode & 0o077 == 0
    assert home.run(f"{accounts} remove alice", **store)[0] == 0
    (home.folder / "latchgate.db.key").write_text("of later")
    assert home.run(block(STORES, "cp backup.db latchgate.db")) == (0, "")
    assert "alice" in home.run(f"{accounts} list", **store)[1]
    assert (home.folder / "latchgate.db.key").read_text() == "of the backup"


def test_people_and_clients_are_managed_while_nothing_runs(home: Home) -> None:
    store = {"LATCHGATE_STORE_URL": "sqlite:///latchgate.db"}
    lines = block(STORES, "auth.accounts add alice").splitlines()
    for line in lines:
        command = line.partition("#")[0]
        if " add " in command or " password " in command:
            command += " --generate"
        if " ban " in command or " unban " in command:
            continue  # nobody is connected here
        code, told = home.run(command, **store)
        assert code == 0, told
