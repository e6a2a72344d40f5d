"""A batch's spend and answer times over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.connection import StatementTimeoutError, within
from models.fragments import is_paid

BINS = 48  # points of a line


SECONDS = 3.0  # of the query at most; a batch of a million attempts takes two

# Finds attempts by account and time, with the index that submissions need anyway.
_SERIES = text(f"""
    WITH mine AS MATERIALIZED (
        SELECT a.sent_at, a.accepted_at, a.finished_at, a.cost, a.state
        FROM batches b CROSS JOIN accounts c CROSS JOIN LATERAL (
            SELECT * FROM attempts WHERE account = c.name AND created_at >= b.created_at AND batch_id = b.id
        ) a
        WHERE b.id = :id
    ), span AS (
        SELECT extract(epoch FROM min(sent_at)) AS first, extract(epoch FROM max(sent_at)) AS last FROM mine
    )
    SELECT to_timestamp(first + (last + 1 - first) * bin / :bins) AS at,
        coalesce(sum(cost) FILTER (WHERE {is_paid("placed")}), 0) AS cost,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY extract(epoch FROM finished_at - coalesce(accepted_at, sent_at))
        ) FILTER (WHERE state = 'done') AS waited
    FROM (SELECT *, width_bucket(extract(epoch FROM sent_at), first, last + 1, :bins) AS bin FROM mine, span) placed
    GROUP BY bin, first, last ORDER BY bin
""")


@dataclass(frozen=True, slots=True)
class Point:
    """What happened between the previous point and `at`."""

    at: datetime
    #: The whole spend until then.
    spent: Decimal
    #: Median and 95th percentile of the seconds from acceptance to the result.
    median: float | None
    slow: float | None


def series(session: Session, batch_id: int) -> list[Point] | None:
    """The points of a batch; None if the query takes too long."""
    try:
        with within(session, SECONDS):
            rows = session.execute(_SERIES, {"id": batch_id, "bins": BINS}).all()
    except StatementTimeoutError:
        session.rollback()
        return None
    points, spent = [], Decimal(0)
    for row in rows:
        spent += row.cost
        median, slow = row.waited or (None, None)
        points.append(Point(row.at, spent, median, slow))
    return points
