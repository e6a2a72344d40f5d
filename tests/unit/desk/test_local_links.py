"""Links that sign in at the machine that runs Recast: what makes one worth nothing."""

from __future__ import annotations

import time

import pytest
from pydantic import SecretStr

from desk.local_links import LINK_SECONDS, BadKeyError, check, is_local, make

SECRET, HOST = SecretStr("a-secret-of-the-tests"), "127.0.0.1:8765"


@pytest.mark.parametrize("name", ["anna", "Ännä", "a.b", "x" * 80, ""])
def test_a_key_says_who_made_it_and_no_two_are_alike(name: str) -> None:
    keys = {make(SECRET, HOST, name) for _ in range(20)}
    assert {check(SECRET, HOST, key).name for key in keys} == {name}
    assert len({check(SECRET, HOST, key).nonce for key in keys}) == 20


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8766", "localhost:8765", "desk.example", ""])
def test_a_key_is_for_one_address(host: str) -> None:
    with pytest.raises(BadKeyError):
        check(SECRET, host, make(SECRET, HOST, "anna"))


@pytest.mark.parametrize("late", [LINK_SECONDS, -6])
def test_a_key_ends_and_does_not_begin_in_the_future(monkeypatch: pytest.MonkeyPatch, late: float) -> None:
    key, now = make(SECRET, HOST, "anna"), time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now + int((LINK_SECONDS - 1) * 1e9))
    assert check(SECRET, HOST, key).name == "anna"
    monkeypatch.setattr("time.time_ns", lambda: now + int(late * 1e9))
    with pytest.raises(BadKeyError):
        check(SECRET, HOST, key)


def test_nobody_makes_a_key_without_the_secret() -> None:
    key = make(SECRET, HOST, "anna")
    at, nonce, name, signature = key.split(".")
    later = f"{int(at) + 1}.{nonce}.{name}.{signature}"
    for forged in ("", ".", "...", "a.b.c.d", "é", key[:-1], f"{key}A", later, f"{at}.{nonce}.{signature}", key * 100):
        with pytest.raises(BadKeyError):
            check(SECRET, HOST, forged)
    with pytest.raises(BadKeyError):
        check(SecretStr("another-secret-of-tests"), HOST, key)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.0.0.2:8765", True), ("localhost:1", True), ("[::1]:8765", True), ("LOCALHOST", True),
        ("", False), ("10.0.0.1", False), ("desk.example", False), ("localhost.example", False), ("[::", False),
        ("127.0.0.1.example:80", False), ("0.0.0.0:8765", False), ("127.0.0.1@desk.example", False), ("[::2]", False),
    ],
)  # fmt: skip
def test_what_is_this_machine_and_nobody_else(host: str, local: bool) -> None:
    assert is_local(host) is local
