"""`python -m auth.accounts` and `python -m auth.clients`."""

import getpass
import io
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

import auth.accounts.__main__ as accounts
import auth.clients.__main__ as clients
from auth.accounts import Passwords, password_problem, username_problem
from auth.commands import main
from auth.credentials import digest
from auth.store.sqlite import SqliteStore
from tests.clock import Clock
from tests.kit import error_of, new_settings, serving
from tests.store_backends import opened

REPORT = f"""
[[clients]]
client_id = "report"
client_name = "Nightly report"
secret_sha256 = "{digest("s").hex()}"
grant_types = ["client_credentials"]
scope = "user"
"""


class Input(io.StringIO):
    """What is typed or piped in."""

    is_terminal = False

    def isatty(self) -> bool:
        return self.is_terminal


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs a command on a SQLite file; answers its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LATCHGATE_STORE_URL", "sqlite:///test.db")
    monkeypatch.setenv("LATCHGATE_PASSWORD_MEMORY_KIB", "8")
    monkeypatch.setenv("LATCHGATE_PASSWORD_ITERATIONS", "1")

    def run(module: object, *arguments: str, stdin: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", Input(stdin))
        parser = module.new_parser()  # type: ignore[attr-defined]
        code = main(parser, [*arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err.removeprefix(f"Store: {tmp_path / 'test.db'}\n")

    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    yield run
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.slow
def test_people_are_added_listed_and_removed(run: Run) -> None:
    code, text = run(
        accounts, "add", "ada", "--name", "Ada", "--role", "admin", stdin="a password of ada\n"
    )
    assert code == 0
    subject = text.splitlines()[0].split()[-1].rstrip(".")
    code, text = run(accounts, "list")
    assert text.split("\t")[:3] == ["ada", subject, "enabled"]
    assert "never" in text
    code, told = run(accounts, "disable", "ADA")
    assert code == 0
    assert re.search(rf'"kind": "account_disabled", "subject": "{subject}"', told)
    assert "disabled" in run(accounts, "list")[1]
    assert run(accounts, "enable", "ada")[0] == 0
    assert "enabled" in run(accounts, "list")[1]
    assert run(accounts, "remove", "ada")[0] == 0
    assert run(accounts, "list") == (0, "There is no account.\n")
    assert run(clients, "list") == (0, "Nobody is connected, nobody is banned.\n")


async def verified(username: str, password: str) -> bool:
    store = SqliteStore("test.db")
    await store.open()
    account = await store.find_account_by_username(username)
    await store.close()
    return await Passwords(8, 1, 50).verify(account, password)


def test_a_password_is_read_from_a_pipe_or_drawn(run: Run) -> None:
    run(accounts, "add", "ada", stdin="a password of ada\n")
    assert anyio.run(verified, "ada", "a password of ada")
    _, text = run(accounts, "password", "ada", "--generate")
    drawn = re.search(r"is (\S+)\n", text)
    assert drawn
    assert anyio.run(verified, "ada", drawn[1])


@pytest.mark.parametrize(("second", "code"), [("a good password", 0), ("another one", 1)])
def test_at_a_terminal_it_is_asked_for_twice(
    run: Run, monkeypatch: pytest.MonkeyPatch, second: str, code: int
) -> None:
    answers = iter(["a good password", second])
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(answers))
    monkeypatch.setattr(Input, "is_terminal", True)
    assert run(accounts, "add", "ada")[0] == code


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (("add", " ada"), "a password\n", "no space"),
        (("add", ""), "a password\n", "1 to 256"),
        (("add", "a\u202eb"), "a password\n", "printable"),
        (("add", "bob"), "short\n", "The password is too short: it needs at least 8 characters."),
        (("add", "bob"), "x" * 1025, "The password is too long: at most 1024 bytes."),
        (("add", "Administrator"), "administrator\n", "must not be the username"),
        (("add", "bob"), "password1\n", "among the first that anybody tries: choose another"),
        (("disable", "nobody"), "", "There is no account nobody: "),
    ],
)
def test_what_will_not_do_is_refused_with_the_reason(
    run: Run, arguments: tuple[str, ...], stdin: str, words: str
) -> None:
    Path("test.db").touch()
    code, text = run(accounts, *arguments, stdin=stdin)
    assert code == 1
    assert words in text


def test_a_name_that_is_taken_is_refused_and_no_password_drawn_for_it(run: Run) -> None:
    run(accounts, "add", "ada", "--generate")
    code, text = run(accounts, "add", "Ada", "--generate")
    assert (code, text) == (1, "There is an account Ada already.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (accounts, "list"),
        (accounts, "disable", "ada"),
        (clients, "list"),
        (clients, "ban", "a" * 6),
    ],
)
def test_where_there_is_no_store_none_is_made(
    run: Run, tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    code, text = run(*arguments)
    assert code == 1
    assert f"There is no store at {tmp_path / 'test.db'}" in text
    assert not [*tmp_path.iterdir()]


def test_the_first_account_may_be_there_before_the_server(run: Run, tmp_path: Path) -> None:
    assert run(accounts, "add", "ada", "--generate")[0] == 0
    assert (tmp_path / "test.db").exists()


@pytest.mark.parametrize("module", [accounts, clients])
def test_what_is_in_a_servers_memory_cannot_be_managed(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    monkeypatch.setenv("LATCHGATE_STORE_URL", "memory://")
    code, text = run(module, "list")
    assert code == 1
    assert "sqlite:///" in text


def test_a_file_that_cannot_be_opened_is_said(run: Run) -> None:
    Path("test.db").write_bytes(b"no database" * 1000)
    code, text = run(accounts, "list")
    assert code == 1
    assert "test.db" in text


async def in_thread(run: Run, *arguments: object) -> tuple[int, str]:
    return await anyio.to_thread.run_sync(lambda: run(*arguments))


async def test_a_disabled_person_is_out_on_the_next_call(run: Run, tmp_path: Path) -> None:
    store = SqliteStore(str(tmp_path / "test.db"))
    async with serving(Clock(), new_settings(), store) as world:
        tokens = await world.tokens(await world.register())
        assert await world.calls(tokens["access_token"]) == 200
        assert (await in_thread(run, accounts, "disable", "admin"))[0] == 0
        assert await world.calls(tokens["access_token"]) == 401
        assert (await world.browser().sign_in()).status_code == 400


@pytest.mark.slow
async def test_a_banned_client_is_out_on_the_next_call_and_may_come_back(
    run: Run, tmp_path: Path
) -> None:
    store = SqliteStore(str(tmp_path / "test.db"))
    async with serving(Clock(), new_settings(), store) as world:
        client, other = await world.register(), await world.register(client_name="Other")
        tokens, others = await world.tokens(client), await world.tokens(other)
        name = digest(client["client_id"]).hex()[:12]
        listed = (await in_thread(run, clients, "list"))[1]
        assert f"{name}\tTest client\tconnections: 1\tregistered itself\n" in listed
        for wanted in ("", name[:5], "no such"):
            code, text = await in_thread(run, clients, "ban", wanted)
            assert (code, "No client matches that" in text) == (1, True)
        code, text = await in_thread(run, clients, "ban", name, "--reason", "too loud")
        assert code == 0
        assert f'"client_digest": "{digest(client["client_id"]).hex()}"' in text
        assert '"kind": "client_banned"' in text
        assert '"reason": "too loud"' in text
        assert await world.calls(tokens["access_token"]) == 401
        assert await world.calls(others["access_token"]) == 200
        response = await world.refresh(client, tokens["refresh_token"])
        assert error_of(response) == (401, "invalid_client")
        assert "banned" in (await in_thread(run, clients, "list"))[1]
        for wanted in ("", name[:5], "ffff" + name):
            assert (await in_thread(run, clients, "unban", wanted))[0] == 1
        code, text = await in_thread(run, clients, "unban", name)
        assert (code, '"kind": "client_unbanned"' in text) == (0, True)
        assert (await world.tokens(client))["access_token"]


async def test_a_client_that_never_connected_can_be_banned_by_its_whole_id(
    run: Run, tmp_path: Path
) -> None:
    async with opened(SqliteStore(str(tmp_path / "test.db"))):
        pass
    client_id = "https://client.example/metadata.json"
    assert (await in_thread(run, clients, "ban", client_id))[0] == 0
    assert digest(client_id).hex()[:12] in (await in_thread(run, clients, "list"))[1]


async def test_a_client_of_the_operators_can_be_banned_by_its_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(REPORT)
    monkeypatch.setenv("LATCHGATE_CLIENTS_FILE", str(file))
    store = SqliteStore(str(tmp_path / "test.db"))
    async with serving(Clock(), new_settings(clients_file=file), store) as world:
        form = {"grant_type": "client_credentials", "client_id": "report", "client_secret": "s"}
        token = (await world.token(form)).json()["access_token"]
        assert "\treport\n" in (await in_thread(run, clients, "list"))[1]
        code, text = await in_thread(run, clients, "ban", "report")
        assert (code, "Banned Nightly report" in text) == (0, True)
        assert await world.calls(token) == 401
        assert (await in_thread(run, clients, "unban", "report"))[0] == 0
        code, text = await in_thread(run, clients, "ban", digest("report").hex()[:6])
        assert (code, "Banned Nightly report" in text) == (0, True)


def test_problems_of_names_and_passwords() -> None:
    assert username_problem("ada") is None
    assert password_problem("ada", "a password of ada") is None
