"""Archiving: jobs that ended long ago, with all that belongs to them, move to Parquet files in the storage.

A portion of jobs is read, written as one file, read back and compared; then one short transaction reads the rows
again, and removes them if they are as they were written. A file that was written before a crash is written again under
the same name. `spend` and the batches' counts stay as they are.

What moves: the jobs of batches of which every job ended long ago and waits for nobody, and single jobs without a
`dedupe_key`. A key keeps a second job from being paid for, as a batch's rows keep those of its catalog; so jobs with a
key stay, and a batch whose jobs moved takes no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.connection import OWN_LIMITS, let_go_of_snapshot, take_time
from models.fragments import is_open, is_paid, paid_for, quoted, seconds_ago
from models.states import ANNOUNCED_JOB_STATES, JobState
from workers.engine.runtime import Runtime
from workers.jobs.transitions import lock_jobs
from workers.operations import archive_files
from workers.operations.archive_files import ArchiveError

PORTION = 2_000  # jobs of one file and one transaction, which takes a few seconds at most
PATIENCE_SECONDS = 600  # for the look at all jobs of a batch, of which there may be millions
LOCK_KEY = 0x0A2C417E  # advisory lock: one archives at a time
LEAST_DAYS = 7.0  # as long as a restore keeps looking for what was sent, and the result backend keeps results

_ENDED = [state for state in JobState if state in ANNOUNCED_JOB_STATES]
_MONTH = "to_char(j.finished_at AT TIME ZONE 'UTC', 'YYYY-MM')"
_DONE_WITH = f"""
    j.state IN ({quoted(_ENDED)}) AND j.finished_at < {seconds_ago(":seconds")}
    AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND (a.next_poll_at IS NOT NULL OR {is_open("a")}))
    AND NOT EXISTS (SELECT 1 FROM announcements n WHERE n.job_id = j.id AND n.announced_at IS NULL)
"""
_REVIEWED = "SELECT 1 FROM reviews r WHERE r.batch_id = b.id AND r.verdict <> 'unreviewed'"
# People are at work on a batch of which some pictures have a verdict and others have none.
_IN_REVIEW = f"""
    EXISTS ({_REVIEWED}) AND EXISTS (
        SELECT 1 FROM jobs j WHERE j.batch_id = b.id AND j.state = 'succeeded'
            AND NOT EXISTS ({_REVIEWED} AND r.job_id = j.id))
"""
#: Batches that may be over; whether one is, is a look at all of its jobs, and a question of its own.
_CANDIDATES = text(f"""
    SELECT b.id, b.name FROM batches b
    WHERE b.id > {SINGLES} AND (b.archived_at IS NOT NULL OR queued + running + saving + held = 0)
        AND EXISTS (SELECT 1 FROM jobs WHERE batch_id = b.id)
        AND (cast(:id AS int) IS NULL OR b.id = :id)
    ORDER BY b.id
""")
_IS_OVER = text(f"""
    SELECT (b.archived_at IS NOT NULL OR (queued + running + saving + held = 0 AND NOT ({_IN_REVIEW})))
        AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.batch_id = b.id AND NOT ({_DONE_WITH}))
    FROM batches b WHERE b.id = :id
""")
#: As `catalog.enqueue` takes it: no run of the catalog is between its look at the batch and its rows.
_NO_RUN = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_CLOSE = text("UPDATE batches SET archived_at = coalesce(archived_at, clock_timestamp()) WHERE id = :id")
_PORTION = text(f"""
    SELECT j.id, j.seq, {_MONTH} AS month FROM jobs j
    WHERE j.batch_id = :batch_id AND j.state = :state AND j.seq > :after AND {_DONE_WITH}
        AND (j.batch_id > {SINGLES} OR j.dedupe_key IS NULL)
    ORDER BY j.seq LIMIT :limit
""")


def _all_of(table: str, order: str) -> str:
    return f"""
        coalesce((SELECT jsonb_agg(to_jsonb(t) ORDER BY {order}) FROM {table} t WHERE t.job_id = j.id), '[]') AS {table}
    """


_READ = text(f"""
    SELECT j.id, b.name AS batch, j.key, j.kind, j.state, j.reason, j.created_at, j.started_at, j.finished_at,
        coalesce({paid_for("j.id")}, 0) AS cost, to_jsonb(j) AS job, {_all_of("attempts", "number")},
        {_all_of("results", "id")}, {_all_of("versions", "version")}, {_all_of("redos", "version")},
        {_all_of("verdicts", "id")}, {_all_of("announcements", "task_id")}
    FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE j.id = ANY(:ids) ORDER BY j.seq
""")
_LOCK_ATTEMPTS = text("SELECT id FROM attempts WHERE job_id = ANY(:ids) ORDER BY id FOR UPDATE")
_NOTE = text(f"""
    INSERT INTO archives (key, month, batch_id, jobs, attempts, results, cost, paid, size, sha256, finished_until)
    SELECT :key, :month, :batch_id, :jobs, :attempts, :results, :cost,
        coalesce(jsonb_object_agg(operation, paid), '{{}}'), :size, :sha256, :finished_until
    FROM (
        SELECT operation, sum(cost) AS paid FROM attempts a
        WHERE job_id = ANY(:ids) AND {is_paid("a")} GROUP BY operation
    ) by_operation
""")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
_REMOVE = text("DELETE FROM jobs WHERE id = ANY(:ids)")
_MEASURE = text("""
    SELECT count(*) AS jobs, coalesce(sum(pg_column_size(j.*)), 0)::bigint AS size,
        (SELECT count(*) FROM attempts WHERE job_id = ANY(:ids)) AS attempts,
        (SELECT coalesce(sum(pg_column_size(a.*)), 0)::bigint FROM attempts a WHERE job_id = ANY(:ids)) AS more,
        (SELECT count(*) FROM results WHERE job_id = ANY(:ids)) AS results
    FROM jobs j WHERE id = ANY(:ids)
""")


@dataclass(slots=True)
class Moved:
    """What moved in a month, or would."""

    jobs: int = 0
    attempts: int = 0
    results: int = 0
    files: int = 0
    #: Of the files; in a dry run, of the rows of jobs and attempts.
    size: int = 0
    cost: Decimal = Decimal(0)


@dataclass(slots=True)
class Archived:
    """What archiving did, or would do."""

    months: dict[str, Moved] = field(default_factory=dict)
    #: Jobs that were changed meanwhile, and that stay.
    changed: int = 0

    def of(self, month: str) -> Moved:
        """What moved in this month."""
        return self.months.setdefault(month, Moved())


@dataclass(frozen=True, slots=True)
class _Portion:
    batch_id: int
    state: JobState
    month: str
    ids: Sequence[str]
    first: int

    @property
    def key(self) -> str:
        # The first job that is left is the first again after a crash: then this file is written anew.
        return f"archive/{self.month}/{self.batch_id}-{self.state}-{self.first}.parquet"


def archive(runtime: Runtime, seconds: float, *, batch_id: int | None = None, dry_run: bool = False) -> Archived:
    """Move jobs that ended longer ago than `seconds`; it may be repeated after any crash.

    Args:
        runtime: the deployment.
        seconds: since their end; `LEAST_DAYS` or more.
        batch_id: only of this batch; None for all, and for single jobs.
        dry_run: only count.

    Raises:
        ArchiveError: Parquet cannot be written here, or a file is not as it was written; nothing of it was removed.
        StorageError: the storage does not answer.
    """
    archive_files.require()
    with _alone(runtime):
        return _archive(runtime, seconds, batch_id, dry_run=dry_run)


@contextmanager
def _alone(runtime: Runtime) -> Iterator[None]:
    """Keep others from archiving meanwhile, by an open transaction: behind a pooler, sessions keep no locks."""
    holding = runtime.engine.execution_options(**{OWN_LIMITS: {"idle_in_transaction_session_timeout": "0"}})
    with holding.connect() as connection:
        if not connection.execute(_TRY_LOCK, {"key": LOCK_KEY}).scalar_one():
            raise ArchiveError("another process is archiving; wait for its end")
        let_go_of_snapshot(connection)
        yield


def _archive(runtime: Runtime, seconds: float, batch_id: int | None, *, dry_run: bool) -> Archived:
    done = Archived()
    for portion in _portions(runtime, seconds, batch_id, dry_run=dry_run):
        if dry_run:
            row = runtime.db(_measured, portion.ids)
            _add(done.of(portion.month), row.jobs, row.attempts, row.results, row.size + row.more)
        elif not _move(runtime, portion, done):
            done.changed += len(portion.ids)
    return done


def _portions(runtime: Runtime, seconds: float, batch_id: int | None, *, dry_run: bool) -> Iterator[_Portion]:
    if batch_id is None:
        yield from _of_batch(runtime, SINGLES, seconds)
    for each, name in runtime.db(_candidates, batch_id):
        if runtime.db(_is_over, each, seconds) and (dry_run or runtime.db(_close, each, name, seconds)):
            yield from _of_batch(runtime, each, seconds)


def _candidates(session: Session, batch_id: int | None) -> list[tuple[int, str]]:
    return [(row.id, row.name) for row in session.execute(_CANDIDATES, {"id": batch_id})]


def _is_over(session: Session, batch_id: int, seconds: float) -> bool:
    """Whether all jobs of a batch ended that long ago, and nobody waits for any."""
    take_time(session, PATIENCE_SECONDS)
    return bool(session.execute(_IS_OVER, {"seconds": seconds, "id": batch_id}).scalar())


def _close(session: Session, batch_id: int, name: str, seconds: float) -> bool:
    """Let the batch take no more jobs, unless it was given some since it was found."""
    session.execute(_NO_RUN, {"name": name})
    if not _is_over(session, batch_id, seconds):
        return False
    session.execute(_CLOSE, {"id": batch_id})
    return True


def _of_batch(runtime: Runtime, batch_id: int, seconds: float) -> Iterator[_Portion]:
    """The portions of a batch, each of one state and one month."""
    for state in _ENDED:
        after = 0
        while rows := runtime.db(_next, batch_id, state, after, seconds):
            for month in sorted({row.month for row in rows}):
                same = [row for row in rows if row.month == month]
                yield _Portion(batch_id, state, month, [row.id for row in same], same[0].seq)
            after = rows[-1].seq


def _next(session: Session, batch_id: int, state: JobState, after: int, seconds: float) -> Sequence[Row[tuple[object]]]:
    values = {"batch_id": batch_id, "state": state, "after": after, "seconds": seconds, "limit": PORTION}
    return session.execute(_PORTION, values).all()


def _measured(session: Session, ids: Sequence[str]) -> Row[tuple[object]]:
    return session.execute(_MEASURE, {"ids": list(ids)}).one()


def _read(session: Session, ids: Sequence[str]) -> list[dict[str, object]]:
    return [dict(row._mapping) for row in session.execute(_READ, {"ids": list(ids)})]


def _move(runtime: Runtime, portion: _Portion, done: Archived) -> bool:
    """Write a portion and remove its rows; whether they still were as they were written."""
    rows = runtime.db(_read, portion.ids)
    data = archive_files.parquet_of(rows)
    runtime.storage.put_archive(portion.key, data)
    digest, totals = hashlib.sha256(data).hexdigest(), archive_files.totals(rows)
    archive_files.verify(runtime.storage.get(portion.key), digest, totals, portion.key)
    note = {
        "key": portion.key, "month": portion.month, "batch_id": portion.batch_id, "size": len(data), "sha256": digest,
        "jobs": totals.jobs, "attempts": totals.attempts, "results": totals.results, "cost": totals.cost,
        "finished_until": max(moment for row in rows if isinstance(moment := row["finished_at"], datetime)),
    }  # fmt: skip
    if not runtime.db(_remove, portion.ids, rows, note):
        runtime.storage.remove(portion.key)
        return False
    _add(done.of(portion.month), totals.jobs, totals.attempts, totals.results, len(data), totals.cost)
    return True


def _remove(
    session: Session, ids: Sequence[str], written: Sequence[dict[str, object]], note: dict[str, object]
) -> bool:
    session.execute(_LOCK_ATTEMPTS, {"ids": list(ids)})
    lock_jobs(session, ids)
    if _read(session, ids) != written:
        return False
    session.execute(_NOTE, {**note, "ids": list(ids)})
    session.execute(_REMOVE, {"ids": list(ids)})
    return True


def _add(to: Moved, jobs: int, attempts: int, results: int, size: int, cost: Decimal = Decimal(0)) -> None:
    to.jobs, to.attempts, to.results = to.jobs + jobs, to.attempts + attempts, to.results + results
    to.files, to.size, to.cost = to.files + 1, to.size + size, to.cost + cost
