"""Migrations: models and schema differ by nothing, each only adds, down and up loses nothing, many at once are one."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Engine, Table, inspect, text

import migrations
from models.connection import make_engine
from models.tables import metadata
from tests.stack import ROOT
from tests.words import unsaid

if TYPE_CHECKING:
    from tests.integration.database import Cluster, Database

TIMEOUTS = ("lock_timeout", "statement_timeout")
#: The steps, oldest first; the first one makes the tables.
STEPS = [
    (script.down_revision, script.revision)
    for script in reversed(list(ScriptDirectory(str(ROOT / "migrations")).walk_revisions()))
    if isinstance(script.down_revision, str)
]

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
    head = ScriptDirectory.from_config(migrations.config(empty)).get_current_head()
    assert unsaid(migrations.differences(empty)[0], "none", head) == []


def test_four_processes_at_once_migrate_once(empty: Engine) -> None:
    imports = "import sys, migrations; from models.connection import make_engine"
    script = f"{imports}; migrations.upgrade(make_engine(sys.argv[1]))"
    command = [sys.executable, "-c", script, empty.url.render_as_string(hide_password=False)]
    processes = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]

    assert [(process.communicate(timeout=300)[1], process.returncode) for process in processes] == [(b"", 0)] * 4
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


# --- Each step only adds, so that the code of the step before runs on the new schema ----------------------------------


def test_each_step_only_adds(empty: Engine) -> None:
    migrations.upgrade(empty, STEPS[0][0])
    for _, after in STEPS:
        old = Seen(empty)
        migrations.upgrade(empty, after)
        for difference in old.lost_in(Seen(empty)):
            pytest.fail(f"{after}: {difference}")


class Seen:
    """What old code relies on in a schema."""

    def __init__(self, engine: Engine) -> None:
        look = inspect(engine)
        self.tables = look.get_table_names()
        self.columns = {(t, c["name"]): c for t in self.tables for c in look.get_columns(t)}
        self.indexes = {(t, str(index)) for t in self.tables for index in look.get_indexes(t)}
        self.unique = {(t, index["name"]) for t in self.tables for index in look.get_indexes(t) if index["unique"]}
        self.unique |= {(t, str(unique)) for t in self.tables for unique in look.get_unique_constraints(t)}
        self.keys = {(t, str(key)) for t in self.tables for key in look.get_foreign_keys(t)}
        self.checks = {
            (t, check["name"]): set(re.findall(r"'([^']*)'", check["sqltext"]))
            for t in self.tables
            for check in look.get_check_constraints(t)
        }

    def lost_in(self, new: Seen) -> Iterator[str]:
        """What `new` lacks of it, or asks for beyond it."""
        for which, column in self.columns.items():
            if which not in new.columns:
                yield f"{which} is gone"
            elif any(str(column[key]) != str(new.columns[which][key]) for key in ("type", "nullable", "default")):
                yield f"{which} has changed"
        for (table, name), column in new.columns.items():
            is_new = table in self.tables and (table, name) not in self.columns
            if is_new and not column["nullable"] and column["default"] is None:
                yield f"old code cannot insert into {table}, because of {name}"
        for table, index in new.unique - self.unique:
            if table in self.tables:
                yield f"{table} may refuse what old code writes, because of {index}"
        yield from self._constraints_lost_in(new)

    def _constraints_lost_in(self, new: Seen) -> Iterator[str]:
        for kind, gone in {"index": self.indexes - new.indexes, "foreign key": self.keys - new.keys}.items():
            if gone:
                yield f"{kind} is gone: {gone}"
        for check, allowed in new.checks.items():
            if check[0] in self.tables and not self.checks.get(check, {"?"}) <= allowed:
                yield f"{check} refuses what it allowed"


def test_a_step_back_and_forth_keeps_what_the_older_schema_knows(empty: Engine) -> None:
    migrations.upgrade(empty)
    fill(empty)
    for before, after in reversed(STEPS):
        kept = rows(empty)
        migrations.downgrade(empty, before)
        old = rows(empty)
        assert all(old.values()), "every table has rows"
        assert old == narrowed(kept, old), f"back from {after}"

        migrations.upgrade(empty, after)
        assert narrowed(rows(empty), old) == old, f"to {after} again"
        migrations.downgrade(empty, before)


def narrowed(found: dict[str, list[dict[str, Any]]], to: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The tables and columns of `found` that `to` knows."""
    return {table: [{name: row[name] for name in to[table][0]} for row in found[table]] for table in to}


def rows(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    with engine.connect() as connection:
        return {
            table: [dict(row._mapping) for row in connection.execute(text(f'SELECT * FROM "{table}" ORDER BY 1, 2'))]  # noqa: S608
            for table in inspect(engine).get_table_names()
            if table != "alembic_version"
        }


def fill(engine: Engine) -> None:
    """One row in every table, with a value in every column that must have one."""
    made: dict[str, dict[str, Any]] = {}
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            values = {column.name: _value(table, column, made) for column in table.columns if _is_needed(column)}
            inserted = connection.execute(table.insert().values(values).returning(*table.columns))
            made[table.name] = dict(inserted.one()._mapping)


def _is_needed(column: Column[Any]) -> bool:
    made_by_itself = column.server_default is not None or column.identity is not None or column.autoincrement is True
    return bool(column.foreign_keys) or not (column.nullable or made_by_itself)


def _value(table: Table, column: Column[Any], made: dict[str, dict[str, Any]]) -> Any:
    for key in column.foreign_keys:
        return made[key.column.table.name][key.column.name]
    for constraint in table.constraints:
        found = re.fullmatch(rf"{column.name} IN \('([^']*)'.*", str(getattr(constraint, "sqltext", "")))
        if found:
            return found[1]
    kind = column.type.python_type
    samples: dict[type, Any] = {
        str: f"a {column.name}",
        int: 7,
        bytes: b"raw",
        object: {"a": 1},
        uuid.UUID: uuid.uuid4(),
    }
    samples |= {datetime: datetime(2026, 1, 31, tzinfo=UTC), bool: True, list: [1], float: 0.5, Decimal: Decimal("1.5")}
    return samples[kind]
