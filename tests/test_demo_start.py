"""`python -m demo.start`, as a person runs it: what it starts is gone when it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.start import NotStarted, Server, combined, running

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ROOT = Path(__file__).parent.parent
HOSTILE = {
    "LATCHGATE_PUBLIC_URL": "https://elsewhere.example",
    "LATCHGATE_STORE_URL": "valkey://nowhere.example",
}


@pytest.fixture
def demo(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The demo, started with the arguments that the test names."""
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "demo.start", "--no-color", *request.param],
        cwd=ROOT,
        env=os.environ | HOSTILE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """The output up to the line with these words."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def ports_in(output: str) -> list[int]:
    """The ports of the servers that were started."""
    return [int(port) for port in re.findall(r"Starting \S+ on http://127\.0\.0\.1:(\d+)", output)]


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("demo", "servers"),
    [([], 1), (["--split"], 2), (["--protocol", "legacy"], 1)],
    indirect=["demo"],
)
def test_it_shows_everything_and_leaves_nothing_running(
    demo: subprocess.Popen[str], servers: int
) -> None:
    output, _ = demo.communicate()

    assert demo.returncode == 0, output
    assert '"username": "admin"' in output
    assert "All done." in output
    assert len(ports_in(output)) == servers
    assert all(map(is_free, ports_in(output)))


@pytest.mark.parametrize("demo", [["--split"]], indirect=True)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", ["Starting auth", "Starting resource_server", "1. Ask"])
def test_whenever_it_is_ended_its_servers_end_too(
    demo: subprocess.Popen[str], moment: str, number: signal.Signals, code: int
) -> None:
    output = read_until(demo, moment)

    demo.send_signal(number)
    rest, _ = demo.communicate()

    assert demo.returncode == code, output + rest
    assert ports_in(output)
    assert all(map(is_free, ports_in(output)))


def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = Server("no_such_module:app", 1, {}, "/")

    with (
        pytest.raises(NotStarted, match=r"no_such_module:app: ended with \d\. The end of .*\.log:"),
        running(server, tmp_path),
    ):
        raise AssertionError("it is not running")


def test_a_server_that_runs_has_named_its_page_and_its_account(tmp_path: Path) -> None:
    (server,) = combined("a password of the tests")
    with running(server, tmp_path):
        told = (tmp_path / "combined_app.log").read_text()
    assert f"Open {server.url}/ in a browser. Clients connect to {server.url}/mcp\n" in told
    assert "First start: sign in as admin with the password you set\n" in told
