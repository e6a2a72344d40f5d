"""Merging a checked catalog into its batch: one COPY into a staging table, then a few statements over all rows.

A row's job is found again by the batch's name and the row's key. What happens to it:

    row is new                                             inserted
    same inputs, job failed, or was superseded             queued again
    same inputs, job rejected                              queued again if asked for
    same inputs, any other state                           left as it is
    other inputs, job queued or over                       a new version of the job, queued; the old one is kept with
                                                           its attempts and results
    other inputs, job being prepared, running or held      left as it is, and told

`only` narrows the first two and the fifth; what it leaves out stays as it is.

Jobs are locked in the order of their ids and before the batch, as everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import DateTime, Integer, bindparam, text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from catalog.intake import SPOOLED, Intake
from models.connection import be_patient
from models.fragments import columns, taken_from, unclaimed
from models.jobs import ASKED, ENDING, PINS, ROLES
from models.states import JobState
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.lanes import PARKED, lane_operation
from workers.jobs.transitions import add_to_batch
from workers.restore import hold


class Only(StrEnum):
    """Which rows a run is narrowed to."""

    NEW = "new"
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of a catalog's rows."""

    batch_id: int
    name: str
    new: int = 0
    #: Failed (or rejected) before, and queued again.
    retried: int = 0
    #: Begun anew because the inputs are other ones.
    changed: int = 0
    unchanged: int = 0
    #: Rejected, canceled or held before, and left so.
    left: int = 0
    #: Other inputs, but the job is in work.
    in_work: int = 0
    #: New, changed or failed, and left out by `only`.
    left_out: int = 0
    #: Of those that were to be queued: held, since a restored backup may not know that they were sent.
    held: int = 0
    #: What the queued rows cost at most if each is submitted once.
    cost: Decimal = Decimal(0)

    @property
    def queued(self) -> int:
        """How many rows were queued by this."""
        return self.new + self.retried + self.changed


# The batch is made and committed first: locking its row before the jobs' would be against the order of locks.
_BATCH = text("""
    INSERT INTO batches AS b (name, label, max_cost, max_in_flight, keep_days)
    VALUES (:name, :label, :max_cost, :max_in_flight, :keep_days)
    ON CONFLICT (name) DO UPDATE SET
        label = coalesce(excluded.label, b.label), max_cost = coalesce(excluded.max_cost, b.max_cost),
        max_in_flight = coalesce(excluded.max_in_flight, b.max_in_flight),
        keep_days = coalesce(excluded.keep_days, b.keep_days),
        -- To name a limit is to let the batch go on; where it is too low, the next submission pauses it again.
        paused_at = CASE WHEN excluded.max_cost IS NULL OR b.paused_reason IS DISTINCT FROM 'budget'
            THEN b.paused_at END,
        paused_reason = CASE WHEN excluded.max_cost IS NULL OR b.paused_reason IS DISTINCT FROM 'budget'
            THEN b.paused_reason END
    RETURNING id
""")

# A million rows take half a minute to copy and longer to merge; only this transaction may take so long.
_PATIENCE_MINUTES = 30
_PATIENCE = text(f"SET LOCAL statement_timeout = '{_PATIENCE_MINUTES}min'")
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

#: The spool's columns, which are those of jobs but for the first and the last.
_OF_JOBS = ("id", "key", *ASKED, "lane")
_STAGE = text(f"""
    CREATE TEMPORARY TABLE staged ON COMMIT DROP AS
    SELECT 0 AS line, {columns(_OF_JOBS)}, 0.0 AS least, 0.0 AS cost FROM jobs WITH NO DATA
""")
_ANALYZE_STAGED, _ANALYZE_DECIDED = text("ANALYZE staged"), text("ANALYZE decided")

_DECIDE = text(f"""
    CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
    SELECT s.key, j.id AS job_id, j.state AS was, CASE
        WHEN j.id IS NULL THEN 'new'
        WHEN j.fingerprint IS NOT DISTINCT FROM s.fingerprint THEN CASE
            WHEN j.state = 'failed' OR j.reason = 'superseded' THEN 'retried'
            WHEN j.state = 'rejected' AND :retry_rejected THEN 'retried'
            WHEN j.state IN ('rejected', 'canceled', 'held') THEN 'left'
            ELSE 'unchanged' END
        WHEN j.state IN ('succeeded', 'failed', 'rejected', 'canceled') THEN 'changed'
        WHEN j.state = 'queued' AND {unclaimed("j")} THEN 'changed'
        ELSE 'in_work' END AS verdict
    FROM staged s LEFT JOIN jobs j ON j.batch_id = :batch_id AND j.key = s.key
""")

# What may be None says its type, or the database would have to guess it.
_TERMS = (bindparam("priority", type_=Integer), bindparam("deadline", type_=DateTime(timezone=True)))

_ONLY = text("""
    UPDATE decided SET verdict = 'left_out' WHERE verdict IN ('new', 'retried', 'changed') AND verdict <> ALL(:only)
""")

_INSERT = text(f"""
    INSERT INTO jobs ({columns(_OF_JOBS)}, batch_id, priority, expires_at)
    SELECT {columns(_OF_JOBS, "s")}, :batch_id, coalesce(:priority, 0), :deadline
    FROM staged s JOIN decided d USING (key) WHERE d.verdict = 'new' ORDER BY s.line
""").bindparams(*_TERMS)

# Not a move of the state machine, which knows no way back from success: the row is another job under the same key.
_BEGIN_ANEW = text(f"""
    WITH locked AS (
        SELECT j.*, d.was, d.verdict FROM jobs j JOIN decided d ON d.job_id = j.id
        WHERE d.verdict IN ('retried', 'changed') ORDER BY j.id FOR UPDATE OF j
    ), beginning AS (
        SELECT locked.*, greatest(former_attempts, (SELECT max(number) FROM attempts WHERE job_id = locked.id)) AS made
        FROM locked
        WHERE state = was AND (was <> 'queued' OR {unclaimed("locked")})
    ), kept AS (
        INSERT INTO versions (job_id, version, last_attempt, {columns((*ASKED, *ENDING))})
        SELECT id, version, made, {columns((*ASKED, *ENDING))} FROM beginning WHERE verdict = 'changed'
    ), begun AS (
        UPDATE jobs SET
            {taken_from("s", (*ASKED, "lane"))},
            state = 'queued', reason = NULL, error = NULL, claimed_until = NULL, not_before = NULL, started_at = NULL,
            finished_at = NULL, priority = coalesce(:priority, jobs.priority), expires_at = :deadline,
            version = jobs.version + (verdict = 'changed')::int, erased_at = NULL,
            former_attempts = CASE WHEN verdict = 'changed' THEN made ELSE jobs.former_attempts END
        FROM beginning JOIN staged s USING (key) WHERE jobs.id = beginning.id
        RETURNING jobs.key, was
    ), missed AS (
        UPDATE decided SET verdict = 'in_work'
        WHERE verdict IN ('retried', 'changed') AND key NOT IN (SELECT key FROM begun)
    )
    SELECT was, count(*) AS number FROM begun GROUP BY was
""").bindparams(*_TERMS)

# Nobody waits for a late answer to what the row asked for before; should one come, it moves the former version only.
_FORGET_LATE = text("""
    UPDATE attempts SET next_poll_at = NULL, callback_token = NULL
    WHERE state = 'expired' AND job_id IN (SELECT job_id FROM decided WHERE verdict = 'changed')
""")

# Metadata decide nothing of the picture, and a catalog's folder may have moved: both are carried over without more ado.
_CARRIED = (*ROLES, "options", "extra")
_REFRESHED = (*_CARRIED, "lane", "priority", "expires_at")
_REFRESH = text(f"""
    UPDATE jobs SET {taken_from("w", _REFRESHED)}
    FROM (
        SELECT j.id, {columns(_CARRIED, "s")},
            -- A job that somebody paused, or sent to another account than its row says, stays so.
            CASE WHEN ({columns(PINS, "j")}) IS DISTINCT FROM ({columns(PINS, "s")}) THEN j.lane
                WHEN starts_with(j.lane, '{PARKED}') THEN '{PARKED}' || s.lane
                ELSE s.lane END AS lane,
            CASE WHEN j.state = 'queued' THEN coalesce(:priority, j.priority) ELSE j.priority END AS priority,
            CASE WHEN j.state = 'queued' THEN coalesce(:deadline, j.expires_at) ELSE j.expires_at END AS expires_at
        FROM decided d JOIN staged s USING (key) JOIN jobs j ON j.id = d.job_id
        WHERE d.verdict IN ('unchanged', 'left')
    ) w
    WHERE jobs.id = w.id AND ({columns(_REFRESHED, "jobs")}) IS DISTINCT FROM ({columns(_REFRESHED, "w")})
""").bindparams(*_TERMS)

_QUEUED_IDS = text("""
    SELECT coalesce(d.job_id, s.id) FROM decided d JOIN staged s USING (key) WHERE d.verdict = ANY(:queued) ORDER BY 1
""")
_TALLY = text("""
    SELECT verdict, count(*) AS number, sum(cost) AS cost FROM decided JOIN staged USING (key) GROUP BY verdict
""")


def enqueue(
    runtime: Runtime,
    intake: Intake,
    *,
    max_cost: Decimal | None = None,
    max_in_flight: int | None = None,
    label: str | None = None,
    retry_rejected: bool = False,
    only: Collection[Only] = (),
    priority: int | None = None,
    deadline: datetime | None = None,
    keep_days: int | None = None,
    first: Callable[[Session, int], None] | None = None,
) -> Enqueued:
    """Put a checked catalog into its batch and wake whoever can work on it.

    Args:
        runtime: the deployment.
        intake: the checked catalog.
        max_cost: most money the batch may spend; None keeps the limit it has.
        max_in_flight: most jobs of the batch at providers at the same time; None keeps the limit it has.
        label: a word of the asker's for the batch; None keeps the one it has.
        retry_rejected: whether rows that a provider refused are tried again.
        only: which rows are queued, of those that would be; all where it is empty.
        priority: of the rows that are queued now or wait already: higher ones go first; None keeps theirs, or 0.
        deadline: they are not sent after it; None is none, and keeps that of rows that wait already.
        keep_days: after which the pictures of ended jobs are removed; None keeps what the batch has, or for good.
        first: called with the batch's id in the transaction that enqueues, before it does; what it raises stops all.

    Raises:
        CatalogError: `max_cost` is given and an operation has no price.
    """
    if max_cost is not None and intake.estimate.unpriced:
        raise CatalogError(
            f"--max-cost: there is no price for {', '.join(sorted(intake.estimate.unpriced))} in "
            f"{runtime.settings.accounts_file}; money that is not counted cannot be limited"
        )
    batch = {
        "name": intake.name,
        "label": label,
        "max_cost": max_cost,
        "max_in_flight": max_in_flight,
        "keep_days": keep_days,
    }
    batch_id = runtime.db(_batch, batch)
    terms = {"batch_id": batch_id, "priority": priority, "deadline": deadline}

    def work(session: Session) -> Enqueued:
        if first is not None:
            first(session, batch_id)
        return _merge(session, runtime, intake, terms, retry_rejected, only)

    enqueued = runtime.db(work)
    serving = (
        account.name for account in runtime.accounts.values()
        if any(lane_operation(lane, account) for lane in intake.estimate.lanes)
    )  # fmt: skip
    wake(runtime, *map(submit_pump, serving))
    return enqueued


def decide(
    session: Session, intake: Intake, batch_id: int | None, *, retry_rejected: bool = False, only: Collection[Only] = ()
) -> None:
    """Copy the rows into `staged` and what is to become of each into `decided`, for the rest of the transaction."""
    _be_patient(session)
    session.execute(_STAGE)
    _copy(session, intake)
    session.execute(_ANALYZE_STAGED)
    session.execute(_DECIDE, {"batch_id": batch_id, "retry_rejected": retry_rejected})
    if only:
        session.execute(_ONLY, {"only": [_VERDICTS[each] for each in only]})
    session.execute(_ANALYZE_DECIDED)


def _be_patient(session: Session) -> None:
    session.execute(_PATIENCE)
    be_patient(session.connection(), _PATIENCE_MINUTES * 60)


def _batch(session: Session, batch: Mapping[str, Any]) -> int:
    return int(session.execute(_BATCH, batch).scalar_one())


def _merge(
    session: Session,
    runtime: Runtime,
    intake: Intake,
    terms: Mapping[str, Any],
    retry_rejected: bool,
    only: Collection[Only],
) -> Enqueued:
    _be_patient(session)
    session.execute(_ONE_AT_A_TIME, {"name": intake.name})
    decide(session, intake, terms["batch_id"], retry_rejected=retry_rejected, only=only)
    change: Counter[str] = Counter()
    for row in session.execute(_BEGIN_ANEW, terms):
        change[row.was] -= row.number
        change[JobState.QUEUED] += row.number
    session.execute(_FORGET_LATE)
    session.execute(_REFRESH, terms)
    change[JobState.QUEUED] += session.execute(_INSERT, terms).rowcount  # type: ignore[attr-defined]
    add_to_batch(session, terms["batch_id"], change)
    held = 0
    if hold.watches(session):
        ids = session.execute(_QUEUED_IDS, {"queued": sorted(QUEUED)}).scalars().all()
        held = hold.hold(session, runtime.accounts, runtime.settings.max_attempts, ids).jobs
    tally = {row.verdict: row for row in session.execute(_TALLY)}
    return Enqueued(
        terms["batch_id"],
        intake.name,
        **{verdict: row.number for verdict, row in tally.items()},
        held=held,
        cost=sum((row.cost for verdict, row in tally.items() if verdict in QUEUED), Decimal(0)),
    )


#: The verdicts that queue a row.
QUEUED = frozenset({"new", "retried", "changed"})
_VERDICTS = {Only.NEW: "new", Only.CHANGED: "changed", Only.FAILED: "retried"}


def _copy(session: Session, intake: Intake) -> None:
    connection = session.connection().connection.driver_connection
    if connection is None:
        raise RuntimeError("the session has lost its connection")
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY staged ({', '.join(SPOOLED)}) FROM STDIN WITH (NULL '')") as copy,
    ):
        for chunk in intake.chunks():
            copy.write(chunk)
