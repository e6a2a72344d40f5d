"""Connections: what is kept from one transaction to the next, with and without a pooler between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, text

from models import connection
from models.connection import PREPARE_AFTER, STATEMENT_SECONDS, make_engine

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def prepared(engine: Engine) -> int:
    """How many statements a connection has prepared by name after it ran one again and again."""
    for _ in range(PREPARE_AFTER + 1):
        with engine.begin() as made:
            made.execute(text("SELECT :number + 1"), {"number": 1})
    with engine.connect() as made:
        return int(made.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one())


def limit(engine: Engine) -> str:
    with engine.connect() as made:
        return str(made.execute(text("SHOW statement_timeout")).scalar_one())


@pytest.mark.parametrize("pooled", [False, True])
def test_a_server_is_used_as_fully_as_it_allows(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, pooled: bool
) -> None:
    if pooled:
        # A pooler tells a number of its own.
        monkeypatch.setattr(connection, "_OWN_NUMBER", "SELECT -1")
    engine = make_engine(database.url, connections=1)
    try:
        assert (prepared(engine) > 0) is not pooled
        assert limit(engine) == f"{STATEMENT_SECONDS}s"
        # What one transaction set for itself is gone with it, and the limits are still there.
        with engine.begin() as made:
            made.execute(text("SET LOCAL statement_timeout = '5s'"))
        assert limit(engine) == f"{STATEMENT_SECONDS}s"
        # Outside of our transactions, a pooled session has what its server says.
        raw = engine.raw_connection()
        driver: Any = raw.driver_connection
        try:
            driver.autocommit = True
            shown = driver.execute("SHOW statement_timeout").fetchone()[0]
        finally:
            driver.autocommit = False
            raw.close()
        assert shown == ("0" if pooled else f"{STATEMENT_SECONDS}s")
    finally:
        engine.dispose()
