"""Every statement of the project is prepared on the migrated schema, and none is hidden from that."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from psycopg.pq import ExecStatus
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from catalog import enqueue
from models.schedules import RunState
from models.states import AttemptState, Closure, JobState, PauseReason, Reason
from tests.stack import ROOT
from workers.jobs.filters import Filtered

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

#: Where statements may stand. The sandbox's are SQLite's, the benchmarks' and the embedded servers' their own.
ROOMS = ("recast", "models", "workers", "catalog", "reports", "desk", "tasks", "web", "cli")
#: What is made, or is run past SQLAlchemy, within a function, and why the test below cannot or need not see it.
HIDDEN = {
    "workers.jobs.filters.execute": "its SQL depends on the filter; `variants` gives what is prepared",
    "models.connection._ping_after_idling": "a bare SELECT 1 of the pool's, before SQLAlchemy has the connection",
    "models.connection._set_limits": "settings of a transaction, and no table; the test of connections runs it",
    "models.connection._connected": "settings of a connection, and no table",
    "reports.grid._walk": "called where the module is loaded: what it makes is kept there, and prepared",
    "workers.operations.bulk._writing_batches": "the same",
    "catalog.enqueue._copy": "COPY cannot be prepared",
}
#: Run for the others, which look at the tables that these make.
MAKES_TABLES = (enqueue._STAGE, enqueue._DECIDE)
PREPARED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "(SELECT")


def modules() -> dict[str, Path]:
    found = {}
    for path in chain.from_iterable((ROOT / room).rglob("*.py") for room in ROOMS):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def in_value(value: object) -> Iterator[TextClause]:
    if isinstance(value, TextClause):
        yield value
    elif isinstance(value, Filtered):
        yield from map(text, value.variants())
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(in_value, value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from chain.from_iterable(map(in_value, value))
    elif isinstance(value, type) and value.__module__.partition(".")[0] in ROOMS:
        kept = [each for each in vars(value).values() if isinstance(each, TextClause | Filtered | list | tuple)]
        yield from in_value(kept)


def statements() -> dict[str, TextClause]:
    """All statements by the place of each, such as ``workers.engine.claims._CLAIM``."""
    found: dict[str, TextClause] = {}
    for name in modules():
        if name.endswith("__main__") or name == "tasks.main":
            continue
        for attribute, value in vars(importlib.import_module(name)).items():
            for number, statement in enumerate(in_value(value)):
                found[f"{name}.{attribute}{f'[{number}]' if number else ''}"] = statement
    return found


_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def numbered(statement: TextClause) -> str:
    """A statement as the driver hands it to the server: parameters are numbered, and each name has one number."""
    compiled = statement.compile(dialect=_DIALECT)
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[1], f"${len(numbers) + 1}") if found[1] else "%"

    sql = re.sub(r"%\((\w+)\)s|%%", number, str(compiled))
    assert numbers.keys() == compiled.params.keys(), sql
    return sql


def refused(database: Database, wanted: Mapping[str, TextClause]) -> dict[str, str]:
    """The statements that the server does not take, and what it says of each."""
    found = {}
    with database.sessions() as session:
        session.execute(enqueue._STAGE)
        session.execute(enqueue._DECIDE, {"batch_id": 0, "retry_rejected": False})
        connection: Any = session.connection().connection.driver_connection
        for name, statement in wanted.items():
            if any(statement is one for one in MAKES_TABLES):
                continue
            connection.execute("SAVEPOINT before")
            sql = numbered(statement).strip()
            if sql.startswith(PREPARED):
                result = connection.pgconn.prepare(b"", sql.encode())
            else:
                result = connection.pgconn.exec_(sql.encode())
            if result.status != ExecStatus.COMMAND_OK:
                found[name] = f"{result.error_message.decode()}\n{sql}"
                connection.execute("ROLLBACK TO SAVEPOINT before")
    return found


def test_every_statement_fits_the_schema(database: Database) -> None:
    wanted = statements()
    assert len(wanted) > 150, "statements are not found where they were"
    assert refused(database, wanted) == {}


@pytest.mark.parametrize(
    "planted",
    [
        "SELECT id, stat FROM jobs",
        "UPDATE jobs SET state = :state, reson = :reason WHERE id = ANY(:ids)",
        "INSERT INTO results (job_id, attempt) VALUES (:job_id, :attempt)",
        "DELETE FROM lease WHERE name = :name",
        "SELECT id FROM jobs WHERE id = ANY(cast(:ids AS int[]))",
    ],
)
def test_a_planted_mistake_is_refused(database: Database, planted: str) -> None:
    assert refused(database, {"planted": text(planted)}).keys() == {"planted"}


def test_statements_are_found_wherever_a_module_keeps_them() -> None:
    class Kept:
        one = text("SELECT 1")

    Kept.__module__ = "workers.planted"
    for value in (Kept, {"a": Kept.one}, [Kept.one], {Kept.one}, Kept.one):
        assert [str(found) for found in in_value(value)] == ["SELECT 1"]


# --- What is prepared is all that there is --------------------------------------------------------------------------


def hidden(source: str, module: str) -> set[str]:
    """Functions that make a statement, or run one that SQLAlchemy does not see, when they are called."""
    tree = ast.parse(source)
    imported = {
        alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
        if node.module is not None and node.module.partition(".")[0] in {"sqlalchemy", "workers"}
        for alias in node.names if alias.name in _MAKERS
    }  # fmt: skip
    found: set[str] = set()

    def visit(node: ast.AST, function: str | None) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        elif isinstance(node, ast.Lambda):
            function = function or "<lambda>"
        if function is not None and isinstance(node, ast.Call) and _makes(node, imported):
            found.add(f"{module}.{function}")
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(tree, None)
    return found


_MAKERS = frozenset({"text", "select", "insert", "update", "delete", "TextClause", "Filtered"})


def _makes(call: ast.Call, imported: set[str]) -> bool:
    if isinstance(call.func, ast.Name):
        return call.func.id in imported
    if isinstance(call.func, ast.Attribute):
        written = bool(call.args) and isinstance(call.args[0], ast.Constant | ast.JoinedStr | ast.BinOp | ast.Call)
        return call.func.attr in {"exec_driver_sql", "copy", "executemany"} or (call.func.attr == "execute" and written)
    return False


def test_no_statement_is_made_where_it_cannot_be_prepared() -> None:
    found = set().union(*(hidden(path.read_text(), name) for name, path in modules().items()))
    assert found == HIDDEN.keys()


@pytest.mark.parametrize(
    ("planted", "function"),
    [
        ("from sqlalchemy import text\ndef late(s):\n    s.execute(text(f'DELETE FROM {s}'))", "late"),
        ("from sqlalchemy import text as sql\nasync def late(s):\n    sql('SELECT 1')", "late"),
        ("from sqlalchemy import text\nlate = lambda: text('SELECT 1')", "<lambda>"),
        ("def late(c):\n    c.exec_driver_sql(c.words)", "late"),
        ("class C:\n    def late(self, c):\n        c.execute('SELECT 1')", "late"),
        ("def late(c, x):\n    c.execute('SELECT ' + x)", "late"),
        ("def late(c, x):\n    c.execute('SELECT {}'.format(x))", "late"),
        ("from sqlalchemy.dialects.postgresql import insert\ndef late(s):\n    s.execute(insert(s))", "late"),
        ("from workers.jobs.filters import Filtered\ndef late():\n    return Filtered(str)", "late"),
    ],
)
def test_a_planted_late_statement_is_found(planted: str, function: str) -> None:
    assert hidden(planted, "planted") == {f"planted.{function}"}


def test_doors_hold_no_statements() -> None:
    holders = {name.rpartition(".")[0] for name in statements() if name.startswith(("cli.", "web."))}
    assert holders == set()


# --- Words ----------------------------------------------------------------------------------------------------------

WORDS = {
    "state": {*JobState, *AttemptState, *RunState},
    "reason": set(Reason),
    "closed_reason": set(Closure),
    "paused_reason": set(PauseReason),
}
_COMPARED = re.compile(
    r"\b(?:last_)?(state|reason|closed_reason|paused_reason)\s*"
    r"(?:=|<>|IS DISTINCT FROM|(?:NOT )?IN)\s*(\([^()]*\)|'[^']*')"
)


def unknown_words(sql: str) -> list[str]:
    """Words that a statement compares a state or a reason with, or sets it to, and that are none."""
    return [
        word for column, compared in _COMPARED.findall(sql) for word in re.findall(r"'([^']*)'", compared)
        if word not in WORDS[column]
    ]  # fmt: skip


def test_states_and_reasons_in_statements_are_words_of_the_machines() -> None:
    wrong = {name: words for name, statement in statements().items() if (words := unknown_words(str(statement)))}
    assert wrong == {}


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT 1 FROM jobs j WHERE j.state = 'runing'", ["runing"]),
        (
            "UPDATE attempts SET state = 'sent', reason = 'lost' WHERE state IN ('sending', 'unkown')",
            ["sent", "unkown"],
        ),
        ("UPDATE accounts SET closed_reason = 'no_face'", ["no_face"]),
    ],
)
def test_planted_words_are_found(sql: str, words: list[str]) -> None:
    assert unknown_words(sql) == words
