"""The outbox: events for webhooks, written by the transaction that makes them true, so that none is lost or invented.

    job.succeeded  job.failed  job.rejected  job.canceled  job.held     a job ended so
    batch.done                                                          no job of the batch is open any more
    result.reviewed  batch.reviewed                                     people decided; see `desk.reviewed`

An event is a row for each webhook that wants it; `workers.webhooks.deliver` sends them. What a row says is what was
true when it was written; its cost is a bare amount, to which the message adds the currency. A job whose end is revised
(a late answer, a retry) ends again, and a batch that was opened again is done again: then there is another event.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import finished_attempt, last_attempt, paid_for
from models.states import FINAL_JOB_STATES, JobState

BATCH_DONE = "batch.done"
RESULT_REVIEWED, BATCH_REVIEWED = "result.reviewed", "batch.reviewed"
EVENTS = (
    *(f"job.{state}" for state in JobState if state in FINAL_JOB_STATES), BATCH_DONE, RESULT_REVIEWED, BATCH_REVIEWED
)  # fmt: skip

#: Whether any webhook exists; a subquery for a statement that runs anyway, so that it costs no round trip.
HEARD = "EXISTS (SELECT 1 FROM webhooks WHERE disabled_at IS NULL)"

#: Whether a webhook `w` receives events of a batch `b`.
WANTED = "w.disabled_at IS NULL AND (w.batches = '{}' OR b.name = ANY(w.batches))"
_JOBS_ENDED = text(f"""
    INSERT INTO deliveries (webhook_id, event, data)
    SELECT w.id, 'job.' || j.state, jsonb_build_object(
        'job', j.id, 'batch', nullif(b.name, ''), 'key', j.key, 'kind', j.kind, 'state', j.state, 'reason', j.reason,
        'error', j.error, 'account', last.account, 'operation', last.operation, 'attempts', coalesce(last.number, 0),
        'cost', coalesce(paid.cost, 0)::text, 'created_at', j.created_at, 'finished_at', j.finished_at,
        'results', CASE WHEN j.state = 'succeeded' THEN found.results ELSE '[]' END, 'metadata', j.extra)
    FROM jobs j JOIN batches b ON b.id = j.batch_id JOIN webhooks w ON ('job.' || j.state) = ANY(w.events)
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation, number")} last ON true
    LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
    LEFT JOIN LATERAL (
        SELECT coalesce(jsonb_agg(jsonb_build_object('index', r.index, 'key', r.key, 'sha256', r.sha256, 'size', r.size,
            'media_type', r.media_type, 'width', r.width, 'height', r.height) ORDER BY r.index), '[]') AS results
        FROM results r WHERE r.attempt_id = {finished_attempt("j.id")}
    ) found ON true
    WHERE j.id = ANY(:ids) AND {WANTED}
""")

_COUNTS = ", ".join(f"'{state}', b.{state}" for state in JobState if state in FINAL_JOB_STATES)
_BATCH_DONE = text(f"""
    INSERT INTO deliveries (webhook_id, event, data)
    SELECT w.id, '{BATCH_DONE}', jsonb_build_object(
        'batch', b.name, 'counts', jsonb_build_object({_COUNTS}), 'created_at', b.created_at,
        'finished_at', clock_timestamp())
    FROM batches b CROSS JOIN webhooks w
    WHERE b.id = :id AND '{BATCH_DONE}' = ANY(w.events) AND {WANTED}
""")


def jobs_ended(session: Session, job_ids: Sequence[str]) -> None:
    """Note the ends of these jobs; their rows say already how they ended."""
    session.execute(_JOBS_ENDED, {"ids": list(job_ids)})


def batch_done(session: Session, batch_id: int) -> None:
    """Note that the batch's last open job has ended; its row is locked and its counts say so."""
    session.execute(_BATCH_DONE, {"id": batch_id})
