"""The settings: what they read, and what a person reads where one is wrong."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).parent.parent
KEY = "vMQx7hX1nqzLr0b5Yt2sGd8wKc4JfEaU9oPiRj3mNkA"
OTHER_KEY = KEY[::-1]


@pytest.fixture(autouse=True)
def empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory to stand in, so that the `.env` of whoever runs the tests does not count."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_any_setting_it_is_a_server_for_this_machine() -> None:
    settings = load_settings()

    assert settings.origins.is_loopback
    assert settings.store_url == "memory://"
    assert settings.admin_password is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("name", "Our tools", "Our tools"),
        ("name", "", "Latchgate"),
        ("public_url", "HTTPS://MCP.Example.com:443/", "https://mcp.example.com"),
        ("public_url", "http://localhost:9001", "http://localhost:9001"),
        ("browser_origins", "*", ("*",)),
        ("browser_origins", "https://A.example/", ("https://a.example",)),
        ("browser_origins", "http://[fd00::1]:3000", ("http://[fd00::1]:3000",)),
        ("secret_keys", f"{KEY} {OTHER_KEY}", (SecretStr(KEY), SecretStr(OTHER_KEY))),
        ("scopes", "a b,c, d", ("a", "b", "c", "d")),
        ("code_ttl", "600", 600),
        ("refresh_grace", "0", 0),
        ("scope_words", "a:b=Do it; c = See = it", {"a:b": "Do it", "c": "See = it"}),
        ("mcp_server", "my_tools:mcp", "my_tools:mcp"),
        ("resource_server_url", "https://R.example/mcp/", "https://r.example/mcp"),
        ("authorization_server", "https://a.example/", "https://a.example/"),
        ("authorization_server", "https://k.example/realms/x", "https://k.example/realms/x"),
    ],
)
@pytest.mark.parametrize("spell", [str.upper, str.lower])
def test_a_variable_is_read(
    monkeypatch: pytest.MonkeyPatch,
    spell: Callable[[str], str],
    name: str,
    value: str,
    expected: object,
) -> None:
    monkeypatch.setenv(spell(PREFIX + name), value)

    assert getattr(load_settings(), name) == expected


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("PUBLIC_URL", "http://mcp.example.com", "write https://mcp.example.com and let a proxy"),
        ("PUBLIC_URL", "mcp.example.com", "must begin with scheme and host"),
        ("PUBLIC_URL", "https://mcp.example.com/app", "must stand alone, without /app"),
        ("PUBLIC_URL", "https://user:secret@mcp.example.com", "no user name"),
        ("EXTRA_ORIGINS", "https://a.example http://b.example", "write https://b.example"),
        ("BROWSER_ORIGINS", "app.example.com", "neither an origin"),
        ("BROWSER_ORIGINS", "null", "neither an origin"),
        ("BROWSER_ORIGINS", "https://app.example.com/page", "neither an origin"),
        ("SECRET_KEYS", f"{KEY},short-secret", "at least 32 characters: make one with python3"),
        ("SECRET_KEYS", "short-" * 9, "this key could be guessed"),
        ("SECRET_KEYS", "change-me-to-something-of-32-characters", "this key could be guessed"),
        ("SECRET_KEYS", "0" * 64, "this key could be guessed"),
        ("SECRET_KEYS", "abcdefghijklmnopqrstuvwxyz012345", "its characters follow one another"),
        ("SECRET_KEYS", "zyxwvutsrqponmlkjihgfedcba987654", "its characters follow one another"),
        ("INTROSPECTION_CLIENT_SECRET", "x", "a secret has at least 16 characters"),
        ("INTROSPECTION_CLIENT_SECRET", "0123456789abcdef", "this secret could be guessed"),
        ("ADMIN_PASSWORD", "secret", "at least 8 characters"),
        *(
            ("ADMIN_PASSWORD", password, "among the first that anybody tries")
            for password in ("password", "admin123", "P@ssw0rd!", "Adm1n-2027", "12345678")
        ),
        ("SIGN_IN_LIMIT", "often", "is no limit, such as 10/minute"),
        ("SIGN_IN_LIMIT", "0/minute", "is no limit"),
        ("TOKEN_LIMIT", "5/fortnight", "is no limit"),
        ("TRUSTED_PROXIES", "-1", "it has to be greater than or equal to 0"),
        ("SCOPES", 'user "all"', "is no scope"),
        ("REQUIRED_SCOPES", "höher", "is no scope"),
        ("SCOPE_WORDS", "files:write", "write it like files:write=Save your files"),
        ("SCOPE_WORDS", "files:write=", "write it like files:write=Save your files"),
        ("SCOPE_WORDS", "ö=Save", "is no scope"),
        ("CODE_TTL", "0", "greater than 0"),
        ("CODE_TTL", "601", "less than or equal to 600"),
        ("ACCESS_TOKEN_TTL", "1h", "write a whole number, in digits only\n"),
        ("REFRESH_GRACE", "121", "less than or equal to 120"),
        ("MCP_SERVER", "my_tools.mcp", "is not module:name, such as my_tools:mcp"),
        ("MCP_SERVER", "my-tools:mcp", "is not module:name"),
        ("CONTAINED", "perhaps", "write true or false\n"),
        ("MCP_SESSIONS", "sometimes", "it has to be 'auto', 'stateful' or 'stateless'"),
        ("TOKEN_VERIFICATION", "hope", "'introspection' or 'jwks'"),
        ("RESOURCE_SERVER_URL", "https://r.example/mcp?x=1", "no user name, query"),
        ("AUTHORIZATION_SERVER", "http://a.example", "write https://a.example"),
        ("ACCENT_COLOR", "red", "#rrggbb"),
        ("LOGO", "nowhere.svg", "there is no file 'nowhere.svg', seen from /"),
        ("LOGO", __file__, "'test_settings.py' is no .svg, .png or .webp file"),
        ("CLIENT_METADATA_PINS", "nowhere", "there is no file 'nowhere', seen from /"),
    ],
)
def test_a_wrong_setting_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(PREFIX + variable, value)

    message = refusal()

    assert f"\n{PREFIX}{variable}: " in message
    assert reason in message
    assert "secret@" not in message
    assert "short-secret" not in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (
            {"EXTRA_ORIGINS": "https://a.example"},
            "LATCHGATE_EXTRA_ORIGINS needs LATCHGATE_PUBLIC_URL",
        ),
        (
            {"INTROSPECTION_CLIENT_ID": "rs"},
            "and LATCHGATE_INTROSPECTION_CLIENT_SECRET belong together",
        ),
        (
            {"INTROSPECTION_CLIENT_SECRET": "a secret that they share"},
            "LATCHGATE_INTROSPECTION_CLIENT_ID and",
        ),
    ],
)
def test_settings_that_need_each_other_are_refused_alone(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], reason: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)

    assert reason in refusal()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LATCHGATE_SCOPE", "LATCHGATE_SCOPES"),
        ("LATCHGATE_PUBLICURL", "LATCHGATE_PUBLIC_URL"),
        ("LATCHGATE_EXTRA_ORIGIN", "LATCHGATE_EXTRA_ORIGINS"),
        ("LATCHGATE_ACESS_TOKEN_TTL", "LATCHGATE_ACCESS_TOKEN_TTL"),
        ("LATCHGATE_STORE", "LATCHGATE_STORE_URL"),
        ("LATCHGATE_KEYS", "LATCHGATE_SECRET_KEYS"),
        ("LATCHGATE_METRIC_PORT", "LATCHGATE_METRICS_PORT"),
        ("LATCHGATE_ADMIN", "LATCHGATE_ADMIN_USERNAME or LATCHGATE_ADMIN_PASSWORD"),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_misspelt_name_is_refused_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, empty_directory: Path, variable: str, meant: str, place: str
) -> None:
    if place == ".env":
        (empty_directory / ".env").write_text(f"{variable}=1\n")
    else:
        monkeypatch.setenv(variable, "1")

    assert f"{variable} is no setting; did you mean {meant}?" in refusal()


@pytest.mark.parametrize("variable", ["LATCHGATE_PORT", "LATCHGATE_HOST", "LATCHGATE_ZZZ"])
def test_a_name_that_is_near_to_none_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "8001")

    assert f"{variable} is no setting; " in refusal()


@pytest.mark.parametrize(
    "variable",
    [
        "LATCHGATE_PORT",
        "LATCHGATE_SERVICE_HOST",
        "LATCHGATE_SERVICE_PORT_HTTP",
        "LATCHGATE_PORT_8000_TCP",
        "LATCHGATE_PORT_8000_TCP_ADDR",
        "LATCHGATE_VALKEY_PORT",
        "LATCHGATE_VALKEY_SERVICE_HOST",
        "LATCHGATE_DEMO_PASSWORD",
        "LATCHGATE_DEMO_CLIENT_SECRET",
    ],
)
def test_names_of_orchestrators_and_of_the_demo_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "tcp://10.0.0.1:8000")

    load_settings()


def test_every_wrong_setting_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHGATE_CODE_TTL", "x")
    monkeypatch.setenv("LATCHGATE_SECRET_KEYS", "short shorter")
    monkeypatch.setenv("LATCHGATE_SCOPE", "user")

    message = refusal()

    assert message.count("LATCHGATE_CODE_TTL: ") == 1
    assert message.count("LATCHGATE_SECRET_KEYS: ") == 1
    assert message.count("LATCHGATE_SCOPE is no setting") == 1


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, empty_directory: Path
) -> None:
    (empty_directory / ".env").write_text("LATCHGATE_NAME=File\nLATCHGATE_ADMIN_USERNAME=root\n")
    monkeypatch.setenv("LATCHGATE_NAME", "Environment")

    settings = load_settings()

    assert (settings.name, settings.admin_username) == ("Environment", "root")


def test_a_file_that_is_not_text_is_named(empty_directory: Path) -> None:
    (empty_directory / ".env").write_bytes(b"LATCHGATE_NAME=\xff\xfe\n")

    assert ".env cannot be read" in refusal()


def test_settings_made_in_code_are_checked_alike() -> None:
    with pytest.raises(ValidationError, match="in clear"):
        Settings(_env_file=None, public_url="http://a.example")


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = Settings(
        _env_file=None,
        secret_keys=(KEY,),
        admin_password="an admin's password",
        introspection_client_id="rs",
        introspection_client_secret="a secret they share",
    )

    printed = repr(settings)

    assert KEY not in printed
    assert "an admin's password" not in printed
    assert "a secret they share" not in printed


def test_the_origins_are_the_public_one_and_then_the_others() -> None:
    settings = Settings(
        _env_file=None,
        public_url="https://a.example",
        extra_origins=("https://b.example", "https://c.example:8443"),
    )

    assert [origin.issuer for origin in settings.origins.configured] == [
        "https://a.example",
        "https://b.example",
        "https://c.example:8443",
    ]


def test_the_example_file_shows_every_setting_with_its_default(empty_directory: Path) -> None:
    lines = re.findall(r"^#(LATCHGATE_\w+=.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    (empty_directory / ".env").write_text("\n".join(lines))

    names = [line.partition("=")[0] for line in lines]
    assert names == [PREFIX + name.upper() for name in Settings.model_fields]
    assert load_settings() == Settings(_env_file=None)


def test_the_page_of_settings_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("settings", run_name="__main__")

    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == capsys.readouterr().out, "run make docs"


def refusal() -> str:
    """What a person reads when the program does not start."""
    with pytest.raises(SystemExit) as exit_:
        load_settings()
    assert isinstance(exit_.value.code, str)
    return exit_.value.code


def test_nothing_else_reads_the_environment() -> None:
    product = [
        *ROOT.glob("*.py"),
        *(
            path
            for name in ("auth", "resource_server", "telemetry")
            for path in (ROOT / name).rglob("*.py")
        ),
    ]
    assert [
        path for path in product if re.search(r"\b(environ|getenv)\b", path.read_text("utf-8"))
    ] == []
    assert len(product) > 100
