"""The state machine finds faults: each of these, planted alone, within what CI runs of it."""

from importlib.resources import files

import pytest
from hypothesis import Phase, settings

import combined_app
from auth import issuing
from auth.clients import find_client
from auth.consents import give_code
from auth.endpoints import introspection, revocation
from auth.grants import authorization_code, refresh_token
from auth.store.memory import MemoryStore
from auth.store.memory.grants import Grants, is_live
from auth.store.memory.people import People
from auth.store.sqlite import SqliteStore
from auth.store.sqlite import grants as sqlite_grants
from auth.store.sqlite.recent import Recent
from auth.store.valkey import scripts
from tests.driven_server import BACKENDS
from tests.mutants import Mutant
from tests.state_machine import search


def in_lua(name: str, old: str, new: str) -> Mutant:
    """A fault in a script of the Valkey store."""
    folder = files("auth.store.valkey")
    texts = [(folder / file).read_text("utf-8") for file in ("shared.lua", "grants.lua")]
    assert sum(text.count(old) for text in texts) == 1, old
    return Mutant(
        name,
        scripts.load_scripts,
        'for script in _split((folder / name).read_text("utf-8"), shared)',
        'for script in _split((folder / name).read_text("utf-8")'
        f".replace({old!r}, {new!r}), shared.replace({old!r}, {new!r}))",
        "valkey",
    )


NEWEST = "generation == grant.generation"
REVOKE = "await server.store.revoke_grant(found[1].grant_id, server.now())"
PAUSE = "await __import__('asyncio').sleep(0, True)"
REFRESH, EXCHANGE = refresh_token.exchange, authorization_code.exchange
IS_FOR = authorization_code._is_for
rotate, consume = MemoryStore.rotate_refresh_token, MemoryStore.consume_code
MUTANTS = [
    # Refresh families
    Mutant("grace for every old generation", rotate, "generation == grant.generation - 1 and ", ""),
    Mutant("grace without an end", rotate, " and now < grant.rotated_at + grace", ""),
    Mutant("grace a second longer", rotate, "now < grant.rotated_at", "now <= grant.rotated_at"),
    Mutant("no grace", rotate, "now < grant.rotated_at + grace", "False"),
    Mutant("a replay revokes nothing", rotate, "self._grants.end(grant, now)", "pass"),
    Mutant("check, then rotate", rotate, f"if {NEWEST}:", f"if {NEWEST} and {PAUSE}:"),
    Mutant("the generation stands still", rotate, "generation + 1,", "generation,"),
    Mutant(
        "any grant is refreshed by any client",
        REFRESH,
        " or grant.client_id != client.client_id",
        "",
    ),
    Mutant(
        "a refresh may widen",
        refresh_token._narrow,
        "tuple(name for name in grant.scopes if name in names)",
        "tuple(names)",
    ),
    Mutant(
        "a repetition is given to whoever asks for more",
        refresh_token._repeat,
        "remaining == scopes",
        "True",
    ),
    Mutant("no absolute end", issuing.expiry_after, "min(idle, grant.ends_at)", "idle"),
    Mutant(
        "no end of an unused family",
        issuing.expiry_after,
        "min(idle, grant.ends_at)",
        "grant.ends_at",
    ),
    Mutant(
        "an access token outlives its family",
        issuing.new_access_token,
        ", grant.ends_at)",
        ", 1 << 40)",
    ),
    # Codes
    Mutant("a code is used twice", consume, "if code.is_spent", "if False"),
    Mutant("check, then spend", consume, "if code.is_spent", f"if {PAUSE} and code.is_spent"),
    Mutant(
        "a code of a revoked grant is exchanged", consume, "not is_live(found[1], now)", "False"
    ),
    Mutant(
        "a code lives a second longer",
        Grants.find_code,
        "code.expires_at <= now",
        "code.expires_at < now",
    ),
    Mutant("a replayed code revokes nothing", consume, "self._grants.end(grant, now)", "pass"),
    Mutant(
        "a code is burnt before it is proved",
        EXCHANGE,
        "    if found is None or not",
        f"    if found: {REVOKE}\n    if found is None or not",
    ),
    Mutant("a code is for any client", IS_FOR, "code.client_id == client.client_id", "True"),
    Mutant(
        "a code needs no verifier",
        IS_FOR,
        "pkce.matches(asked.code_verifier, code.code_challenge)",
        "True",
    ),
    Mutant(
        "a code is for any redirect URI",
        IS_FOR,
        "asked.redirect_uri in {None, code.redirect_uri}",
        "True",
    ),
    Mutant(
        "a code is for any resource",
        EXCHANGE,
        "check_resource(form.resources, grant.resource)",
        "pass",
    ),
    # Access tokens
    Mutant(
        "an access token lives a second longer",
        MemoryStore.find_access_token,
        "access_token.expires_at <= now",
        "access_token.expires_at < now",
    ),
    Mutant(
        "an access token outlives its revoked grant",
        MemoryStore.find_access_token,
        "not is_live(grant, now)",
        "grant.expires_at <= now",
    ),
    Mutant(
        "an access token is not revoked",
        MemoryStore.revoke_access_token,
        "self._access_tokens.pop(digest, None)",
        "pass",
    ),
    Mutant(
        "any client revokes any token",
        revocation._is_of,
        "grant is not None and grant.client_id == client.client_id",
        "grant is not None",
    ),
    Mutant(
        "an old refresh token revokes nothing",
        revocation._revoke,
        "_is_of(grant, client):\n",
        "_is_of(grant, client) or grant.generation != refresh.generation:\n",
    ),
    Mutant(
        "spent refresh tokens are called active",
        introspection._describe,
        "grant is None or grant.generation != refresh.generation",
        "grant is None",
    ),
    Mutant(
        "any client introspects any token",
        introspection._may_see,
        "grant.client_id == caller.client_id",
        "True",
    ),
    Mutant(
        "introspection tells scopes that were taken away",
        introspection._describe,
        " if scope in grant.scopes",
        "",
    ),
    Mutant(
        "the MCP endpoint takes scopes that were taken away",
        combined_app.verify_token,
        "scopes != grant.scopes",
        "False",
    ),
    # What people and operators do
    Mutant(
        "narrowing widens",
        MemoryStore.narrow_grant,
        "scope for scope in grant.scopes if scope in scopes",
        "scopes",
    ),
    Mutant(
        "narrowing is forgotten",
        MemoryStore.narrow_grant,
        "self._grants.change(",
        "(lambda _: None)(",
    ),
    Mutant(
        "a disabled person keeps what they allowed",
        People.disable_account,
        "self._end(subject, now)",
        "pass",
    ),
    Mutant(
        "a new password keeps old grants",
        People.change_password,
        "self._end(subject, now, keep_session)",
        "pass",
    ),
    Mutant(
        "only live grants end",
        Grants.end_all,
        "revoked_at is None",
        "revoked_at is None and self._by_id[grant_id].expires_at > now",
    ),
    Mutant(
        "a banned client keeps its grants",
        MemoryStore.ban_client,
        "self._grants.end(grant, ban.banned_at)",
        "pass",
    ),
    Mutant(
        "a banned client is given grants",
        MemoryStore.add_grant,
        " or digest_of(grant.client_id) in self._bans",
        "",
    ),
    Mutant(
        "a banned client is served",
        find_client,
        " or await server.store.find_ban(digest(client_id))",
        "",
    ),
    # What happens by itself
    Mutant(
        "a grant lives a second longer",
        is_live,
        "grant.expires_at > now",
        "grant.expires_at >= now",
    ),
    Mutant(
        "purge forgets spent codes",
        Grants.spend_code,
        "self._codes[code.digest] = replace(code, is_spent=True)",
        "del self._codes[code.digest]",
    ),
    Mutant(
        "purge forgets live grants",
        Grants.expired,
        "self._by_id.expired(now)",
        "self._by_id.expired(now + 30 * 86400)",
    ),
    Mutant(
        "a code is kept in the clear",
        give_code,
        "client_name=asked.client.client_name",
        "client_name=code",
    ),
    # The same where it is written otherwise
    Mutant(
        "sqlite: a code is used twice",
        SqliteStore.consume_code,
        "if is_spent",
        "if False",
        "sqlite",
    ),
    Mutant(
        "sqlite: a grant lives a second longer",
        (sqlite_grants, "LIVE"),
        "expires_at > ?",
        "expires_at >= ?",
        "sqlite",
    ),
    Mutant(
        "sqlite: revoked tokens work",
        sqlite_grants.find_access_token,
        " AND revoked_at IS NULL",
        "",
        "sqlite",
    ),
    Mutant(
        "sqlite: grace without an end",
        SqliteStore.rotate_refresh_token,
        " and now < grant.rotated_at + grace",
        "",
        "sqlite",
    ),
    Mutant(
        "sqlite: a replay revokes nothing",
        SqliteStore.rotate_refresh_token,
        "end_grant(db, grant_id, now)",
        "pass",
        "sqlite",
    ),
    Mutant(
        "sqlite: only live grants end",
        sqlite_grants.end_grants,
        "revoked_at IS NULL",
        "revoked_at IS NULL AND expires_at > ?1",
        "sqlite",
    ),
    Mutant(
        "sqlite: an answer is older than the file",
        Recent.find,
        "version != self._version",
        "self._version is None",
        "sqlite",
    ),
    Mutant(
        "sqlite: a restart forgets revocations",
        SqliteStore.revoke_grant,
        "return await self._write(lambda db: end_grant(db, grant_id, now))",
        "return self._reading.create_function('x', 0, None) or True",
        "sqlite",
    ),
    in_lua("valkey: a code is used twice", "if is_spent == '1'", "if false"),
    in_lua(
        "valkey: a grant lives a second longer",
        "and tonumber(expires_at) > a.now\n    and not is_banned",
        "and tonumber(expires_at) >= a.now\n    and not is_banned",
    ),
    in_lua(
        "valkey: only live grants end",
        "if not client or revoked_at then",
        "if not is_live(grant_id) then",
    ),
    in_lua(
        "valkey: a replay revokes nothing",
        "end_grant(a.grant_id)\nreturn 'REPLAYED'",
        "return 'REPLAYED'",
    ),
    in_lua("valkey: grace without an end", " and a.now < rotated_at + a.grace", ""),
    in_lua("valkey: narrowing widens", "if allowed[scope] then", "if true then"),
]


@pytest.mark.fuzz
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_state_machine_finds(mutant: Mutant, request: pytest.FixtureRequest) -> None:
    backend = BACKENDS[mutant.backend](request)
    with mutant.planted(), pytest.raises(AssertionError):
        search(backend, settings(settings.get_profile("thorough"), phases=[Phase.generate]))
