"""The lanes of a batch's queued jobs."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

# One probe of the index for each lane with queued jobs, instead of a walk over all of them.
_LANES = text("""
    WITH RECURSIVE lanes AS (
        (SELECT lane FROM jobs WHERE state = 'queued' ORDER BY lane LIMIT 1)
        UNION ALL
        SELECT (SELECT lane FROM jobs WHERE state = 'queued' AND lane > lanes.lane ORDER BY lane LIMIT 1)
        FROM lanes WHERE lane IS NOT NULL
    )
    SELECT lane FROM lanes WHERE EXISTS (
        SELECT FROM jobs WHERE state = 'queued' AND jobs.lane = lanes.lane AND batch_id = :id
    )
""")


def queued_lanes(session: Session, batch_id: int) -> list[str]:
    """They, with what holds jobs back."""
    return list(session.execute(_LANES, {"id": batch_id}).scalars())
