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
def demo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, started with the arguments that the test names; what it keeps is in `tmp_path`."""
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "demo.start", "--no-color", *request.param],
        cwd=ROOT,
        env=os.environ | HOSTILE | {"TMPDIR": str(tmp_path)},
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
    demo: subprocess.Popen[str], servers: int, tmp_path: Path
) -> None:
    output, _ = demo.communicate()

    assert demo.returncode == 0, output
    assert '"username": "admin"' in output
    last = output.rstrip().rpartition("\n")[2]
    assert last.startswith("✓ 9 steps done. get_user_data answered: ")
    assert "username admin, status active" in last
    assert len(ports_in(output)) == servers
    assert all(map(is_free, ports_in(output)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("demo", [["--username", "nobody"]], indirect=True)
def test_of_a_step_that_failed_the_log_is_kept_and_named_last(
    demo: subprocess.Popen[str], tmp_path: Path
) -> None:
    output, _ = demo.communicate()

    assert demo.returncode == 1, output
    (log,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert output.endswith(f"What the server said: {log}\n")
    assert "Application startup complete" in log.read_text()


@pytest.mark.parametrize("demo", [["--nope"]], indirect=True)
def test_what_it_does_not_know_is_refused_before_anything_starts(
    demo: subprocess.Popen[str],
) -> None:
    output, _ = demo.communicate()

    assert demo.returncode == 2
    assert "unrecognized arguments: --nope" in output
    assert not ports_in(output)


@pytest.mark.parametrize("program", ["client", "start", "doctor"])
def test_interrupted_while_it_loads_it_ends_with_130_and_no_traceback(program: str) -> None:
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-X", "importtime", "-m", f"demo.{program}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        read_until(process, "| demo")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in output


def test_where_nobody_reads_on_it_goes_on_in_silence() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as nobody:  # noqa: PTH123 - a descriptor and no path
        ended = subprocess.run(
            [sys.executable, "-m", "demo.client", "http://127.0.0.1:1/mcp"],
            cwd=ROOT,
            stdout=nobody,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("demo", [["--split"]], indirect=True)
@pytest.mark.parametrize(
    ("moment", "number", "code"),
    [
        ("Starting auth", signal.SIGINT, 130),
        ("Starting resource_server", signal.SIGINT, 130),
        ("Starting resource_server", signal.SIGTERM, 143),
        ("1. Ask", signal.SIGINT, 130),
        ("1. Ask", signal.SIGHUP, 129),
    ],
)
def test_whenever_it_is_ended_its_servers_end_too(
    demo: subprocess.Popen[str], moment: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    output = read_until(demo, moment)

    demo.send_signal(number)
    rest, _ = demo.communicate()

    assert demo.returncode == code, output + rest
    assert ports_in(output)
    assert all(map(is_free, ports_in(output)))
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = Server("no_such_module:app", 1, {}, "/")

    with (
        pytest.raises(NotStarted, match=r"no_such_module:app: ended with \d\. Its log ends:"),
        running(server, tmp_path),
    ):
        raise AssertionError("it is not running")


def test_a_server_that_runs_has_named_its_page_and_its_account(tmp_path: Path) -> None:
    (server,) = combined("a password of the tests")
    with running(server, tmp_path):
        told = (tmp_path / "combined_app.log").read_text()
    assert f"Open {server.url}/ in a browser. Clients connect to {server.url}/mcp\n" in told
    assert "First start: sign in as admin with the password you set\n" in told
