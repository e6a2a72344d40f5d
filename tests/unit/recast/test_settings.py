"""A producer's settings: the environment first, then `.env`, then a running `recast up`; no password in any error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recast.errors import NotConfiguredError, RecastError
from recast.settings import ProducerSettings, read
from tests.words import names

BROKER = "redis://:secret@broker.example:6379/0"
RESULTS = "redis://:secret@results.example:6379/1"


@pytest.fixture
def up(tmp_path: Path) -> Path:
    """The home of a running `recast up`."""
    home = tmp_path / "home"
    home.mkdir()
    stack = {"broker_url": BROKER, "result_url": RESULTS, "secret_key": "key", "public_url": None, "postgres_pid": 7}
    (home / "stack.json").write_text(json.dumps(stack))
    return home


def test_the_result_store_is_the_broker_unless_named(tmp_path: Path) -> None:
    assert read({"RECAST_BROKER_URL": BROKER}, tmp_path) == ProducerSettings(BROKER, BROKER, "RECAST_BROKER_URL")
    both = read({"RECAST_BROKER_URL": BROKER, "RECAST_RESULT_URL": RESULTS}, tmp_path)
    assert both == ProducerSettings(BROKER, RESULTS, "RECAST_BROKER_URL")


def test_the_home_of_a_running_stack_is_enough(tmp_path: Path, up: Path) -> None:
    found = ProducerSettings(BROKER, RESULTS, str(up / "stack.json"))
    assert read({"RECAST_HOME": str(up)}, tmp_path) == found
    assert read({"RECAST_HOME": "home", "RECAST_BROKER_URL": " "}, tmp_path) == found


def test_the_default_home_is_in_the_working_folder(tmp_path: Path, up: Path) -> None:
    up.rename(tmp_path / ".recast")
    assert read({}, tmp_path).broker_url == BROKER


def test_a_named_broker_goes_before_a_running_stack(tmp_path: Path, up: Path) -> None:
    other = "rediss://elsewhere.example"
    found = read({"RECAST_BROKER_URL": other, "RECAST_HOME": str(up)}, tmp_path)
    assert (found.broker_url, found.result_url) == (other, other)


@pytest.mark.parametrize(
    "line",
    [
        f"RECAST_BROKER_URL={BROKER}",
        f"export RECAST_BROKER_URL = '{BROKER}'  # ours",
        f'  RECAST_BROKER_URL="{BROKER}"',
        f"RECAST_BROKER_URL={BROKER} # ours",
        "WORD=secret\nRECAST_BROKER_URL=redis://:${WORD}@broker.example:6379/0",
        "RECAST_BROKER_URL=redis://:${OUTSIDE}@broker.example:${PORT:-6379}/0",
        f"# a comment\nnonsense\nRECAST_BROKER_URL={BROKER}\r\nRECAST_RESULT_URL=",
    ],
)
def test_a_file_of_variables_is_read(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(line)
    assert read({"OUTSIDE": "secret"}, tmp_path) == ProducerSettings(BROKER, BROKER, "RECAST_BROKER_URL")


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RECAST_BROKER_URL=redis://file.example\nRECAST_HOME=elsewhere")
    assert read({"RECAST_BROKER_URL": BROKER}, tmp_path).broker_url == BROKER
    assert read({"RECAST_BROKER_URL": ""}, tmp_path).broker_url == "redis://file.example"


def test_without_a_broker_the_settings_that_name_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(NotConfiguredError) as caught:
        read({"RECAST_BROKER_URL": "", "RECAST_RESULT_URL": RESULTS}, tmp_path)
    assert isinstance(caught.value, RecastError)
    for word in ("RECAST_BROKER_URL", "RECAST_HOME", str(tmp_path / ".recast" / "stack.json")):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "url", ["broker.example:6379", "redis:secret", "redis://:secret@host:port/0", "redis://[secret"]
)
def test_what_is_no_url_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(NotConfiguredError, match=names("RECAST_BROKER_URL", "URL")) as caught:
        read({"RECAST_BROKER_URL": url}, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", '{"broker_url": 7}'])
def test_a_stack_file_that_says_nothing_is_no_broker(tmp_path: Path, up: Path, content: str) -> None:
    (up / "stack.json").write_text(content)
    with pytest.raises(NotConfiguredError, match=names("stack.json")):
        read({"RECAST_HOME": str(up)}, tmp_path)


def test_settings_show_no_password(tmp_path: Path) -> None:
    found = read({"RECAST_BROKER_URL": BROKER}, tmp_path)
    assert found.place == "broker.example:6379"
    assert "secret" not in repr(found)


@pytest.mark.parametrize("sign", ["\n", "\r\n", " ", "\t", "\u00a0", "\u200b", "\ufeff", "\u2028"])
def test_what_is_unseen_around_a_value_is_cut(tmp_path: Path, sign: str) -> None:
    assert read({"RECAST_BROKER_URL": f"{sign}redis://a:1/0{sign}"}, tmp_path).broker_url == "redis://a:1/0"
    (tmp_path / ".env").write_text(f"RECAST_BROKER_URL='{sign}redis://b:1/0{sign}'\n".replace("\n'", "'"), "utf-8-sig")
    if sign not in "\r\n\u2028":
        assert read({}, tmp_path).broker_url == "redis://b:1/0"
    with pytest.raises(NotConfiguredError, match=names("RECAST_BROKER_URL", "U+200B")):
        read({"RECAST_BROKER_URL": "redis://:pw@a\u200b:1/0"}, tmp_path)
