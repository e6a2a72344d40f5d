"""What tests of commands share."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.unit.catalog.catalogs import picture
from workers.observability import logs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two pictures, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "BROKER_URL", "RESULT_URL", "SECRET_KEY", "PUBLIC_URL"):
        monkeypatch.delenv(f"RECAST_{name}", raising=False)
    for name in ("HOME", "ACCOUNTS_FILE", "STORAGE_URL", "HINTS_IN_SANDBOX"):
        # Set first, so that what `--sandbox` sets is taken back after the test.
        monkeypatch.setenv(f"RECAST_{name}", "x")
        monkeypatch.delenv(f"RECAST_{name}")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logs._Handler)]:
        root.removeHandler(handler)  # of a service that an earlier test began: its errors went to the log
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    return tmp_path
