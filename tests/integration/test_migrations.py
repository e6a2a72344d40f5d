"""Migrations: models and schema differ by nothing, down and up again, several at once do it once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, inspect, text

import migrations
from models.session import make_engine
from models.tables import metadata
from tests.stack import ROOT

if TYPE_CHECKING:
    from tests.integration.database import Cluster, Database

TIMEOUTS = ("lock_timeout", "statement_timeout")

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[Engine]:
    """A database without tables."""
    url = cluster.create("template0")
    engine = make_engine(url)
    yield engine
    engine.dispose()
    cluster.drop(url)


def schema(engine: Engine) -> dict[str, object]:
    """Everything the database says of its tables."""
    look = inspect(engine)
    return {
        table: (
            sorted(
                (item["name"], str(item["type"]), item["nullable"], item["default"]) for item in look.get_columns(table)
            ),
            sorted(str(item) for item in look.get_indexes(table)),
            sorted(str(item) for item in look.get_check_constraints(table)),
            sorted(str(item) for item in look.get_foreign_keys(table)),
            sorted(str(item) for item in look.get_unique_constraints(table)),
        )
        for table in look.get_table_names()
    }


def test_the_models_are_what_the_migrations_make(database: Database) -> None:
    assert migrations.differences(database.engine) == []
    assert set(inspect(database.engine).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_a_difference_is_found(database: Database) -> None:
    database.sql("ALTER TABLE jobs DROP COLUMN prompt")
    database.sql("DROP INDEX ix_jobs_queued")

    (first, second) = sorted(migrations.differences(database.engine))
    assert "prompt" in first
    assert "ix_jobs_queued" in second


def test_checks_and_the_indexes_conditions_are_those_of_the_models(database: Database, empty: Engine) -> None:
    metadata.create_all(empty)
    migrated = schema(database.engine)
    migrated.pop("alembic_version")

    assert migrated == schema(empty)


def test_down_to_nothing_and_up_again(empty: Engine) -> None:
    migrations.upgrade(empty)
    before = schema(empty)
    migrations.downgrade(empty, "base")
    assert inspect(empty).get_table_names() == ["alembic_version"]

    migrations.upgrade(empty)
    assert schema(empty) == before
    assert migrations.differences(empty) == []
    with empty.connect() as connection:
        assert connection.execute(text("SELECT id FROM batches")).scalars().all() == [0], "the batch of single jobs"


def test_an_older_schema_is_told(empty: Engine) -> None:
    assert migrations.differences(empty)[0].startswith("the schema is at revision none, this version needs ")


def test_four_processes_at_once_migrate_once(empty: Engine) -> None:
    script = (
        "import sys, migrations; from models.session import make_engine; migrations.upgrade(make_engine(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, empty.url.render_as_string(hide_password=False)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]

    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [(b"", 0)] * 4
    assert migrations.differences(empty) == []


def test_four_threads_at_once_migrate_once(empty: Engine) -> None:
    engines = [make_engine(empty.url.render_as_string(hide_password=False)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = [pool.submit(migrations.upgrade, engine) for engine in engines]
    for engine in engines:
        engine.dispose()

    assert [outcome.exception() for outcome in outcomes] == [None] * 4
    assert migrations.differences(empty) == []


def test_an_engine_keeps_its_time_outs_after_a_migration(empty: Engine) -> None:
    with empty.connect() as connection:
        before = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in TIMEOUTS]
    migrations.upgrade(empty)

    with empty.connect() as connection:
        assert [connection.execute(text(f"SHOW {name}")).scalar_one() for name in TIMEOUTS] == before
