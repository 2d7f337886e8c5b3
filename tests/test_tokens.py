"""Codes, access tokens and refresh families: what is minted and how it is told apart."""

import pytest

from auth import tokens
from auth.credentials import KeyRing

KEYS = KeyRing([b"one key"])
HANDLE = bytes(range(16))


def test_a_refresh_token_says_its_family_and_generation_to_us_alone() -> None:
    token = tokens.refresh_token(KEYS, HANDLE, 7)
    read = tokens.read_refresh_token(KEYS, token)
    assert read is not None
    assert (read.handle, read.generation) == (HANDLE, 7)
    assert read.grant_id == tokens.grant_id_of(HANDLE)
    assert tokens.read_refresh_token(KeyRing([b"another"]), token) is None
    assert tokens.read_refresh_token(KeyRing([b"another", b"one key"]), token) == read


def test_no_other_spelling_of_a_refresh_token_is_one() -> None:
    token = tokens.refresh_token(KEYS, HANDLE, 1)
    start = len(tokens.REFRESH_TOKEN_PREFIX)
    for i in range(start, len(token)):
        for other in "A!é=":
            if token[i] != other:
                damaged = token[:i] + other + token[i + 1 :]
                assert tokens.read_refresh_token(KEYS, damaged) is None
    for damaged in (token[:-1], token + "A", token[1:], token.upper(), " " + token):
        assert tokens.read_refresh_token(KEYS, damaged) is None


def test_everything_a_code_gives_follows_from_it_and_the_key() -> None:
    code = tokens.new_code()
    handle = tokens.new_handle(KEYS, code)
    grant_id = tokens.grant_id_of(handle)
    assert tokens.find_handle(KeyRing([b"newer", b"one key"]), code, grant_id) == handle
    assert tokens.find_handle(KeyRing([b"newer"]), code, grant_id) is None
    assert tokens.find_handle(KEYS, tokens.new_code(), grant_id) is None


@pytest.mark.parametrize("generation", [1, 2, 4_294_967_295])
def test_each_generation_has_tokens_of_its_own(generation: int) -> None:
    others = {tokens.access_token(KEYS, HANDLE, n) for n in range(3, 9)}
    assert tokens.access_token(KEYS, HANDLE, generation) not in others
    assert tokens.access_token(KEYS, HANDLE, generation) == next(
        tokens.access_tokens(KEYS, HANDLE, generation)
    )
