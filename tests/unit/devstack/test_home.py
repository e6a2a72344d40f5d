"""The folder of the embedded servers and its small files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from devstack.errors import ServerError
from devstack.home import Home, Run
from tests.words import names


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "nested" / "home")
    home.prepare()
    return home


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_and_the_password_are_for_their_owner_alone(home: Home) -> None:
    password = home.ensure_password()
    assert len(password) >= 32
    assert mode(home.folder) == 0o700
    assert mode(home.folder / "password") == 0o600


def test_the_password_is_made_once(home: Home) -> None:
    password = home.ensure_password()
    assert home.ensure_password() == password == home.password()


def test_no_new_password_is_made_for_old_data(home: Home) -> None:
    home.ensure_password()
    home.postgres.mkdir()
    (home.folder / "password").unlink()
    with pytest.raises(ServerError, match=names("password")):
        home.ensure_password()


def test_git_ignores_the_home(home: Home) -> None:
    assert (home.folder / ".gitignore").read_text() == "*\n"


def test_a_run_is_read_as_written(home: Home) -> None:
    assert home.read_run() is None
    run = Run(postgres_port=20_001, valkey_port=20_002, postgres_pid=31, valkey_pid=32)
    home.write_run(run)
    assert home.read_run() == run
    assert run.ready
    assert not Run(20_001, 20_002).ready


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"port": 1}', '{"postgres_port": "x", "valkey_port": 2}'])
def test_a_run_that_cannot_be_understood_counts_as_none(home: Home, content: str) -> None:
    (home.folder / "run.json").write_text(content)
    assert home.read_run() is None


def test_logs_are_kept_for_one_run_more(home: Home) -> None:
    home.log("postgres").write_text("first")
    home.rotate_logs()
    home.log("postgres").write_text("second")
    home.rotate_logs()
    assert [(log.name, log.read_text()) for log in home.logs.iterdir()] == [("postgres.log.1", "second")]


def test_a_home_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="RECAST_HOME"):
        Home(tmp_path / "file" / "home").prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_home_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65_534, 65_534)
    with pytest.raises(ServerError, match=names("65534")):
        Home(tmp_path).prepare()
