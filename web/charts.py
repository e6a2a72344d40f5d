"""A batch's money and waiting over time, as figures and as lines to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

BINS = 48  # points of a line
SECONDS = 3  # that the database may think; a batch of a million attempts is drawn in two
WIDTH, HEIGHT = 480.0, 120.0  # of a drawing, in its own units
QUERY_CANCELED = "57014"

# Attempts are found by account and time, for which there is an index that submissions need anyway.
_SERIES = text("""
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
        coalesce(sum(cost) FILTER (WHERE state NOT IN ('refused', 'not_sent')), 0) AS cost,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY extract(epoch FROM finished_at - coalesce(accepted_at, sent_at))
        ) FILTER (WHERE state = 'done') AS waited
    FROM (SELECT *, width_bucket(extract(epoch FROM sent_at), first, last + 1, :bins) AS bin FROM mine, span) placed
    GROUP BY bin, first, last ORDER BY bin
""")


@dataclass(frozen=True, slots=True)
class Point:
    """What happened up to `at`, since the point before."""

    at: datetime
    #: All that was spent until then.
    spent: Decimal
    #: Seconds that half of the attempts, and 95 of 100, took from acceptance to the answer.
    median: float | None
    slow: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line to draw, its figures under it."""

    path: str
    area: str
    most: float
    last: float


def series(session: Session, batch_id: int) -> list[Point] | None:
    """The points of a batch; None where counting them would take too long."""
    session.execute(text(f"SET LOCAL statement_timeout = '{SECONDS}s'"))
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


def line(times: Sequence[datetime], values: Sequence[float | None], most: float | None = None) -> Line | None:
    """A line through the values that there are; None where nothing can be drawn."""
    known = [(time.timestamp(), value) for time, value in zip(times, values, strict=True) if value is not None]
    if not known:
        return None
    start, end = times[0].timestamp(), times[-1].timestamp()
    top = max(most or 0.0, *(value for _, value in known)) or 1.0
    placed = [
        ((time - start) / (end - start) * WIDTH if end > start else WIDTH, HEIGHT * (1 - value / top))
        for time, value in known
    ]
    if len(placed) == 1:
        placed.insert(0, (0.0, placed[0][1]))
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    area = f"{path} L{placed[-1][0]:.1f} {HEIGHT:g} L{placed[0][0]:.1f} {HEIGHT:g} Z"
    return Line(path, area, top, known[-1][1])
