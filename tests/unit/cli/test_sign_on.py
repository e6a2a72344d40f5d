"""What the doctor says of single sign-on."""

from __future__ import annotations

from typing import Any

import pytest

from cli.findings import State
from cli.sign_on import sign_on
from tests.words import names
from workers.config.settings import Settings, SettingsError, read

HEADER = "X-Forwarded-User"


def said(**given: Any) -> list[tuple[State, str]]:
    settings = Settings(_env_file=None, **given)
    return [(each.state, f"{each.message} {each.advice}") for each in sign_on(settings)]


@pytest.mark.parametrize(
    ("given", "state", "word"),
    [
        ({}, State.WARN, "RECAST_TRUSTED_PROXIES"),
        ({"web_host": "0.0.0.0"}, State.WARN, "0.0.0.0"),  # noqa: S104 - what is warned of
        ({"trusted_proxies": "10.0.0.0/8"}, State.WARN, "10.0.0.0/8"),
        ({"trusted_proxies": "127.0.0.1"}, State.OK, "127.0.0.1"),
    ],
)
def test_whom_the_header_is_believed_of_is_said(given: dict[str, Any], state: State, word: str) -> None:
    ((found, message),) = said(web_proxy_user=HEADER, **given)
    assert found is state
    assert word in message
    assert HEADER in message


def test_without_the_header_nothing_is_said() -> None:
    assert said() == []


@pytest.mark.parametrize("wrong", ["two words", "X_Forwarded_User", "Cookie", "x:y"])
def test_a_header_that_cannot_be_is_refused(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_WEB_PROXY_USER", wrong)
    with pytest.raises(SettingsError, match=names("RECAST_WEB_PROXY_USER")):
        read(_env_file=None)


def test_a_role_without_the_header_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_WEB_PROXY_ROLE", "viewer")
    with pytest.raises(SettingsError, match=names("RECAST_WEB_PROXY_USER")):
        read(_env_file=None)
