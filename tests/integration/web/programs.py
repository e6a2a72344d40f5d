"""Fixtures of tests in which programs ask the API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.web.asking import chosen
from web.api import api
from workers.config.settings import Settings

if TYPE_CHECKING:
    from tests.integration.database import Database


@pytest.fixture
def there(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A web process with one account, which does not let a wrong token wait."""
    monkeypatch.setattr(api, "WRONG_SECONDS", 0.0)
    return chosen(database, tmp_path)
