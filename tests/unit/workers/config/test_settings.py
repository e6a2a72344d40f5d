"""Settings are checked at start, and what is refused says which variable, why and what is allowed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.words import names
from workers.config.settings import MAX_COUNTDOWN_SECONDS, SettingsError, read


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of the one who runs the tests, and no `.env` of this folder."""
    for name in [name for name in os.environ if name.startswith("RECAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATABASE_URL": "postgresql://x"}, names("RECAST_BROKER_URL")),
        ({"BROKER_URL": "redis://x"}, names("RECAST_DATABASE_URL")),
        ({"VISIBILITY_TIMEOUT": "60"}, names("RECAST_VISIBILITY_TIMEOUT", "60", "80")),
        ({"SLICE_SECONDS": "60"}, names("RECAST_VISIBILITY_TIMEOUT", "120", "180")),
        ({"PUBLIC_URL": "shop.example"}, names("RECAST_PUBLIC_URL", "http://", "https://")),
        ({"SLOTS": "2"}, names("RECAST_SLOTS", "4")),
        ({"SLOTS": "many"}, names("RECAST_SLOTS", "integer")),
        ({"CURRENCY": "dollars"}, "RECAST_CURRENCY: "),
        ({"SWEEP_EVERY": "0"}, names("RECAST_SWEEP_EVERY")),
        ({"PUBLIC_URL": "https://shop\u200b.example"}, names("RECAST_PUBLIC_URL", "U+200B")),
        ({"SECRET_KEY": "k\ney"}, names("RECAST_SECRET_KEY", "U+000A")),
        ({"MAX_ATTEMPTS": "0"}, names("RECAST_MAX_ATTEMPTS")),
        ({"HOME": "/dev/null"}, names("RECAST_HOME", "folder")),
        ({"HOME": f"{__file__}/home"}, names("RECAST_HOME", "folder")),
        ({"SLOTS": "0", "WEB_PORT": "99999"}, names("RECAST_SLOTS", "RECAST_WEB_PORT")),
    ],
)
def test_refused(variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"RECAST_{name}", value)

    with pytest.raises(SettingsError, match=message):
        read()


def test_the_shortest_visibility_timeout_that_is_safe() -> None:
    longest = MAX_COUNTDOWN_SECONDS + 5

    assert read(slice_seconds=5, visibility_timeout=2 * longest).visibility_timeout == 2 * longest
    with pytest.raises(SettingsError, match="VISIBILITY_TIMEOUT"):
        read(slice_seconds=5, visibility_timeout=2 * longest - 1)


@pytest.mark.parametrize("sign", ["\n", "\r\n", " ", "\t", "\u00a0", "\u200b", "\ufeff", "\u2028"])
def test_what_is_unseen_around_a_value_is_cut(sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PUBLIC_URL": "https://shop.example",
        "SLOTS": "8",
        "METRICS_TOKEN": "0123456789abcdef",
    }.items():
        monkeypatch.setenv(f"RECAST_{name}", f"{sign}{value}{sign}")
    monkeypatch.setenv("RECAST_WEB_AUTH", sign)
    (tmp_path / ".env").write_text(
        "RECAST_SECRET_KEY='  a key of the tests '\nRECAST_CURRENCY=EUR\r\n", encoding="utf-8-sig"
    )
    chosen = read()

    assert (chosen.public_url, chosen.slots, chosen.currency) == ("https://shop.example", 8, "EUR")
    secrets = [chosen.metrics_token, chosen.secret_key]
    assert [secret and secret.get_secret_value() for secret in secrets] == ["0123456789abcdef", "a key of the tests"]
    assert chosen.web_auth is None, "what is blank is not set"


def test_secrets_are_masked() -> None:
    settings = read(secret_key="a-secret-of-the-tests", flower_auth="me:password-of-mine")

    assert "a-secret" not in repr(settings)
    assert "correct horse" not in repr(settings)


def test_unset_servers_mean_the_embedded_stack(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = read(home=home)

    assert settings.embedded
    assert settings.storage == str(home / "pictures")
    assert settings.database_url is None


def test_a_running_embedded_stack_is_joined(tmp_path: Path) -> None:
    stack = {"database_url": "postgresql://stack", "broker_url": "redis://stack", "secret_key": "key", "other": 1}
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    joined = read(home=tmp_path)

    assert (joined.database_url, joined.broker_url) == ("postgresql://stack", "redis://stack")
    assert joined.secret_key is not None
    assert joined.secret_key.get_secret_value() == "key"
    # What was said to this process comes first, and whoever has servers of his own joins nothing.
    own = read(home=tmp_path, secret_key="mine-and-nobody-else-s").secret_key
    assert own is not None
    assert own.get_secret_value() == "mine-and-nobody-else-s"
    assert read(home=tmp_path, database_url="postgresql://x", broker_url="redis://x").database_url == "postgresql://x"


def test_a_public_url_is_kept_without_its_last_slash() -> None:
    assert read(public_url="https://shop.example/recast/").public_url == "https://shop.example/recast"


@pytest.mark.parametrize(
    "wrong",
    [
        {"database_url": "mysql://u:hunter2@host/x", "broker_url": "redis://host"},
        {"database_url": "postgresql://u:hunter2@[::1/x", "broker_url": "redis://host"},
        {"database_url": "postgresql://host/x", "broker_url": "redis://:hunter2@[host"},
        {"public_url": "ftp://u:hunter2@host"},
        {"public_url": "https://u:hunter2@host"},
        {"secret_key": "hunter2", "slots": "many"},
    ],
)
def test_a_wrong_setting_is_told_without_its_secret(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        read(_env_file=None, **wrong)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("RECAST_")


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ({}, None),
        ({"public_url": "https://shop.example/"}, "https://shop.example"),
        ({"public_url": "https://shop.example", "public_url_check": ""}, "https://shop.example"),
        ({"public_url": "https://shop.example", "public_url_check": "off"}, None),
        ({"public_url": "https://shop.example", "public_url_check": "http://web:8765/"}, "http://web:8765"),
    ],
)
def test_where_links_are_tried(given: dict[str, str], tried: str | None) -> None:
    assert read(**given).links_tried_at == tried


@pytest.mark.parametrize("value", ["on", "web:8765", "ftp://web", "http://u:hunter2@web"])
def test_a_place_to_try_links_at_is_an_address_or_off(value: str) -> None:
    with pytest.raises(SettingsError, match=names("RECAST_PUBLIC_URL_CHECK")) as caught:
        read(public_url_check=value)
    assert "hunter2" not in str(caught.value)
