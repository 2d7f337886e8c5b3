"""Pre-registered clients: what the operator's file may say, and what its mistakes are called."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from auth.models import Client, Identity
from auth.preregistered import InvalidClientsFile, load_clients

DIGEST = sha256(b"a secret").hexdigest()


def write(directory: Path, text: str) -> Path:
    path = directory / "clients.toml"
    path.write_text(text)
    return path


def table(**changes: str) -> str:
    """One good table of a web client, its values in TOML; an empty one leaves it out."""
    good = {
        "client_id": '"web"',
        "client_name": '"A web client"',
        "redirect_uris": '["https://c.example/cb"]',
    }
    lines = (f"{name} = {value}" for name, value in {**good, **changes}.items() if value)
    return "\n".join(["[[clients]]", *lines, ""])


def test_a_file_describes_clients(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"""
        [[clients]]
        client_id = "nightly-report"
        client_name = "Nightly report"
        secret_sha256 = "{DIGEST.upper()}"
        grant_types = ["client_credentials"]
        scope = "user"

        [[clients]]
        client_id = "desktop"
        client_name = "A program on a desk"
        redirect_uris = ["http://127.0.0.1/cb", "com.example.app:/cb"]
        client_uri = "https://c.example"

        [[clients]]
        client_id = "workload"
        client_name = "Workload"
        grant_types = ["authorization_code", "client_credentials"]
        redirect_uris = ["https://c.example/cb"]
        scope = "user user:write"
        [[clients.jwks.keys]]
        kty = "OKP"
        crv = "Ed25519"
        x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiM"

        [[clients]]
        client_id = "remote"
        client_name = "Remote"
        redirect_uris = ["https://c.example/cb"]
        jwks_uri = "https://c.example/jwks.json"
        """,
    )

    clients = load_clients(path)

    assert list(clients) == ["nightly-report", "desktop", "workload", "remote"]
    assert clients["nightly-report"] == Client(
        client_id="nightly-report",
        client_name="Nightly report",
        redirect_uris=(),
        identity=Identity.PREREGISTERED,
        token_endpoint_auth_method="client_secret",
        grant_types=("client_credentials",),
        scope="user",
        secret_digest=sha256(b"a secret").digest(),
    )
    assert clients["desktop"].token_endpoint_auth_method == "none"
    assert clients["desktop"].grant_types == ("authorization_code", "refresh_token")
    assert clients["desktop"].client_uri == "https://c.example"
    assert clients["workload"].token_endpoint_auth_method == "private_key_jwt"
    assert json.loads(clients["workload"].jwks or "")["keys"][0]["crv"] == "Ed25519"
    assert clients["remote"].jwks_uri == "https://c.example/jwks.json"


@pytest.mark.parametrize("text", ["", "clients = []"])
def test_a_file_may_describe_nobody(tmp_path: Path, text: str) -> None:
    assert load_clients(write(tmp_path, text)) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[clients]", "it is not TOML"),
        ("\x00", "it is not TOML"),
        ("client = []", r"it must hold \[\[clients\]\] tables and nothing else"),
        (
            "[clients.web]\nclient_name = 'x'",
            r"it must hold \[\[clients\]\] tables and nothing else",
        ),
        ("clients = [7]", "client number 1: .*"),
        (table(client_id=""), "client number 1: client_id: Field required"),
        (table() + table(), "web: client_id is used twice"),
        (table(client_id='"https://c.example/m"'), ".*: client_id: must not start with"),
        (table(client_id='"HTTP://c.example/m"'), ".*: client_id: must not start with"),
        (table(client_id='"client_x"'), ".*: client_id: must not start with"),
        (table(client_id='"a:b"'), "a:b: client_id: must be 1 to 200"),
        (table(client_id='"a b"'), "a b: client_id: must be 1 to 200"),
        (table(client_id='""'), "client number 1: client_id: must be 1 to 200"),
        (table(client_id=f'"{"x" * 201}"'), "x*: client_id: must be 1 to 200"),
        (table(client_id="7"), "7: client_id: Input should be a valid string"),
        (table(client_name=""), "web: client_name: Field required"),
        (table(client_name='""'), "web: client_name: String should have at least 1"),
        (table(secret='"x"'), "web: secret: Extra inputs are not permitted"),
        (table(secret_sha256='"a secret"'), "web: secret_sha256: must be the SHA-256"),
        (
            table(secret_sha256=f'"{DIGEST}"', jwks_uri='"https://c.example/jwks.json"'),
            "web: give one of secret_sha256, jwks and jwks_uri",
        ),
        (table(jwks_uri='"http://c.example/jwks.json"'), "web: jwks_uri: must use https"),
        (table(client_uri='"javascript:alert(1)"'), "web: client_uri: must be absolute"),
        (table(jwks="{keys = []}"), "web: jwks: must be a JSON Web Key Set"),
        (table(jwks='{keys = [{kty = "EC", d = "x"}]}'), "web: jwks: must not hold private"),
        (table(redirect_uris=""), "web: redirect_uris and the grant type authorization_code"),
        (
            table(grant_types='["client_credentials"]'),
            "web: redirect_uris and the grant type authorization_code",
        ),
        (
            table(redirect_uris='["https://c.example/cb", "http://c.example/cb"]'),
            "web: redirect_uris.1 must use https",
        ),
        (
            table(redirect_uris='["com.example.app:/cb"]', secret_sha256=f'"{DIGEST}"'),
            "web: redirect_uris.0 must use https",
        ),
        (table(redirect_uris="[7]"), "web: redirect_uris.0: Input should be a valid string"),
        (table(grant_types="[]"), "web: grant_types: List should have at least 1 item"),
        (table(grant_types='["password"]'), "web: grant_types.0: Input should be"),
        (
            table(redirect_uris="", grant_types='["refresh_token"]'),
            "web: the grant type refresh_token needs authorization_code",
        ),
        (
            table(redirect_uris="", grant_types='["client_credentials"]', scope='"user"'),
            "web: client_credentials needs secret_sha256, jwks or jwks_uri",
        ),
        (
            table(
                redirect_uris="",
                grant_types='["client_credentials"]',
                secret_sha256=f'"{DIGEST}"',
            ),
            "web: client_credentials needs scope",
        ),
    ],
)
def test_a_mistake_is_reported_with_file_client_and_field(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InvalidClientsFile, match=rf"clients\.toml: {message}") as refused:
        load_clients(write(tmp_path, text))

    assert "a secret" not in str(refused.value)


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidClientsFile, match=r"missing\.toml: it cannot be read"):
        load_clients(tmp_path / "missing.toml")
