"""Real clients, as people use them: connect, call, expire, refresh, step up, outlive restarts."""

import json
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.clients import KINDS, Kind
from tests.clients.kit import CallFailed, Outcome, Program, Scene

pytestmark = [pytest.mark.clients, pytest.mark.timeout(150)]

NewScene = Callable[..., Scene]
Step = Callable[[str, str], AbstractContextManager[Outcome]]

TTL = 3
LATER = TTL + 1.2
"""A client counts from when it got the token, and may round up."""
DOCUMENT: dict[str, Any] = {
    "client_id": "https://client.example/metadata.json",
    "client_name": "A client with a document",
    "redirect_uris": [
        f"http://{host}{path}"
        for host in ("127.0.0.1", "localhost")
        for path in ("/callback", "/oauth/callback")
    ],
    "grant_types": ["authorization_code", "refresh_token"],
    "token_endpoint_auth_method": "none",
}
"""Pinned at the server, since nothing stands at that address."""
FILE = "sqlite:///latchgate.db"

every_client = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@every_client
def test_a_token_that_expires_is_refreshed_even_by_a_server_that_started_since(
    kind: Kind, new_scene: NewScene, step: Step
) -> None:
    scene = new_scene(ACCESS_TOKEN_TTL=str(TTL), STORE_URL=FILE)
    with kind.start(scene) as client:
        with step(kind.name, "connect"):
            answer = client.call("get_user_data")
            assert (answer["username"], answer["status"]) == ("admin", "active")
            assert len(scene.person.visits) == 1

        with step(kind.name, "expiry"):
            scene.server.restart()
            before = tokens_given(scene)
            time.sleep(LATER)  # both sides have clocks of their own
            assert client.call("get_user_data")["username"] == "admin"
            assert tokens_given(scene) > before
            assert len(scene.person.visits) == 1


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.has_document], ids=lambda kind: kind.name
)
def test_a_client_that_describes_itself_never_registers(
    kind: Kind, new_scene: NewScene, step: Step, tmp_path: Path
) -> None:
    pin = tmp_path / "document.json"
    pin.write_text(json.dumps(DOCUMENT))
    scene = new_scene(ACCESS_TOKEN_TTL=str(TTL), CLIENT_METADATA_PINS=str(pin))
    scene.client_metadata_url = DOCUMENT["client_id"]
    with kind.start(scene) as client, step(kind.name, "document"):
        assert client.call("get_user_data")["username"] == "admin"
        before = tokens_given(scene)
        time.sleep(LATER)
        assert client.call("get_user_data")["username"] == "admin"
        assert tokens_given(scene) > before
        assert [visit["client_id"] for visit in scene.person.visits] == [DOCUMENT["client_id"]]
        assert scene.server.requests("/oauth/register") == []


@every_client
def test_more_scopes_are_asked_for_and_a_restart_that_forgets_everybody_needs_one_sign_in(
    kind: Kind, new_scene: NewScene, step: Step
) -> None:
    scene = new_scene()
    with kind.start(scene) as client:
        client.call("get_user_data")
        with step(kind.name, "step-up") as outcome:
            if kind.step_up is None:
                assert client.call("update_profile", name="Ada")["name"] == "Ada"
                assert len(scene.person.visits) == 2
                assert "user:write" in scene.person.visits[-1]["scope"].split()
            else:
                with pytest.raises(CallFailed, match=re.escape(kind.step_up.says)):
                    client.call("update_profile", name="Ada")
                assert client.call("get_user_data")["username"] == "admin"
                outcome.text = f"no: {kind.step_up.why}"

        with step(kind.name, "restart, memory"):
            visits = len(scene.person.visits)
            scene.server.restart()
            assert client.call("get_user_data")["username"] == "admin"
            assert len(scene.person.visits) == visits + 1
            assert_registered_once(scene)


@every_client
def test_a_restart_with_a_file_goes_unnoticed(kind: Kind, new_scene: NewScene, step: Step) -> None:
    scene = new_scene(STORE_URL=FILE)
    with kind.start(scene) as client:
        client.call("get_user_data")
        with step(kind.name, "restart, sqlite") as outcome:
            asked = scene.server.requests("/oauth/token")
            scene.server.restart()
            assert client.call("get_user_data")["username"] == "admin"
            assert scene.server.requests("/oauth/token") == asked
            assert len(scene.person.visits) == 1
            assert_registered_once(scene)
            if isinstance(client, Program) and client.sessions > 1:
                outcome.text = "ok, new session"


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.can_revoke], ids=lambda kind: kind.name
)
def test_a_revoked_token_is_worth_nothing(kind: Kind, new_scene: NewScene, step: Step) -> None:
    scene = new_scene()
    with kind.start(scene) as client, step(kind.name, "revoke"):
        assert isinstance(client, Program)
        client.call("get_user_data")
        assert client.do("introspect")["active"] is True
        client.do("revoke")
        assert client.do("introspect") == {"active": False}
        assert client.call("get_user_data")["username"] == "admin"
        assert len(scene.person.visits) == 2


def tokens_given(scene: Scene) -> int:
    return [status for _, _, status in scene.server.requests("/oauth/token")].count(200)


def assert_registered_once(scene: Scene) -> None:
    assert [status for _, _, status in scene.server.requests("/oauth/register")] == [201]
    assert len({visit["client_id"] for visit in scene.person.visits}) == 1
