"""Fixtures of catalogs that are enqueued on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.catalog.desk import Desk
from workers.config.settings import Settings
from workers.engine.runtime import Runtime

if TYPE_CHECKING:
    from tests.integration.database import Database


@pytest.fixture(scope="module")
def lasting_runtime(lasting_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A process with two accounts, for all tests of a module."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        _env_file=None, database_url=lasting_database.url, broker_url="redis://127.0.0.1:1/0", home=home,
        storage_url=str(home / "pictures"), accounts_file=home / "accounts.toml",
    )  # fmt: skip
    (home / "accounts.toml").write_text("""
        [accounts.zhiqite-main]
        provider = "zhiqite"
        base_url = "http://127.0.0.1:1"
        access_key_id = "k"
        access_key_secret = "s"
        prices = { swap = "0.02 USD" }
        [accounts.qolaba-main]
        provider = "qolaba"
        base_url = "http://127.0.0.1:1"
        token = "t"
        prices = { consistency = "0.03 USD/picture", avatar = "0.03 USD/picture" }
    """)
    runtime = Runtime(settings)
    yield runtime
    runtime.close()


@pytest.fixture
def desk(lasting_runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Catalogs of that process; whom an enqueued one wakes is written down."""
    woken: list[str] = []
    monkeypatch.setattr("catalog.enqueue.wake", lambda _, *names: woken.extend(names))
    return Desk(lasting_runtime, tmp_path, woken)
