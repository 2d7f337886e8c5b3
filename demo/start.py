"""One command that shows it all: start the server, run the client, stop the server.

    python -m demo.start [--split] [--protocol …] [--json] …

Exits with the client's code: 0 all done, 1 a step failed, 130 interrupted.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx2

from demo import INTERRUPTED, client
from demo.discovery import AUTHORIZATION_SERVER, PROTECTED_RESOURCE
from demo.first_request import HANDSHAKE
from demo.narration import say

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 40.0
PAUSE = 0.1
GRACE = 5.0
TAIL = 15


class NotStarted(Exception):
    """A server did not come up; the message says which, and ends as its log does."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server process: what it serves, where, with which settings, and when it is ready."""

    application: str
    port: int
    settings: Mapping[str, str]
    metadata_path: str
    mcp_path: str | None = None

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    def is_ready(self, http: httpx2.Client) -> bool:
        """Whether it answers: 200 for its metadata, and 401 for the MCP endpoint if it has one."""
        try:
            if http.get(self.url + self.metadata_path).status_code != httpx2.codes.OK:
                return False
            return self.mcp_path is None or (
                http.post(
                    self.url + self.mcp_path, json=HANDSHAKE.message, headers=HANDSHAKE.headers
                ).status_code
                == httpx2.codes.UNAUTHORIZED
            )
        except httpx2.TransportError:
            return False


def combined(password: str) -> list[Server]:
    """Both halves in one process."""
    settings = {"ADMIN_PASSWORD": password}
    return [Server("combined_app:app", free_port(), settings, AUTHORIZATION_SERVER, "/mcp")]


def split(password: str) -> list[Server]:
    """The authorization server, and the resource server that asks it about every token."""
    auth_port, resource_port = free_port(), free_port()
    issuer, resource = f"http://127.0.0.1:{auth_port}", f"http://127.0.0.1:{resource_port}"
    introspection = {
        "INTROSPECTION_CLIENT_ID": "demo-resource-server",
        "INTROSPECTION_CLIENT_SECRET": secrets.token_urlsafe(32),
    }
    auth = introspection | {
        "PUBLIC_URL": issuer,
        "RESOURCE_SERVER_URL": f"{resource}/mcp",
        "ADMIN_PASSWORD": password,
    }
    guarded = introspection | {"PUBLIC_URL": resource, "AUTHORIZATION_SERVER": issuer}
    return [
        Server("auth.app:app", auth_port, auth, AUTHORIZATION_SERVER),
        Server("resource_server.app:app", resource_port, guarded, PROTECTED_RESOURCE, "/mcp"),
    ]


def free_port() -> int:
    """A port that nobody uses at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(server: Server, folder: Path) -> Iterator[None]:
    """The server in a process of its own, its log in the folder, stopped whatever happens.

    It starts in that folder and without our LATCHGATE_ variables, so that the demo is the same
    wherever it runs: nobody's .env is read.
    """
    log = folder / f"{server.application.partition(':')[0]}.log"
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("LATCHGATE_")
    }
    chosen = {f"LATCHGATE_{name}": value for name, value in server.settings.items()}
    command = [sys.executable, "-m", "uvicorn", server.application, "--app-dir", str(ROOT)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
            [*command, "--host", "127.0.0.1", "--port", str(server.port)],
            cwd=folder,
            env=inherited | chosen,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C is for us: we stop it, in order
        )
        try:
            tell(f"Starting {server.application} on {server.url}")
            wait_until_ready(server, process, log)
            yield
        finally:
            stop(process)


def wait_until_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until it answers. Raises NotStarted if it ends, or takes longer than we are patient."""
    began = told = time.monotonic()
    with httpx2.Client(timeout=2, trust_env=False) as http:
        while not server.is_ready(http):
            now = time.monotonic()
            if process.poll() is not None:
                raise NotStarted(_last_words(server, f"ended with {process.returncode}", log))
            if now - began > PATIENCE:
                raise NotStarted(_last_words(server, f"not ready after {PATIENCE:.0f} s", log))
            if now - told >= 1:
                told = now
                tell(f"  waiting for it … {now - began:.0f} s")
            time.sleep(PAUSE)
    tell(f"  ready after {time.monotonic() - began:.1f} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and make it end if it does not within five seconds."""
    # A second Ctrl-C must not leave the server behind.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: the client's, but for the URL."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[client.new_options()],
    )
    parser.add_argument("--split", action="store_true", help="two processes instead of one")
    options = parser.parse_args(arguments)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _terminated)
    password = secrets.token_urlsafe(16)
    os.environ[client.PASSWORD_VARIABLE] = password
    servers = split(password) if options.split else combined(password)
    folder = Path(tempfile.mkdtemp(prefix="latchgate-demo-"))
    code = INTERRUPTED
    try:
        with ExitStack() as stack:
            for server in servers:
                stack.enter_context(running(server, folder))
            code = client.carry_out(f"{servers[-1].url}/mcp", options)
    except NotStarted as failure:
        tell(str(failure))
        code = 1
    except KeyboardInterrupt:
        pass
    finally:
        tidy(folder, keeps_logs=code == 1)
    return code


def tidy(folder: Path, *, keeps_logs: bool) -> None:
    """Leave nothing behind, or only the logs: the server's key and whatever it kept are over."""
    if not keeps_logs:
        shutil.rmtree(folder)
        return
    shutil.rmtree(folder / ".latchgate", ignore_errors=True)
    logs = sorted(str(log) for log in folder.iterdir())
    tell(f"What the server said: {' '.join(logs)}")


def tell(text: str) -> None:
    """Progress, beside the client's story and not in it: that one may be JSON."""
    say(text, sys.stderr)


def _last_words(server: Server, what: str, log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-TAIL:]
    return "\n".join([f"{server.application}: {what}. Its log ends:", *lines])


def _terminated(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
