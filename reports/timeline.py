"""A batch's spend and waiting over time, as figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from models.fragments import is_paid

BINS = 48  # points of a line


SECONDS = 3  # that the database may think; a batch of a million attempts is drawn in two


QUERY_CANCELED = "57014"


# Attempts are found by account and time, for which there is an index that submissions need anyway.
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


_HURRY = text(f"SET LOCAL statement_timeout = '{SECONDS}s'")


@dataclass(frozen=True, slots=True)
class Point:
    """What happened up to `at`, since the point before."""

    at: datetime
    #: All that was spent until then.
    spent: Decimal
    #: Seconds that half of the attempts, and 95 of 100, took from acceptance to the answer.
    median: float | None
    slow: float | None


def series(session: Session, batch_id: int) -> list[Point] | None:
    """The points of a batch; None where counting them would take too long."""
    session.execute(_HURRY)
    try:
        rows = session.execute(_SERIES, {"id": batch_id, "bins": BINS}).all()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != QUERY_CANCELED:
            raise
        session.rollback()
        return None
    points, spent = [], Decimal(0)
    for row in rows:
        spent += row.cost
        median, slow = row.waited or (None, None)
        points.append(Point(row.at, spent, median, slow))
    return points
