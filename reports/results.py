"""Pages of the results of a batch's jobs that have a picture, with the verdicts of people about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import finished_attempt, has_picture, newest_verdict

_PAGE = text(f"""
    SELECT r.id, r.job_id AS job, j.key, r.index, a.number AS attempt, r.sha256, r.size, r.media_type, r.width,
        r.height, r.created_at, r.attempt_id IS NOT DISTINCT FROM {finished_attempt("r.job_id")} AS present,
        w.chosen IS NOT DISTINCT FROM r.id AS chosen, coalesce(v.id, 0) AS verdict_id,
        coalesce(v.verdict, 'unreviewed') AS verdict, coalesce(v.reasons, '[]'::jsonb) AS reasons, v.note,
        v.person AS reviewer, v.at AS reviewed_at
    FROM (
        SELECT id, key, seq FROM jobs
        WHERE batch_id = :batch_id AND {has_picture("jobs")} AND seq >= coalesce(
            (SELECT o.seq FROM jobs o JOIN results p ON p.job_id = o.id WHERE p.id = :after), -1)
            AND EXISTS (SELECT FROM results x WHERE x.job_id = jobs.id)
        ORDER BY seq LIMIT cast(:limit AS bigint) + 1
    ) j JOIN results r ON r.job_id = j.id JOIN attempts a ON a.id = r.attempt_id
    LEFT JOIN reviews w ON w.job_id = j.id
    LEFT JOIN LATERAL {newest_verdict("r.id", "id, verdict, reasons, note, person, at")} v ON true
    WHERE (j.seq, r.id) > (
        coalesce((SELECT o.seq FROM jobs o JOIN results p ON p.job_id = o.id WHERE p.id = :after), -1), :after
    )
    ORDER BY j.seq, r.id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Listed:
    """A stored picture, and what people say of it."""

    id: int
    #: The id and the key of its job.
    job: str
    key: str | None
    index: int
    #: The number of the attempt that made it.
    attempt: int
    sha256: str
    size: int
    media_type: str
    width: int
    height: int
    created_at: datetime
    #: Whether it belongs to the present version of its job.
    present: bool
    #: Whether it is the picture of its job that is used.
    chosen: bool
    #: The number of its newest verdict, which the next one is based on; 0 without one.
    verdict_id: int
    verdict: str
    reasons: Sequence[str]
    note: str | None
    reviewer: str | None
    reviewed_at: datetime | None


def page(session: Session, batch_id: int, limit: int, after: int = 0) -> list[Listed]:
    """Results of a batch in the order of its jobs, those behind the one with the number `after`."""
    rows = session.execute(_PAGE, {"batch_id": batch_id, "after": after, "limit": limit})
    return [Listed(**row._mapping) for row in rows]
