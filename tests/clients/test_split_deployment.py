"""The resource server in a process of its own, behind our authorization server and a foreign one.

The foreign one is oidc-provider: <https://github.com/panva/node-oidc-provider>.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from demo.client import PASSWORD_VARIABLE
from demo.discovery import PROTECTED_RESOURCE
from demo.first_request import DISCOVER
from demo.start import ROOT, Server, free_port, split
from tests.clients.clients import KINDS, Kind
from tests.clients.kit import NODE, PASSWORD, PROGRAMS, Latchgate, Outcome, Person, Scene, require

pytestmark = [pytest.mark.clients, pytest.mark.timeout(150)]

CALLER = ("resource-server", "a secret of the tests")
ELSEWHERE = "https://elsewhere.example/mcp"
FORMATS = {"introspection": "opaque", "jwks": "jwt"}

Step = Callable[[str, str], AbstractContextManager[Outcome]]

sdks = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS if "SDK" in kind.name and not kind.name.endswith("2025-11-25")],
    ids=lambda kind: kind.name,
)


@dataclass
class Deployment:
    """A resource server of ours that takes the tokens of a foreign authorization server."""

    resource_server: Latchgate
    issuer: str
    verification: str
    process: subprocess.Popen[str]

    def token(self, resource: str) -> str:
        """A token of the foreign server, for whoever is named as its audience."""
        form = {"grant_type": "client_credentials", "scope": "user", "resource": resource}
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=CALLER)
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    def answer(self, token: str) -> httpx2.Response:
        """What the resource server says to this token."""
        headers = DISCOVER.headers | {"Authorization": f"Bearer {token}"}
        return httpx2.post(self.resource_server.url, json=DISCOVER.message, headers=headers)


@pytest.fixture(params=FORMATS)
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """The two processes, verifying by introspection and by JWKS in turn."""
    issuer_port, port = free_port(), free_port()
    issuer, origin = f"http://127.0.0.1:{issuer_port}", f"http://127.0.0.1:{port}"
    settings = {
        "PUBLIC_URL": origin,
        "AUTHORIZATION_SERVER": issuer,
        "TOKEN_VERIFICATION": request.param,
        "INTROSPECTION_CLIENT_ID": CALLER[0],
        "INTROSPECTION_CLIENT_SECRET": CALLER[1],
    }
    server = Server("resource_server.app:app", port, settings, PROTECTED_RESOURCE, "/mcp")
    resource_server = Latchgate(tmp_path, server)
    command = [str(issuer_port), f"{origin}/mcp", FORMATS[request.param], CALLER[1]]
    with foreign_authorization_server(tmp_path, *command) as process, resource_server.running():
        yield Deployment(resource_server, issuer, request.param, process)


@contextmanager
def foreign_authorization_server(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """oidc-provider in a process of its own, ready."""
    program = PROGRAMS / "foreign_authorization_server.mjs"
    with (
        (folder / "foreign.log").open("w") as log,
        subprocess.Popen(  # noqa: S603 - a program of ours
            [require(NODE), program, *arguments], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout
            assert process.stdout.readline() == "ready\n", (folder / "foreign.log").read_text()
            yield process
        finally:
            process.terminate()


@sdks
def test_our_two_halves_as_two_processes(kind: Kind, tmp_path: Path, step: Step) -> None:
    halves = Latchgate(tmp_path, *split(PASSWORD))
    scene = Scene(tmp_path, halves, Person(tmp_path))
    with step(kind.name, "split"), halves.running(), kind.start(scene) as client:
        assert client.call("get_user_data")["username"] == "admin"
        assert halves.requests("/oauth/introspect")


@sdks
def test_a_foreign_authorization_server(
    kind: Kind, foreign: Deployment, tmp_path: Path, step: Step
) -> None:
    scene = Scene(tmp_path, foreign.resource_server, Person(tmp_path))
    with step(kind.name, f"foreign, {foreign.verification}"), kind.start(scene) as client:
        answer = client.call("get_user_data")
        assert (answer["user_id"], answer["status"]) == ("admin", "active")


def test_our_demo_travels_there_too(foreign: Deployment) -> None:
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "demo.client", foreign.resource_server.url, "--no-color"],
        cwd=ROOT,
        env=os.environ | {PASSWORD_VARIABLE: PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert '"user_id": "admin"' in done.stdout


def test_only_tokens_for_this_resource_are_taken(foreign: Deployment) -> None:
    ours, others = foreign.token(foreign.resource_server.url), foreign.token(ELSEWHERE)

    assert foreign.answer(ours).status_code == 200
    refused = foreign.answer(others)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]


@pytest.mark.parametrize("foreign", ["introspection"], indirect=True)
def test_a_revocation_at_the_foreign_server_counts_at_once(foreign: Deployment) -> None:
    token = foreign.token(foreign.resource_server.url)
    assert foreign.answer(token).status_code == 200

    revoked = httpx2.post(f"{foreign.issuer}/token/revocation", data={"token": token}, auth=CALLER)

    assert revoked.status_code == 200
    assert foreign.answer(token).status_code == 401


@pytest.mark.parametrize(
    ("foreign", "status"), [("introspection", 503), ("jwks", 200)], indirect=["foreign"]
)
def test_when_the_foreign_server_is_gone_no_token_is_called_bad(
    foreign: Deployment, status: int
) -> None:
    token = foreign.token(foreign.resource_server.url)
    assert foreign.answer(token).status_code == 200

    foreign.process.terminate()
    foreign.process.wait()

    answer = foreign.answer(token)
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
