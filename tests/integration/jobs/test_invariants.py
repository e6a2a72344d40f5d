"""The judges of the fault tests find what they look for: a check that cannot fail would show nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests import invariants
from tests.bill import Bill

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PICTURE = b"a picture"


@pytest.fixture
def books(database: Database, tmp_path: Path) -> Database:
    """One job of a batch that succeeded with one picture in storage, for half a dollar."""
    database.account()
    batch = database.batch()
    (job,) = database.jobs(1, batch=batch, state="succeeded")
    attempt = database.attempt(
        job, "done", cost="0.5", accepted_at="clock_timestamp()", handle="'h'", outputs='\'[{"url": "u"}]\''
    )
    (tmp_path / "a.png").write_bytes(PICTURE)
    database.sql(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " VALUES (:job, :attempt, 0, 'a.png', 'x', :size, 'image/png', 1, 1)",
        job=job,
        attempt=attempt,
        size=len(PICTURE),
    )
    database.sql(
        "INSERT INTO spend (scope, period, amount) SELECT s, p, 0.5 FROM (VALUES"
        " ('account:main', to_char(now() AT TIME ZONE 'UTC', '\"day:\"YYYY-MM-DD')),"
        " ('account:main', to_char(now() AT TIME ZONE 'UTC', '\"month:\"YYYY-MM')),"
        " ('batch:' || :batch, 'all')) AS w(s, p)",
        batch=str(batch),
    )
    return database


def wrongs(database: Database, folder: Path) -> list[str]:
    stack: Any = SimpleNamespace(sql=database.sql, env={"RECAST_STORAGE_URL": str(folder)})
    parts: tuple[Callable[[Any], Iterator[str]], ...] = (
        lambda stack: invariants._spend(stack, Bill([], [])),
        invariants._ends,
        invariants._results,
        invariants._batches,
        invariants._leaks,
    )
    # (there is no bill here; that spend is not the bill is the one thing that is always wrong)
    return [wrong for part in parts for wrong in part(stack) if "and the bill" not in wrong]


def test_books_in_order(books: Database, tmp_path: Path) -> None:
    assert wrongs(books, tmp_path) == []


@pytest.mark.parametrize(
    ("breaking", "wrong"),
    [
        ("UPDATE spend SET amount = 1 WHERE period LIKE 'day:%'", "its attempts cost 0.5"),
        ("DELETE FROM spend WHERE period = 'all'", "its attempts cost 0.5"),
        ("INSERT INTO spend VALUES ('account:main', 'day:2020-01-01', 3)", "its attempts cost 0"),
        ("UPDATE attempts SET state = 'refused'", "its attempts cost 0"),
        ("UPDATE jobs SET state = 'held'", "is held without a reason"),
        ("DELETE FROM results", "succeeded with 0 result sets"),
        ("""UPDATE attempts SET outputs = '[{"url": "u"}, {"url": "v"}]'""", "has 1 of its 2 pictures"),
        ("UPDATE results SET size = 4", "is not in storage"),
        ("UPDATE batches SET queued = 1 WHERE id > 0", "and its jobs are"),
        ("UPDATE attempts SET state = 'running'", "holds a place, although its job is succeeded"),
        ("UPDATE jobs SET claimed_until = now(), finished_at = now()", "still claimed"),
    ],
)
def test_what_is_wrong_is_named(books: Database, tmp_path: Path, breaking: str, wrong: str) -> None:
    books.sql(breaking)

    found = wrongs(books, tmp_path)
    assert any(wrong in item for item in found), found


def test_money_that_was_not_billed_is_named(books: Database) -> None:
    stack: Any = SimpleNamespace(sql=books.sql)
    assert any("and the bill 0" in wrong for wrong in invariants._spend(stack, Bill([], [])))
