"""Merging a checked catalog into its batch: one COPY into a staging table, then a few statements over all rows.

A row's job is found again by the batch's name and the row's key. What happens to it:

    row is new                                             inserted
    same inputs, job failed                                queued again
    same inputs, job rejected                              queued again if asked for
    same inputs, any other state                           left as it is
    other inputs, job queued or over                       begun anew with them; results of old attempts stay with those
    other inputs, job being prepared, running or held      left as it is, and told

Jobs are locked in the order of their ids and before the batch, as everywhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from catalog.intake import SPOOLED, Intake
from models.states import JobState
from workers.moves import add_to_batch
from workers.routing import lane_operation
from workers.runtime import Runtime
from workers.wake import submit_pump, wake


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
    #: What the queued rows cost at most if each is submitted once.
    cost: Decimal = Decimal(0)

    @property
    def queued(self) -> int:
        """How many rows were queued by this."""
        return self.new + self.retried + self.changed


# The batch is made and committed first: locking its row before the jobs' would be against the order of locks.
_BATCH = text("""
    INSERT INTO batches AS b (name, max_cost) VALUES (:name, :max_cost)
    ON CONFLICT (name) DO UPDATE SET
        max_cost = coalesce(excluded.max_cost, b.max_cost),
        -- To name a limit is to let the batch go on; where it is too low, the next submission pauses it again.
        paused_at = CASE WHEN excluded.max_cost IS NULL OR b.paused_reason IS DISTINCT FROM 'budget'
            THEN b.paused_at END,
        paused_reason = CASE WHEN excluded.max_cost IS NULL OR b.paused_reason IS DISTINCT FROM 'budget'
            THEN b.paused_reason END
    RETURNING id
""")

# A million rows take half a minute to copy and longer to merge; only this transaction may take so long.
_PATIENCE = text("SET LOCAL statement_timeout = '30min'")
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")

_STAGE = text("""
    CREATE TEMPORARY TABLE staged (
        line int, id text, key text, kind text, source text, target text, image text, prompt text, options jsonb,
        account text, provider text, operation text, lane text, fingerprint text, extra jsonb, cost numeric
    ) ON COMMIT DROP
""")

_DECIDE = text("""
    CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
    SELECT s.key, j.id AS job_id, j.state AS was, CASE
        WHEN j.id IS NULL THEN 'new'
        WHEN j.fingerprint IS NOT DISTINCT FROM s.fingerprint THEN CASE
            WHEN j.state = 'failed' OR (j.state = 'rejected' AND :retry_rejected) THEN 'retried'
            WHEN j.state IN ('rejected', 'canceled', 'held') THEN 'left'
            ELSE 'unchanged' END
        WHEN j.state IN ('succeeded', 'failed', 'rejected', 'canceled') THEN 'changed'
        WHEN j.state = 'queued' AND (j.claimed_until IS NULL OR j.claimed_until < clock_timestamp()) THEN 'changed'
        ELSE 'in_work' END AS verdict
    FROM staged s LEFT JOIN jobs j ON j.batch_id = :batch_id AND j.key = s.key
""")

_INSERT = text("""
    INSERT INTO jobs (id, batch_id, key, kind, source, target, image, prompt, options, account, provider, operation,
                      lane, fingerprint, extra)
    SELECT s.id, :batch_id, s.key, s.kind, s.source, s.target, s.image, s.prompt, s.options, s.account, s.provider,
           s.operation, s.lane, s.fingerprint, s.extra
    FROM staged s JOIN decided d USING (key) WHERE d.verdict = 'new' ORDER BY s.line
""")

# Not a move of the state machine, which knows no way back from success: the row is another job under the same key.
_BEGIN_ANEW = text("""
    WITH locked AS (
        SELECT j.id FROM jobs j JOIN decided d ON d.job_id = j.id
        WHERE d.verdict IN ('retried', 'changed') ORDER BY j.id FOR UPDATE OF j
    ), begun AS (
        UPDATE jobs SET
            kind = s.kind, source = s.source, target = s.target, image = s.image, prompt = s.prompt,
            options = s.options, account = s.account, provider = s.provider, operation = s.operation, lane = s.lane,
            fingerprint = s.fingerprint, extra = s.extra,
            state = 'queued', reason = NULL, error = NULL, claimed_until = NULL, not_before = NULL, started_at = NULL,
            finished_at = NULL
        FROM locked JOIN decided d ON d.job_id = locked.id JOIN staged s USING (key)
        WHERE jobs.id = locked.id AND jobs.state = d.was
          AND (d.was <> 'queued' OR jobs.claimed_until IS NULL OR jobs.claimed_until < clock_timestamp())
        RETURNING jobs.key, d.was
    ), missed AS (
        UPDATE decided SET verdict = 'in_work'
        WHERE verdict IN ('retried', 'changed') AND key NOT IN (SELECT key FROM begun)
    )
    SELECT was, count(*) AS number FROM begun GROUP BY was
""")

# A late answer to what the row asked for before must not become the picture of what it asks for now.
_FORGET_LATE = text("""
    UPDATE attempts SET next_poll_at = NULL, callback_token = NULL
    WHERE state = 'expired' AND job_id IN (SELECT job_id FROM decided WHERE verdict = 'changed')
""")

# Metadata decide nothing of the picture, and a catalog's folder may have moved: both are carried over without more ado.
_REFRESH = text("""
    UPDATE jobs SET extra = s.extra, source = s.source, target = s.target, image = s.image, options = s.options,
        lane = s.lane
    FROM decided d JOIN staged s USING (key)
    WHERE jobs.id = d.job_id AND d.verdict IN ('unchanged', 'left')
      AND (jobs.extra, jobs.source, jobs.target, jobs.image, jobs.options, jobs.lane)
          IS DISTINCT FROM (s.extra, s.source, s.target, s.image, s.options, s.lane)
""")

_TALLY = text("""
    SELECT verdict, count(*) AS number, sum(cost) AS cost FROM decided JOIN staged USING (key) GROUP BY verdict
""")


def enqueue(
    runtime: Runtime, intake: Intake, *, max_cost: Decimal | None = None, retry_rejected: bool = False
) -> Enqueued:
    """Put a checked catalog into its batch and wake whoever can work on it.

    Args:
        runtime: the deployment.
        intake: the checked catalog.
        max_cost: most money the batch may spend; None keeps the limit it has.
        retry_rejected: whether rows that a provider refused are tried again.

    Raises:
        CatalogError: `max_cost` is given and an operation has no price.
    """
    if max_cost is not None and intake.estimate.unpriced:
        raise CatalogError(
            f"--max-cost: there is no price for {', '.join(sorted(intake.estimate.unpriced))} in "
            f"{runtime.settings.accounts_file}; money that is not counted cannot be limited"
        )
    batch_id = runtime.db(_batch, intake.name, max_cost)
    enqueued = runtime.db(_merge, batch_id, intake, retry_rejected)
    for account in runtime.accounts.values():
        if any(lane_operation(lane, account) for lane in intake.estimate.lanes):
            wake(runtime, submit_pump(account.name))
    return enqueued


def _batch(session: Session, name: str, max_cost: Decimal | None) -> int:
    return int(session.execute(_BATCH, {"name": name, "max_cost": max_cost}).scalar_one())


def _merge(session: Session, batch_id: int, intake: Intake, retry_rejected: bool) -> Enqueued:
    session.execute(_PATIENCE)
    session.execute(_ONE_AT_A_TIME, {"name": intake.name})
    session.execute(_STAGE)
    _copy(session, intake)
    session.execute(text("ANALYZE staged"))
    session.execute(_DECIDE, {"batch_id": batch_id, "retry_rejected": retry_rejected})
    session.execute(text("ANALYZE decided"))
    change: Counter[str] = Counter()
    for row in session.execute(_BEGIN_ANEW):
        change[row.was] -= row.number
        change[JobState.QUEUED] += row.number
    session.execute(_FORGET_LATE)
    session.execute(_REFRESH)
    change[JobState.QUEUED] += session.execute(_INSERT, {"batch_id": batch_id}).rowcount  # type: ignore[attr-defined]
    add_to_batch(session, batch_id, change)
    tally = {row.verdict: row for row in session.execute(_TALLY)}
    return Enqueued(
        batch_id,
        intake.name,
        **{verdict: row.number for verdict, row in tally.items()},
        cost=sum((row.cost for verdict, row in tally.items() if verdict in _QUEUED), Decimal(0)),
    )


_QUEUED = frozenset({"new", "retried", "changed"})


def _copy(session: Session, intake: Intake) -> None:
    connection = session.connection().connection.driver_connection
    if connection is None:
        raise RuntimeError("the session has lost its connection")
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY staged ({', '.join(SPOOLED)}) FROM STDIN") as copy,
    ):
        for chunk in intake.chunks():
            copy.write(chunk)
