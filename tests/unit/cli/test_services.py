from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest
import structlog

from cli.exit_codes import ExitCode
from cli.main import main
from tests.stack import ROOT
from tests.words import unsaid
from workers.config.settings import settings
from workers.heartbeats import file_of
from workers.messaging.heartbeat import Heartbeat


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECAST_HOME", str(tmp_path))
    settings.cache_clear()
    # The command before this one logged to a stream that is closed by now.
    structlog.reset_defaults()
    return tmp_path


@pytest.mark.parametrize(("kind", "name"), [("worker", "recast"), ("beat", "beat")])
def test_health_of_a_process_that_is_well(home: Path, capsys: pytest.CaptureFixture[str], kind: str, name: str) -> None:
    Heartbeat(file_of(home, name), 5.0).write({"broker": None})
    assert main(["health", kind]) == ExitCode.OK
    assert unsaid(capsys.readouterr().out, kind, name, "healthy", "broker") == []


def test_health_names_the_part_that_is_broken(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Heartbeat(file_of(home, "other@there"), 5.0).write({"broker": None, "database": "no answer within 4 s"})
    assert main(["health", "worker", "--name", "other@there"]) == ExitCode.INFRASTRUCTURE
    assert unsaid(capsys.readouterr().err, "other@there", "database", "4 s") == []
    assert main(["health", "worker", "--name", "other@there", "--json"]) == ExitCode.INFRASTRUCTURE
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["healthy"], told["parts"]["broker"]["ok"]) == ("worker", False, True)


def test_health_without_a_heartbeat_says_where_it_looked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == ExitCode.INFRASTRUCTURE
    assert str(file_of(home, "recast")) in capsys.readouterr().err
    assert main(["health", "web"]) == ExitCode.USAGE
    assert "'worker', 'beat'" in capsys.readouterr().err


@pytest.mark.heavy
def test_a_worker_with_too_few_slots_is_bad_input(home: Path) -> None:
    (home / "accounts.toml").write_text(
        "".join(
            f'[accounts.{name}]\nprovider = "qolaba"\nbase_url = "http://127.0.0.1:9"\ntoken = "t"\n'
            f'prices = {{ avatar = "0.01 USD" }}\n'
            for name in ("one", "two")
        )
    )
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RECAST_")},
        "RECAST_HOME": str(home), "RECAST_ACCOUNTS_FILE": str(home / "accounts.toml"), "RECAST_SLOTS": "8",
        "RECAST_SECRET_KEY": "test-secret-key-of-32-characters", "PYTHONPATH": str(ROOT),
        # Nobody listens there: it is refused before it connects.
        "RECAST_DATABASE_URL": "postgresql://127.0.0.1:9/none", "RECAST_BROKER_URL": "redis://127.0.0.1:9/0",
    }  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-m", "cli", "worker"], cwd=home, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == ExitCode.USAGE, result.stderr
    assert unsaid(result.stderr, "RECAST_SLOTS=8", "2") == []
    assert unsaid(result.stderr, "10") == []
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("host", "reached_at", "links", "password"),
    [
        ("127.0.0.1", "http://127.0.0.1:8765", True, False), ("::1", "http://[::1]:8765", True, False),
        ("0.0.0.0", "http://127.0.0.1:8765", True, True), ("192.0.2.1", "http://192.0.2.1:8765", False, True),  # noqa: S104
    ],
)  # fmt: skip
def test_up_prints_a_link_that_signs_in_and_a_password_where_others_reach_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str, reached_at: str,
    links: bool, password: bool,
) -> None:  # fmt: skip
    class Stack:
        """One that is told to stop as soon as it runs."""

        owned, sandbox_url, web_url = True, None, reached_at

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def check(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.services.Stack", Stack)
    (home / "accounts.toml").write_text(
        '[accounts.one]\nprovider = "qolaba"\nbase_url = "http://127.0.0.1:9"\ntoken = "t"\n'
    )
    for name, value in {"WEB_HOST": host, "WEB_AUTH": "", "SECRET_KEY": "a-key-of-the-tests"}.items():
        monkeypatch.setenv(f"RECAST_{name}", value)
    assert main(["up"]) == ExitCode.OK
    told = capsys.readouterr()
    assert (f"{reached_at}/sign-in#key=" in told.out) is links
    assert reached_at in told.out
    assert ("RECAST_WEB_AUTH" in told.err) is password
    assert bool(os.environ["RECAST_WEB_AUTH"]) is password
