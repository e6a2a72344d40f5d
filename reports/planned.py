"""Schedules with their next and latest runs, quick to read however many jobs the runs have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

_ALL = text("""
    SELECT s.name, s.catalog, s.cron, s.zone, s.paused_at, CASE WHEN s.paused_at IS NULL THEN s.next_at END AS next_at,
        last.planned_at, last.state, last.note, last.cost, last.batch_id
    FROM schedules s LEFT JOIN LATERAL (
        SELECT planned_at, state, note, cost, batch_id FROM schedule_runs WHERE schedule = s.name
        ORDER BY planned_at DESC LIMIT 1
    ) last ON true
    ORDER BY s.paused_at IS NOT NULL, s.next_at, s.name
""")


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule, when it fires next, and how its latest run went."""

    name: str
    catalog: str
    cron: str
    zone: str
    paused_at: datetime | None
    next_at: datetime | None
    #: Of the latest run; all None before the first.
    planned_at: datetime | None
    state: str | None
    note: str | None
    cost: Decimal | None
    batch_id: int | None


def planned(session: Session) -> Sequence[Planned]:
    """All schedules, the one that fires next first, and paused ones at the end."""
    return [Planned(**row._mapping) for row in session.execute(_ALL)]
