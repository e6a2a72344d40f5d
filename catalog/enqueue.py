"""The merge of a checked catalog into its batch: one COPY into a staging table, then a few statements over all rows.

The batch's name and the row's key identify a row's job. What happens to it:

    row is new                                             inserted
    same inputs, job failed or was superseded              queued again
    same inputs, job rejected                              queued again with `retry_rejected`
    same inputs, any other state                           unchanged
    other inputs, job queued or ended                      a new version of the job is queued; the old one is kept with
                                                           its attempts and results
    other inputs, job being prepared, running or held      unchanged, and counted as `in_work`

`RunOptions.only` narrows the first two and the fifth; the rows that it leaves out stay unchanged.

Jobs are locked in the order of their ids and before the batch, as everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog import pilot
from catalog.errors import SamePictureError
from catalog.intake import SPOOLED, Intake
from catalog.origin import OtherPlaceError, Places, elsewhere, refuse_archived
from catalog.refresh import REFRESH, TERMS
from catalog.released import require_releases
from models.connection import take_time
from models.fragments import UNCLAIMS, columns, taken_from, unclaimed
from models.jobs import ASKED, ENDING
from models.states import JobState
from workers.accounts.overrides import in_force
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pumps, wake
from workers.jobs.run_options import DEFAULTS, Only, RunOptions
from workers.jobs.transitions import add_to_batch
from workers.operations.redownload import FAILED, PAID
from workers.restore import hold


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of a catalog's rows."""

    batch_id: int
    name: str
    new: int = 0
    #: Failed (or rejected) before, and queued again.
    retried: int = 0
    #: Queued as a new version because the inputs changed.
    changed: int = 0
    unchanged: int = 0
    #: Rejected, canceled or held before, and not retried.
    left: int = 0
    #: Changed inputs, but the job is in progress.
    in_work: int = 0
    #: New, changed or failed, but left out by `only`.
    left_out: int = 0
    #: Rows to queue that wait for a decision instead: they may have been sent after the backup that was restored.
    held: int = 0
    #: Of the failed rows that were queued again, those whose results could have been downloaded at no cost.
    free: int = 0
    #: The sample that is sent first, and the jobs that wait, while the batch has an open pilot.
    sampled: pilot.Sampled | None = None
    #: The highest cost of the queued rows if each is submitted once.
    cost: Decimal = Decimal(0)
    #: The same if each of them is paid for as often as it may be, with redos of flagged pictures.
    at_most: Decimal = Decimal(0)
    #: That of what is sent without a further decision: all rows, or the sample of a pilot.
    sent_at_most: Decimal = Decimal(0)

    @property
    def queued(self) -> int:
        """The number of rows that were queued."""
        return self.new + self.retried + self.changed


# The batch is created and committed first: locking its row before the jobs' rows would violate the lock order.
_BATCH = text("""
    INSERT INTO batches AS b
        (name, label, max_cost, max_in_flight, redo_flagged, redo_each, redo_cap, keep_days, place)
    VALUES (:name, :label, :max_cost, :max_in_flight, :redo_flagged, :redo_each, :redo_cap, :keep_days, :place)
    ON CONFLICT (name) DO UPDATE SET
        label = coalesce(excluded.label, b.label), max_cost = coalesce(excluded.max_cost, b.max_cost),
        max_in_flight = coalesce(excluded.max_in_flight, b.max_in_flight),
        redo_flagged = coalesce(excluded.redo_flagged, b.redo_flagged),
        redo_each = coalesce(excluded.redo_each, b.redo_each), redo_cap = coalesce(excluded.redo_cap, b.redo_cap),
        keep_days = coalesce(excluded.keep_days, b.keep_days), place = coalesce(excluded.place, b.place),
        -- A new limit resumes the batch; if it is too low, the next submission pauses the batch again.
        paused_at = CASE WHEN excluded.max_cost IS NULL OR b.paused_reason IS DISTINCT FROM 'budget'
            THEN b.paused_at END,
        paused_reason = CASE WHEN excluded.max_cost IS NULL OR b.paused_reason IS DISTINCT FROM 'budget'
            THEN b.paused_reason END
    RETURNING id, coalesce(redo_cap, 0) AS redo_cap
""")

# A million rows take half a minute to copy and longer to merge; only this transaction may take that long.
_PATIENCE_SECONDS = 30 * 60
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

#: The columns of jobs that the spool has; the spool adds the line before them and two costs after them.
_OF_JOBS = ("id", "key", *ASKED, "lane")
_STAGE = text(f"""
    CREATE TEMPORARY TABLE staged ON COMMIT DROP AS
    SELECT 0 AS line, {columns(_OF_JOBS)}, 0.0 AS least, 0.0 AS cost, fingerprint AS former FROM jobs WITH NO DATA
""")
# Of what rows are found and grouped by: all 18 columns of a million rows take a third of a second.
_ANALYZE_STAGED, _ANALYZE_DECIDED = text("ANALYZE staged (key, lane)"), text("ANALYZE decided")

_DECIDE = text(f"""
    CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
    SELECT s.key, j.id AS job_id, j.state AS was, CASE
        WHEN j.id IS NULL THEN 'new'
        WHEN j.fingerprint IS NOT DISTINCT FROM s.fingerprint OR j.fingerprint = s.former THEN CASE
            WHEN j.state = 'failed' OR j.reason = 'superseded' THEN 'retried'
            WHEN j.state = 'rejected' AND :retry_rejected THEN 'retried'
            WHEN j.state IN ('rejected', 'canceled', 'held') THEN 'left'
            ELSE 'unchanged' END
        WHEN j.state IN ('succeeded', 'failed', 'rejected', 'canceled') THEN 'changed'
        WHEN j.state = 'queued' AND {unclaimed("j")} THEN 'changed'
        ELSE 'in_work' END AS verdict, s.cost AS price
    FROM staged s LEFT JOIN jobs j ON j.batch_id = :batch_id AND j.key = s.key
""")

_ONLY = text("""
    UPDATE decided SET verdict = 'left_out' WHERE verdict IN ('new', 'retried', 'changed') AND verdict <> ALL(:only)
""")

# Asked for those that are not new: of a catalog that runs for the first time, where there are most to insert, none are.
_INSERT = text(f"""
    INSERT INTO jobs ({columns(_OF_JOBS)}, batch_id, priority, expires_at)
    SELECT {columns(_OF_JOBS, "s")}, :batch_id, coalesce(:priority, 0), :deadline
    FROM staged s WHERE NOT EXISTS (SELECT FROM decided d WHERE d.key = s.key AND d.verdict <> 'new') ORDER BY s.line
""").bindparams(*TERMS)

# Not a transition of the state machine, which never leaves success: the row is another job under the same key.
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
    ), judged AS (DELETE FROM reviews WHERE job_id IN (SELECT id FROM beginning WHERE verdict = 'changed')
    ), begun AS (
        UPDATE jobs SET
            {taken_from("s", (*ASKED, "lane"))},
            state = 'queued', reason = NULL, error = NULL, {UNCLAIMS}, not_before = NULL, input_tries = 0,
            started_at = NULL, finished_at = NULL,
            priority = coalesce(:priority, jobs.priority), expires_at = :deadline,
            version = jobs.version + (verdict = 'changed')::int, erased_at = NULL, kept_attempt = NULL,
            former_attempts = CASE WHEN verdict = 'changed' THEN made ELSE jobs.former_attempts END
        FROM beginning JOIN staged s USING (key) WHERE jobs.id = beginning.id
        RETURNING jobs.key, was
    ), missed AS (
        UPDATE decided SET verdict = 'in_work'
        WHERE verdict IN ('retried', 'changed') AND key NOT IN (SELECT key FROM begun)
    )
    SELECT was, count(*) AS number FROM begun GROUP BY was
""").bindparams(*TERMS)

# A late answer to a former version is not polled for; if one arrives, it changes only the former version.
_FORGET_LATE = text("""
    UPDATE attempts SET next_poll_at = NULL, callback_token = NULL
    WHERE state = 'expired' AND job_id IN (SELECT job_id FROM decided WHERE verdict = 'changed')
""")

_SAME = text("SELECT key FROM decided WHERE key = ANY(:keys) AND verdict = ANY(:queued) ORDER BY key")
_FREE = text(f"""
    SELECT count(*) FROM decided d JOIN jobs j ON j.id = d.job_id {PAID} WHERE d.verdict = 'retried' AND {FAILED}
""")
_OTHER_WORK = text("""
    SELECT bool_or(verdict IN ('changed', 'in_work')) OR NOT bool_or(verdict IN ('unchanged', 'left', 'retried'))
    FROM decided
""")
_QUEUED_IDS = text("""
    SELECT coalesce(d.job_id, s.id) FROM decided d JOIN staged s USING (key) WHERE d.verdict = ANY(:queued) ORDER BY 1
""")
_COUNTS = text("""
    SELECT verdict, count(*) AS number, sum(price) AS cost FROM decided GROUP BY verdict
""")


def enqueue(
    runtime: Runtime,
    intake: Intake,
    options: RunOptions = DEFAULTS,
    *,
    first: Callable[[Session, int], None] | None = None,
    last: Callable[[Session, Enqueued], None] | None = None,
) -> Enqueued:
    """Put a checked catalog into its batch and wake the pumps of the accounts that can work on it.

    Args:
        runtime: the deployment.
        intake: the checked catalog.
        options: the run's options; for those not given, the batch keeps its values.
        first: called with the batch's id at the start of the transaction that enqueues; an error rolls everything back.
        last: called the same way at its end, with what became of the rows.

    Raises:
        CatalogError: the run has a spending limit and an operation has no price.
        OtherPlaceError: the batch was made from another place, and the run does not say that it is meant.
        SamePictureError: rows to queue put a picture that was found onto itself; they are in `intake.same`.
    """
    intake.price_at(runtime.db(in_force, runtime.accounts))
    intake.require_prices(options)
    if not options.moved and (places := runtime.db(other_place, intake, options)) is not None:
        raise OtherPlaceError(intake.name, places)
    terms = runtime.db(_terms, intake, options)

    def work(session: Session) -> Enqueued:
        if first is not None:
            first(session, terms["batch_id"])
        enqueued = _merge(session, runtime, intake, terms, options)
        if last is not None:
            last(session, enqueued)
        return enqueued

    enqueued = runtime.db(work)
    wake(runtime, *submit_pumps(runtime, intake.costs.lanes))
    return enqueued


def decide(session: Session, intake: Intake, batch_id: int | None, options: RunOptions = DEFAULTS) -> None:
    """Copy the rows into `staged` and what happens to each into `decided`, for the rest of the transaction."""
    take_time(session, _PATIENCE_SECONDS)
    refuse_archived(session, batch_id)
    session.execute(_STAGE)
    _copy(session, intake)
    session.execute(_ANALYZE_STAGED)
    session.execute(_DECIDE, {"batch_id": batch_id, "retry_rejected": options.retry_rejected})
    if options.only:
        session.execute(_ONLY, {"only": [_VERDICTS[each] for each in options.only]})
    session.execute(_ANALYZE_DECIDED)
    require_releases(session, intake.name, options.label)


def other_place(session: Session, intake: Intake, options: RunOptions = DEFAULTS) -> Places | None:
    """The two places, if the batch was made from another one and this run is not known to be its continuation."""
    found = elsewhere(session, intake.name, intake.place)
    if found is None:
        return None
    decide(session, intake, found.batch_id, options)
    return found if is_other_work(session) else None


def is_other_work(session: Session) -> bool:
    """Whether the rows in `decided` replace some of the batch, or have none in common with it.

    Otherwise a run from another place is the batch's own catalog, whose folder was moved.
    """
    return bool(session.execute(_OTHER_WORK).scalar())


def downloadable(session: Session) -> int:
    """How many of the rows that `decide` queues again were paid for, with results that can still be downloaded."""
    return int(session.execute(_FREE).scalar_one())


def same_pictures(session: Session, intake: Intake) -> list[str]:
    """The keys of rows that `decide` queues and whose source and target are the same picture."""
    if not intake.same:
        return []
    return list(session.execute(_SAME, {"keys": intake.same, "queued": sorted(QUEUED)}).scalars())


def _terms(session: Session, intake: Intake, options: RunOptions) -> Mapping[str, Any]:
    """The batch, and what the run's options say of it and of its rows; made here if it is new."""
    values = {
        "name": intake.name, "label": options.label, "max_cost": options.max_cost,
        "max_in_flight": options.max_in_flight, "redo_flagged": [*options.redo_flagged] or None,
        "redo_each": options.redo_each, "redo_cap": options.redo_cap,
        "keep_days": options.keep_days, "place": intake.place,
    }  # fmt: skip
    row = session.execute(_BATCH, values).one()
    return {
        "batch_id": row.id, "redo_cap": row.redo_cap, "priority": options.priority,
        "deadline": options.deadline_from(datetime.now(UTC)),
    }  # fmt: skip


def _merge(
    session: Session, runtime: Runtime, intake: Intake, terms: Mapping[str, Any], options: RunOptions
) -> Enqueued:
    take_time(session, _PATIENCE_SECONDS)
    session.execute(_ONE_AT_A_TIME, {"name": intake.name})
    decide(session, intake, terms["batch_id"], options)
    if same := same_pictures(session, intake):
        raise SamePictureError(intake.name, same)
    change, free = Counter[str](), downloadable(session)
    concerned = pilot.lock(session, terms["batch_id"], options.pilot)
    for row in session.execute(_BEGIN_ANEW, terms):
        change[row.was] -= row.number
        change[JobState.QUEUED] += row.number
    session.execute(_FORGET_LATE)
    session.execute(REFRESH, terms)
    change[JobState.QUEUED] += session.execute(_INSERT, terms).rowcount  # type: ignore[attr-defined]
    sampled = pilot.hold_back(session, terms["batch_id"], options.pilot) if concerned else None
    add_to_batch(session, terms["batch_id"], change)
    held = 0
    if hold.watches(session):
        ids = session.execute(_QUEUED_IDS, {"queued": sorted(QUEUED)}).scalars().all()
        held = hold.hold(session, runtime.accounts, runtime.settings.max_attempts, ids).jobs
    counts = {row.verdict: row for row in session.execute(_COUNTS)}
    cost = sum((row.cost for verdict, row in counts.items() if verdict in QUEUED), Decimal(0))
    redos = terms["redo_cap"] if QUEUED & counts.keys() else Decimal(0)
    return Enqueued(
        terms["batch_id"], intake.name, **{verdict: row.number for verdict, row in counts.items()},
        held=held, free=free, sampled=sampled, cost=cost, at_most=cost * runtime.settings.tries.paid + redos,
        sent_at_most=(cost if sampled is None else sampled.cost) * runtime.settings.tries.paid + redos,
    )  # fmt: skip


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
