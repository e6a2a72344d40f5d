"""Events of verdicts for webhooks, written by the transaction that gives them.

    result.reviewed     a verdict counts for its picture; one that is taken back is an event too
    batch.reviewed      this verdict was the last one missing in its batch

A batch is reviewed when a verdict about an undecided job leaves no other one undecided. So it is so once, and once more
for each time that a picture became undecided since: by taking back, a redo, a changed row or a new picture.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import newest_verdict
from reports.cards import UNDECIDED
from workers.jobs.outbox import BATCH_REVIEWED, HEARD, RESULT_REVIEWED, WANTED

# The picture is a list of one, as jobs' events have theirs: it gets its address, and goes when the person is forgotten.
_RESULTS = text(f"""
    INSERT INTO deliveries (webhook_id, event, data)
    SELECT w.id, '{RESULT_REVIEWED}', jsonb_build_object(
        'result', r.id, 'job', j.id, 'batch', nullif(b.name, ''), 'key', j.key, 'verdict', v.verdict,
        'reasons', v.reasons, 'reviewer', v.person, 'undo', v.undoes IS NOT NULL, 'reviewed_at', v.at,
        'used', coalesce(said.chosen = r.id, false), 'job_verdict', said.verdict,
        'results', jsonb_build_array(jsonb_build_object('index', r.index, 'key', r.key, 'sha256', r.sha256,
            'size', r.size, 'media_type', r.media_type, 'width', r.width, 'height', r.height)))
    FROM results r JOIN jobs j ON j.id = r.job_id JOIN batches b ON b.id = j.batch_id
    JOIN reviews said ON said.job_id = j.id
    JOIN LATERAL {newest_verdict("r.id", "verdict, reasons, person, undoes, at")} v ON true
    JOIN webhooks w ON '{RESULT_REVIEWED}' = ANY(w.events)
    WHERE r.id = ANY(:ids) AND {WANTED}
    ORDER BY r.id
""")
_ASKED_FOR = text(f"""
    SELECT EXISTS (
        SELECT FROM webhooks w CROSS JOIN batches b
        WHERE b.id = :batch_id AND b.id > 0 AND '{BATCH_REVIEWED}' = ANY(w.events) AND {WANTED}
    )
""")
# The last lock of a transaction: of two that decide the last two pictures, the second sees what the first one wrote.
_ONE_AFTER_ANOTHER = text(f"SELECT pg_advisory_xact_lock(hashtext('{BATCH_REVIEWED}'), :batch_id)")


def _left(beyond: str) -> str:
    return f"""EXISTS (
        SELECT FROM jobs j WHERE j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq {beyond} :seq
            AND j.erased_at IS NULL AND {UNDECIDED}
    )"""


# People go forward, so that the next undecided job is near, and nearly always the answer.
_BATCH = text(f"""
    INSERT INTO deliveries (webhook_id, event, data)
    SELECT w.id, '{BATCH_REVIEWED}', jsonb_build_object(
        'batch', b.name, 'verdicts', jsonb_build_object('approved', said.approved, 'needs_work', said.needs_work),
        'open', b.queued + b.running + b.saving, 'held', b.held, 'created_at', b.created_at,
        'reviewed_at', clock_timestamp())
    FROM batches b CROSS JOIN webhooks w CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE verdict = 'approved') AS approved,
            count(*) FILTER (WHERE verdict = 'needs_work') AS needs_work
        FROM reviews JOIN jobs ON jobs.id = reviews.job_id AND jobs.state = 'succeeded'
        WHERE reviews.batch_id = b.id
    ) said
    WHERE b.id = :batch_id AND '{BATCH_REVIEWED}' = ANY(w.events) AND {WANTED}
        AND NOT {_left(">=")} AND NOT {_left("<")}
""")

#: Whether any webhook exists; for a statement that runs anyway.
IS_HEARD = HEARD


def announce(session: Session, batch_id: int, result_ids: Collection[int], decided: int | None = None) -> None:
    """Note that the newest verdicts of these pictures count; what counts for their jobs is written already.

    Args:
        session: the transaction of the verdicts; nothing else is locked in it afterwards.
        batch_id: the batch of the pictures.
        result_ids: the pictures.
        decided: the place of a job that was undecided before, and no longer is; None if there is none.
    """
    session.execute(_RESULTS, {"ids": sorted(result_ids)})
    asked = {"batch_id": batch_id}
    if decided is None or not session.execute(_ASKED_FOR, asked).scalar_one():
        return
    session.execute(_ONE_AFTER_ANOTHER, asked)
    session.execute(_BATCH, {**asked, "seq": decided})
