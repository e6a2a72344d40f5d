"""Commands that are typed in this process, at the database of a test.

A pytest plugin: a test module names it in `pytest_plugins`.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.main import main

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory


@pytest.fixture
def command(database: Database, make_runtime: RuntimeFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Types a command and returns what it says on standard output: the document, where JSON is asked for."""
    make_runtime()
    for name, value in {
        "DATABASE_URL": database.url, "BROKER_URL": "redis://127.0.0.1:1/0", "HOME": tmp_path,
        "ACCOUNTS_FILE": tmp_path / "accounts.toml", "STORAGE_URL": tmp_path / "pictures",
        "SECRET_KEY": "test-secret-key-of-32-characters",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"RECAST_{name}", str(value))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("getpass.getuser", lambda: "ops")

    def run(*words: str, typed: str | None = None, code: int = 0) -> Any:
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed or ""))
        assert main(words) == code, words
        said = out.getvalue()
        return json.loads(said) if "--json" in words else said

    return run
