"""Real clients, as people use them: connect, call, expire, refresh, step up, outlive restarts."""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.clients.clients import KINDS, Kind
from tests.clients.kit import CallFailed, Program, Scene

pytestmark = [pytest.mark.clients, pytest.mark.timeout(150)]

NewScene = Callable[..., Scene]
Step = Callable[..., AbstractContextManager[None]]

TTL = 3
LATER = TTL + 1.2
"""A client counts from when it got the token, and may round up."""

every_client = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@every_client
def test_a_token_that_expires_is_refreshed_and_nobody_is_asked(
    kind: Kind, new_scene: NewScene, step: Step
) -> None:
    scene = new_scene(ACCESS_TOKEN_TTL=str(TTL))
    with kind.start(scene) as client:
        with step(kind.name, "connect"):
            answer = client.call("get_user_data")
            assert (answer["username"], answer["status"]) == ("admin", "active")
            assert len(scene.person.visits) == 1

        with step(kind.name, "expiry"):
            before = refreshes(scene)
            time.sleep(LATER)  # both sides have clocks of their own
            assert client.call("get_user_data")["username"] == "admin"
            assert refreshes(scene) > before
            assert len(scene.person.visits) == 1


@every_client
def test_more_scopes_are_asked_for_and_a_restart_that_forgets_everybody_needs_one_sign_in(
    kind: Kind, new_scene: NewScene, step: Step
) -> None:
    scene = new_scene()
    with kind.start(scene) as client:
        client.call("get_user_data")
        if kind.step_up is None:
            with step(kind.name, "step-up"):
                assert client.call("update_profile", name="Ada")["name"] == "Ada"
                assert len(scene.person.visits) == 2
                assert "user:write" in scene.person.visits[-1]["scope"].split()
        else:
            with step(kind.name, "step-up", kind.step_up.why):
                with pytest.raises(CallFailed, match=re.escape(kind.step_up.says)):
                    client.call("update_profile", name="Ada")
                assert client.call("get_user_data")["username"] == "admin"

        with step(kind.name, "restart, memory"):
            visits = len(scene.person.visits)
            scene.server.restart()
            assert client.call("get_user_data")["username"] == "admin"
            assert len(scene.person.visits) == visits + 1
            assert_registered_once(scene)


@every_client
def test_a_restart_with_a_file_goes_unnoticed(kind: Kind, new_scene: NewScene, step: Step) -> None:
    scene = new_scene(STORE_URL="sqlite:///latchgate.db")
    with kind.start(scene) as client:
        client.call("get_user_data")
        with step(kind.name, "restart, sqlite"):
            asked = scene.server.requests("/oauth/token")
            scene.server.restart()
            assert client.call("get_user_data")["username"] == "admin"
            assert scene.server.requests("/oauth/token") == asked
            assert len(scene.person.visits) == 1
            assert_registered_once(scene)


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


def refreshes(scene: Scene) -> int:
    """How many tokens were given beyond the first."""
    given = [status for _, _, status in scene.server.requests("/oauth/token") if status == 200]
    return len(given) - 1


def assert_registered_once(scene: Scene) -> None:
    assert [status for _, _, status in scene.server.requests("/oauth/register")] == [201]
    assert len({visit["client_id"] for visit in scene.person.visits}) == 1
