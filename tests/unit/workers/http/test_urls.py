"""Tokens of callbacks: recognized by the secret key alone."""

from __future__ import annotations

import re
import secrets

import pytest
from pydantic import SecretStr

from workers.http.urls import TOKEN_BYTES, CallbackTokens, digest

TOKENS = CallbackTokens(SecretStr("a-key-of-the-tests"))
PUBLIC = "https://recast.example"


def test_a_token_is_recognized_by_every_process_with_the_key() -> None:
    made = {TOKENS.new() for _ in range(100)}
    assert len(made) == 100
    again = CallbackTokens(SecretStr("a-key-of-the-tests"))
    assert all(again.is_own(token) for token in made)
    # As `web` takes them, and short enough for any field of a provider.
    assert all(re.fullmatch(r"[\w-]{48}", token, re.ASCII) for token in made)


def test_an_address_has_a_token_whose_digest_is_kept() -> None:
    address, known_as = TOKENS.new_address(PUBLIC)
    token = address.removeprefix(f"{PUBLIC}/callbacks/")
    assert TOKENS.is_own(token)
    assert known_as == digest(token)
    assert token not in known_as


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param("", id="nothing"),
        pytest.param("x", id="one sign"),
        pytest.param(secrets.token_urlsafe(TOKEN_BYTES), id="one of an earlier version"),
        pytest.param(CallbackTokens(SecretStr("another-key-of-the-tests")).new(), id="one of another key"),
        pytest.param("é" * 48, id="no ASCII"),
        pytest.param("\ud800" * 48, id="no text"),
    ],
)
def test_what_was_not_made_with_the_key_is_noticed(forged: str) -> None:
    assert not TOKENS.is_own(forged)


def test_a_change_anywhere_is_noticed() -> None:
    token = TOKENS.new()
    changed = {token[:at] + ("a" if sign != "a" else "b") + token[at + 1 :] for at, sign in enumerate(token)}
    assert not any(TOKENS.is_own(each) for each in {*changed, token[:-1], token[1:], token + "a"})
