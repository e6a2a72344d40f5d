"""Archiving: jobs that ended long ago move to files that are complete, whatever ends the command, and money stays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from catalog.origin import refuse_archived
from models.spend import account_scope, batch_scope
from reports import archives
from reports.batch import find
from reports.job import find_detail
from reports.obstacles import obstacles
from reports.spend import By, spent
from tests.words import unsaid
from workers.operations import archive, archive_files, prune

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

DAY = 86_400.0
#: More than a portion of the test, less than its month.
PORTION = 800
JOBS = 2_000


class Killed(BaseException):
    """What nothing catches: as good as a kill."""


@pytest.fixture
def runtime(make_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setattr(archive, "PORTION", PORTION)
    return make_runtime()


def month(database: Database, name: str = "spring", jobs: int = JOBS, days: int = 400, **columns: Any) -> int:
    """A batch of jobs that ended within one month, so many days ago, each with an attempt and a picture."""
    batch = database.batch(name)
    database.sql(
        """
        INSERT INTO jobs (id, kind, source, target, lane, batch_id, key, state, reason, finished_at)
        SELECT :name || n, 'swap', 'https://example.com/a.jpg', 'https://example.com/b.jpg', 'zhiqite.swap', :batch,
            'key-' || n, CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'succeeded' END, NULL,
            date_trunc('month', now() - :days * interval '1 day') + n * interval '1 second'
        FROM generate_series(1, :jobs) AS n
        """,
        name=name, batch=batch, days=days, jobs=jobs,
    )  # fmt: skip
    database.sql(
        """
        INSERT INTO attempts (id, job_id, number, batch_id, account, operation, state, handle, cost, sent_at,
            deadline_at, outputs, raw)
        SELECT gen_random_uuid(), id, 1, batch_id, 'main', 'zhiqite.swap', 'done', 'h-' || id, 0.0525, finished_at,
            finished_at, '[{"url": "https://example.com/c.jpg"}]', '\\x00ff'
        FROM jobs WHERE batch_id = :batch
        """,
        batch=batch,
    )
    database.sql(
        """
        INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)
        SELECT job_id, id, 0, 'ab/cd/' || job_id, '0', 7, 'image/png', 1, 1 FROM attempts WHERE batch_id = :batch
        """,
        batch=batch,
    )
    database.sql(
        "UPDATE batches SET succeeded = :jobs - :jobs / 10, failed = :jobs / 10 WHERE id = :id", jobs=jobs, id=batch
    )
    cost = jobs * Decimal("0.0525")
    database.sql(
        "INSERT INTO spend VALUES (:batch, 'all', :cost), (:account, 'month:2025-01', :cost)"
        " ON CONFLICT (scope, period) DO UPDATE SET amount = spend.amount + excluded.amount",
        batch=batch_scope(batch), account=account_scope("main"), cost=cost,
    )  # fmt: skip
    return batch


def archived_rows(database: Database, runtime: Runtime) -> list[dict[str, Any]]:
    """The rows of all files that are noted, each held against its note."""
    rows = []
    for note in database.sql("SELECT * FROM archives ORDER BY key"):
        data = runtime.storage.get(note.key)
        found = archive_files.totals(archive_files.read(data))
        archive_files.verify(data, note.sha256, found, note.key)
        assert (note.size, note.month) == (len(data), note.key.split("/")[1])
        assert (note.jobs, note.attempts, note.results) == (found.jobs, found.attempts, found.results)
        assert note.cost == found.cost
        rows += archive_files.read(data)
    return rows


def everything(database: Database, batch: int) -> dict[str, Any]:
    """What there is of a batch's jobs, by id, as PostgreSQL has it."""
    rows = database.sql(
        "SELECT j.id, to_jsonb(j) AS job, to_jsonb(a) AS attempt, to_jsonb(r) AS result FROM jobs j"
        " JOIN attempts a ON a.job_id = j.id JOIN results r ON r.job_id = j.id WHERE j.batch_id = :batch",
        batch=batch,
    )
    return {row.id: (row.job, [row.attempt], [row.result]) for row in rows}


def killing(remove: Callable[..., bool], moment: float) -> Callable[..., bool]:
    """`remove`, which is killed before its call of that number, or half a call later: before its commit."""
    calls = itertools.count(1)

    def instead(*given: Any) -> bool:
        number = next(calls)
        if number == moment:
            raise Killed
        removed = remove(*given)
        if number + 0.5 == moment:
            raise Killed
        return removed

    return instead


def test_a_month_moves_whatever_ends_the_command_and_money_stays(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = month(database)
    before, booked = everything(database, batch), database.sql("SELECT * FROM spend ORDER BY 1, 2")
    sums = {by: database.run(spent, by) for by in By}

    wanted = archive.archive(runtime, 365 * DAY, dry_run=True)
    assert sum(moved.jobs for moved in wanted.months.values()) == JOBS
    assert all(moved.size > 0 for moved in wanted.months.values())
    assert everything(database, batch) == before, "a dry run changes nothing"

    # Between write and removal of the first file, within its removal, and between those of the second.
    remove = archive._remove
    for moment in (1, 1.5, 2):
        with monkeypatch.context() as patch:
            patch.setattr(archive, "_remove", killing(remove, moment))
            with pytest.raises(Killed):
                archive.archive(runtime, 365 * DAY)
        assert (everything(database, batch) == before) is (moment < 2)
    assert 0 < len(everything(database, batch)) < JOBS

    done = archive.archive(runtime, 365 * DAY)
    assert done.changed == 0
    assert everything(database, batch) == {}
    rows = archived_rows(database, runtime)
    assert {row["id"]: (row["job"], row["attempts"], row["results"]) for row in rows} == before
    assert len(rows) == JOBS, "each job is in one file"
    assert sum(row["cost"] for row in rows) == JOBS * Decimal("0.0525")
    assert database.sql("SELECT * FROM spend ORDER BY 1, 2") == booked
    assert {by: database.run(spent, by) for by in By} == sums
    assert archive.archive(runtime, 365 * DAY).months == {}


def test_what_asks_for_an_archived_batch_is_told_where_it_is(database: Database, runtime: Runtime) -> None:
    batch = month(database, jobs=20)
    archive.archive(runtime, 365 * DAY)
    report = database.run(find, "spring")
    assert (report.counts["succeeded"], report.counts["failed"], report.spent) == (18, 2, Decimal("1.0500"))
    assert report.archived_at is not None
    (said,) = database.run(obstacles, report, None, "USD")
    key = database.sql("SELECT key FROM archives ORDER BY key")[0].key
    assert unsaid(said, "spring", key) == []
    with pytest.raises(archives.ArchivedError) as error:
        database.run(find_detail, "spring/key-1", runtime.storage)
    assert unsaid(str(error.value), "spring", key) == []
    with pytest.raises(CatalogError) as refused:
        database.run(refuse_archived, batch)
    assert unsaid(str(refused.value), "spring", "--name") == []


def test_reports_over_rows_say_what_they_do_not_have(database: Database, runtime: Runtime) -> None:
    spring, autumn = month(database, jobs=20), month(database, "autumn", jobs=10, days=800)
    assert not runtime.db(archives.archived), "nothing is, yet"
    archive.archive(runtime, 365 * DAY)
    whole = runtime.db(archives.archived)
    assert (whole.jobs, whole.cost) == (30, 30 * Decimal("0.0525"))
    assert runtime.db(archives.archived, batch_id=autumn).jobs == 10
    first = database.one("SELECT min(finished_until)::date FROM archives WHERE batch_id = :id", id=spring).replace(
        day=1
    )
    sent = runtime.db(archives.archived, since=first, until=(first + timedelta(days=31)).replace(day=1))
    assert sent.jobs == 20, "of the month of an invoice"
    assert not runtime.db(archives.archived, since=first + timedelta(days=93), until=first + timedelta(days=124))
    assert unsaid(whole.said("USD", "are unknown"), "30", "1.575 USD", "are unknown") == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE jobs SET state = 'held' WHERE id = 'spring7'",
        "UPDATE jobs SET state = 'queued', finished_at = NULL WHERE id = 'spring7'",
        "UPDATE jobs SET finished_at = now() - interval '3 days' WHERE id = 'spring7'",
        "UPDATE attempts SET state = 'unknown' WHERE job_id = 'spring7'",
        "UPDATE attempts SET next_poll_at = now() WHERE job_id = 'spring7'",
        "INSERT INTO announcements (task_id, job_id, canvas) VALUES ('t', 'spring7', '{}')",
        (
            "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, 'approved' FROM jobs"
            " WHERE id = 'spring7'"
        ),
    ],
    ids=["held", "queued", "young", "unclear", "polled", "announced to nobody yet", "in review"],
)
def test_a_batch_that_somebody_waits_for_stays_as_a_whole(database: Database, runtime: Runtime, change: str) -> None:
    batch = month(database, jobs=20)
    database.sql(change)
    assert archive.archive(runtime, 365 * DAY).months == {}
    assert len(everything(database, batch)) == 20
    assert database.run(find, "spring").archived_at is None


def test_of_single_jobs_those_with_a_key_against_paying_twice_stay(database: Database, runtime: Runtime) -> None:
    old = "2025-01-31T12:00:00Z"
    database.jobs(3, state="succeeded", finished_at=old)
    (kept,) = database.jobs(1, state="succeeded", dedupe_key="order-7", finished_at=old)
    (young,) = database.jobs(1, state="succeeded", finished_at="2126-01-31T12:00:00Z")
    done = archive.archive(runtime, 30 * DAY)
    assert {month: moved.jobs for month, moved in done.months.items()} == {"2025-01": 3}
    assert sorted(row.id for row in database.sql("SELECT id FROM jobs")) == sorted([kept, young])


def test_a_job_that_changes_after_it_was_written_stays(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    month(database, jobs=20)
    verify = archive_files.verify

    def meanwhile(*given: Any) -> None:
        verify(*given)
        database.sql("UPDATE jobs SET error = 'seen' WHERE id = 'spring7'")

    with monkeypatch.context() as patch:
        patch.setattr(archive_files, "verify", meanwhile)
        done = archive.archive(runtime, 365 * DAY)
    assert done.changed == 18
    assert database.one("SELECT count(*) FROM jobs") == 18
    archive.archive(runtime, 365 * DAY)
    assert {row["id"]: row["error"] for row in (r["job"] for r in archived_rows(database, runtime))}[
        "spring7"
    ] == "seen"


def test_a_batch_of_millions_may_be_looked_at_for_longer_than_other_statements_take(
    database: Database, runtime: Runtime
) -> None:
    batch = month(database, jobs=20)

    def look(session: Session) -> tuple[bool, str]:
        is_over = archive._is_over(session, batch, 365 * DAY)
        return is_over, session.execute(text("SHOW statement_timeout")).scalar_one()

    assert runtime.db(look) == (True, "10min")


def test_a_damaged_file_removes_nothing(database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    month(database, jobs=20)
    read = runtime.storage.get
    monkeypatch.setattr(runtime.storage, "get", lambda key: read(key)[:-9])
    with pytest.raises(archive_files.ArchiveError) as error:
        archive.archive(runtime, 365 * DAY)
    assert unsaid(str(error.value), "archive/") == []
    assert database.one("SELECT count(*) FROM jobs") == 20


def test_pictures_of_archived_jobs_are_no_orphans(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    month(database, jobs=20, days=30)
    archive.archive(runtime, 10 * DAY)
    digest = "ab" + "0" * 62
    runtime.storage.put(b"picture", sha256=digest, suffix="png")
    database.sql("UPDATE archives SET finished_until = now() + interval '1 day'")
    monkeypatch.setattr(prune, "ORPHAN_SECONDS", -60.0)
    assert prune.prune_orphans(runtime).files == 0
    database.sql("UPDATE archives SET finished_until = now() - interval '1 day'")
    assert prune.prune_orphans(runtime).files == 1
