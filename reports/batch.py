"""A batch's progress: counts, spend, and jobs that ended badly."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from catalog.errors import UnknownBatchError
from models.fragments import columns, seconds_ago
from models.spend import spent_by
from models.states import OPEN_JOB_STATES, JobState, PauseReason
from recast.money import Money

#: States in which a job should not end, in the order in which reports list them.
BAD_STATES = (JobState.HELD, JobState.FAILED, JobState.REJECTED, JobState.CANCELED)
PACE_SECONDS = 30.0  # the period of the rate: long enough to be steady, short enough to notice a stop

#: SQL: whether a batch `b` has jobs that need a worker or a decision.
IS_OPEN = "b.archived_at IS NULL AND b.queued + b.running + b.saving + b.held > 0"


def batches_sql(condition: str = "true", order: str = "b.id DESC") -> str:
    """SQL: up to `:limit` batches `b` that meet `condition`, each a row that `report_of` reads."""
    return f"""
        SELECT b.id, b.name, b.label, b.max_cost, b.max_in_flight, b.paused_at, b.paused_reason, b.created_at,
            b.archived_at, {columns(JobState, "b")}, {spent_by("b.id")} AS spent
        FROM batches b WHERE b.id > 0 AND {condition} ORDER BY {order} LIMIT :limit
    """


_FIND = text(batches_sql("b.name = :name"))
_RECENT = text(batches_sql())
_RECENT_LABELLED = text(batches_sql("b.label = :label"))
_UNFINISHED = text(batches_sql(IS_OPEN))
# Their numbers have changed since the sweep counted them, or it has just done so.
_CHANGED = text(batches_sql(f"(b.counted_at IS NULL OR b.counted_at > {seconds_ago(':seconds')})"))
_NAMES = text("SELECT name FROM batches WHERE id > 0 ORDER BY id DESC LIMIT 1000")


_NAMED = text("SELECT name FROM batches WHERE id > 0 AND starts_with(name, :start) ORDER BY id DESC LIMIT :limit")


def _endings(order: str) -> str:
    return f"""
        SELECT id, key, state, reason, error, finished_at FROM jobs
        WHERE batch_id = :batch_id AND state = ANY(:states) ORDER BY {order} LIMIT :limit
    """


_FIRST_ENDINGS = text(_endings("seq"))
_LATEST_ENDINGS = text(_endings("finished_at DESC NULLS LAST, seq DESC"))


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch and the number of its jobs in each state."""

    id: int
    name: str
    counts: Mapping[str, int]
    spent: Decimal
    max_cost: Decimal | None
    paused_reason: PauseReason | None
    created_at: datetime
    #: The label that its owner gave it.
    label: str | None = None
    #: Maximum number of its jobs at providers at the same time.
    max_in_flight: int | None = None
    #: Since when its jobs are archived.
    archived_at: datetime | None = None

    @property
    def total(self) -> int:
        """All jobs of the batch."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Jobs that still need a worker."""
        return sum(self.counts[state] for state in OPEN_JOB_STATES)

    @property
    def settled(self) -> bool:
        """Whether no job needs a worker anymore."""
        return self.open == 0


@dataclass(frozen=True, slots=True)
class Ending:
    """A job that ended badly or waits for a decision."""

    id: str
    key: str
    state: str
    reason: str | None
    error: str | None
    finished_at: datetime | None


def find(session: Session, name: str) -> BatchReport:
    """The batch called `name`.

    Raises:
        UnknownBatchError: there is no such batch; the error names similar ones.
    """
    found = session.execute(_FIND, {"name": name, "limit": 1}).first()
    if found is None:
        names = session.execute(_NAMES).scalars()
        raise UnknownBatchError(name, difflib.get_close_matches(name, list(names)))
    return report_of(found)


def recent(session: Session, limit: int, label: str | None = None) -> list[BatchReport]:
    """The latest batches, newest first; only those with `label`, if given."""
    if label is None:
        rows = session.execute(_RECENT, {"limit": limit})
    else:
        rows = session.execute(_RECENT_LABELLED, {"limit": limit, "label": label})
    return [report_of(row) for row in rows]


def unfinished(session: Session, limit: int) -> list[BatchReport]:
    """The latest batches with jobs that need a worker or a decision, newest first."""
    return [report_of(row) for row in session.execute(_UNFINISHED, {"limit": limit})]


def changed(session: Session, seconds: float, limit: int) -> list[BatchReport]:
    """Batches whose numbers have changed within the last `seconds`, or since they were last counted, newest first."""
    return [report_of(row) for row in session.execute(_CHANGED, {"seconds": seconds, "limit": limit})]


def named(session: Session, start: str, limit: int) -> list[str]:
    """The names of the latest batches that begin with `start`."""
    return list(session.execute(_NAMED, {"start": start, "limit": limit}).scalars())


def endings(
    session: Session, batch_id: int, states: Sequence[str], limit: int, *, latest: bool = False
) -> list[Ending]:
    """Jobs of a batch in `states`: the first ones of the catalog, or with `latest` those that ended last."""
    rows = session.execute(
        _LATEST_ENDINGS if latest else _FIRST_ENDINGS, {"batch_id": batch_id, "states": list(states), "limit": limit}
    )
    return [Ending(**row._mapping) for row in rows]


def report_of(row: Row[Any]) -> BatchReport:
    """A row of `batches_sql`."""
    return BatchReport(
        id=row.id,
        name=row.name,
        counts={state.value: row._mapping[state.value] for state in JobState},
        spent=row.spent,
        max_cost=row.max_cost,
        paused_reason=PauseReason(row.paused_reason) if row.paused_at is not None else None,
        created_at=row.created_at,
        label=row.label,
        max_in_flight=row.max_in_flight,
        archived_at=row.archived_at,
    )


def document(report: BatchReport, currency: str, obstacles: Sequence[str]) -> dict[str, Any]:
    """A batch, with why it does not continue."""
    return {
        "batch": report.name,
        "label": report.label,
        "states": dict(report.counts),
        "settled": report.settled,
        "spent": Money(report.spent, currency),
        "max_cost": Money(report.max_cost, currency) if report.max_cost is not None else None,
        "max_in_flight": report.max_in_flight,
        "paused": report.paused_reason,
        "created_at": report.created_at,
        "obstacles": list(obstacles),
    }


class Pace:
    """The rate at which jobs end, measured over the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, now: float, ended: int) -> None:
        """Note that `ended` jobs had ended at `now` (seconds of any one clock)."""
        self._seen.append((now, ended))
        # The last count before the half minute stays: the rate is measured from there.
        while len(self._seen) > 1 and self._seen[1][0] <= now - PACE_SECONDS:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Jobs per second."""
        if not self._seen:
            return 0.0
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def seconds_for(self, jobs: int) -> float | None:
        """Seconds that `jobs` more will take at this rate; None while no job ends."""
        return jobs / self.rate if self.rate > 0 else None
