"""Counts of verdicts: whatever is written, by several at once, their sums are what a count of the rows says."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from reports import undecided
from reports.batch import find
from reports.cards import UNDECIDED
from reports.reviews import verdicts_of
from workers.maintenance import verdict_counts

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

VERDICTS = ("unreviewed", "approved", "needs_work")
#: As verdicts, redos, and erasing write them: one row or many, and rows that go with their jobs.
WRITES = (
    """
    INSERT INTO reviews (job_id, batch_id, seq, verdict)
    SELECT id, batch_id, seq, '{verdict}' FROM jobs WHERE seq % {each} = 0
    ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq
    """,
    "UPDATE reviews SET verdict = '{verdict}' WHERE seq % {each} = 0",
    "DELETE FROM reviews WHERE seq % {each} = 0 AND verdict = '{verdict}'",
    "DELETE FROM jobs WHERE seq % 29 = {each}",
)


def _counted(database: Database) -> tuple[dict[str, int], dict[str, int]]:
    """What the sums say, and what the rows say."""
    report = database.run(find, "spring")
    said = database.run(verdicts_of, report)
    rows = database.sql("SELECT verdict, count(*) AS n FROM reviews WHERE batch_id = :id GROUP BY 1", id=report.id)
    counted = {row.verdict: row.n for row in rows}
    return (
        {"approved": said.approved, "needs_work": said.needs_work},
        {verdict: counted.get(verdict, 0) for verdict in ("approved", "needs_work")},
    )


def test_the_sums_are_what_the_rows_say(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_counts, "FOLDED_FROM", 5)
    chosen = random.Random(7)
    batch, other = database.batch("spring"), database.batch("autumn")
    database.jobs(150, batch=batch, state="succeeded")
    database.jobs(20, batch=other, state="succeeded")
    folded: list[int] = []
    for _ in range(12):
        writes = [
            chosen.choice(WRITES).format(verdict=chosen.choice(VERDICTS), each=chosen.randint(1, 5)) for _ in range(6)
        ]

        def one_after_another(session: Session, statements: list[str] = writes) -> None:
            for statement in statements:
                session.execute(text(statement))

        def fold(session: Session) -> None:
            folded.append(verdict_counts.fold(session))

        database.together([one_after_another, fold, fold])
        said, counted = _counted(database)
        assert said == counted, writes
    assert sum(folded) > 0
    database.run(verdict_counts.fold)
    assert database.one("SELECT count(*) FROM verdict_counts") <= 20


def test_people_at_once_do_not_wait_for_the_counts(database: Database) -> None:
    batch = database.batch("spring")
    jobs = database.jobs(12, batch=batch, state="succeeded")

    def approving(job: str) -> Callable[[Session], None]:
        def work(session: Session) -> None:
            session.execute(
                text(
                    "INSERT INTO reviews (job_id, batch_id, seq, verdict)"
                    " SELECT id, batch_id, seq, 'approved' FROM jobs WHERE id = :id"
                ),
                {"id": job},
            )
            # Nobody commits before all have written: with one row for the count, they would wait for one another
            barrier.wait(20)

        return work

    barrier = threading.Barrier(len(jobs))
    database.together([approving(job) for job in jobs])
    said, counted = _counted(database)
    assert said == counted == {"approved": 12, "needs_work": 0}


def test_undecided_jobs_are_found_in_pieces(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "FIRST", 3)
    monkeypatch.setattr(undecided, "NEXT", 7)
    batch = database.batch("spring")
    jobs = database.jobs(60, batch=batch, state="succeeded")
    database.jobs(5, batch=batch, state="failed")
    chosen = random.Random(3)
    for share in (0.0, 0.5, 0.95, 1.0):
        database.sql("DELETE FROM reviews")
        database.sql(
            "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, CASE seq % 3 WHEN 0 THEN"
            " 'approved' WHEN 1 THEN 'needs_work' ELSE :third END FROM jobs WHERE id = ANY(:ids)",
            ids=[job for job in jobs if chosen.random() < share],
            third="approved" if share == 1.0 else "unreviewed",
        )
        left = [row.seq for row in database.sql(f"SELECT seq FROM jobs j WHERE state = 'succeeded' AND {UNDECIDED}")]  # noqa: S608
        assert share < 1.0 or left == []
        for after, limit in ((0, 5), (30, 100)):
            for statement in (
                undecided.undecided("j.seq % 5 <> 0"),
                undecided.undecided("j.seq % 5 <> 0", after=f"{after}", limit=f"{limit}"),
            ):
                found = [row.seq for row in database.sql(statement, batch_id=batch, seq=after, limit=limit)]
                assert found == [seq for seq in sorted(left) if seq > after and seq % 5][:limit], (share, after, limit)
