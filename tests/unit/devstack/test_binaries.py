"""Where the servers' programs are looked for, and in which order."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from devstack import binaries
from devstack.errors import ServerError
from tests.words import names


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system without wheels, PATH and packages; answers the folder that packages would be in."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(binaries, "SYSTEM_POSTGRES", ((tmp_path / "system", "*/bin"),))
    return tmp_path


def test_the_wheels_programs_run() -> None:
    answers = [
        subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
        for program in (binaries.postgres_bin() / "postgres", binaries.valkey_server())
    ]
    assert answers[0].startswith("postgres (PostgreSQL) 18.")
    assert "alkey" in answers[1]


def test_without_the_wheels_path_is_searched(nothing: Path) -> None:
    for name in ("postgres", "initdb"):
        make_program(nothing / "real" / name)
    (nothing / "path").mkdir()
    (nothing / "path" / "postgres").symlink_to(nothing / "real" / "postgres")
    redis = make_program(nothing / "path" / "redis-server")
    assert binaries.postgres_bin() == nothing / "real"
    assert binaries.valkey_server() == redis


def test_valkey_goes_before_redis(nothing: Path) -> None:
    make_program(nothing / "path" / "redis-server")
    valkey = make_program(nothing / "path" / "valkey-server")
    assert binaries.valkey_server() == valkey


def test_the_newest_postgres_of_the_system_is_taken(nothing: Path) -> None:
    for version in ("9", "16", "18", "19"):
        make_program(nothing / "system" / version / "bin" / "postgres")
        make_program(nothing / "system" / version / "bin" / "initdb")
    (nothing / "system" / "19" / "bin" / "initdb").unlink()  # a client package
    assert binaries.postgres_bin() == nothing / "system" / "18" / "bin"


@pytest.mark.usefixtures("nothing")
def test_what_is_missing_is_named_with_what_to_do() -> None:
    with pytest.raises(ServerError, match=names("PostgreSQL", "recast-server[local]", "RECAST_DATABASE_URL")):
        binaries.postgres_bin()
    with pytest.raises(ServerError, match=names("recast-server[local]", "RECAST_BROKER_URL")):
        binaries.valkey_server()
