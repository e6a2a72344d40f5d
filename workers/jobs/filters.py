"""Which jobs are meant: the one way in which lists and levers say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

#: What every query with a filter selects from.
JOBS = "jobs j JOIN batches b ON b.id = j.batch_id"
#: The job's latest attempt, for queries that look at it.
LAST = """
    LEFT JOIN LATERAL (SELECT * FROM attempts WHERE job_id = j.id ORDER BY number DESC LIMIT 1) last ON true
"""

_CONDITIONS = {
    "ids": "j.id = ANY(:ids)",
    "batch": "b.name = :batch",
    "label": "b.label = :label",
    "states": "j.state = ANY(:states)",
    "account": "coalesce(last.account, j.account) = :account",
    "operation": "coalesce(last.operation, j.operation) = :operation",
    "reason": "j.reason = :reason",
    "older": "j.created_at < clock_timestamp() - :older * interval '1 second'",
    "newer": "j.created_at > clock_timestamp() - :newer * interval '1 second'",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are meant; None means no condition. Ages are seconds since a job came in."""

    ids: Sequence[str] | None = None
    batch: str | None = None
    #: Of the job's batch.
    label: str | None = None
    states: Sequence[str] | None = None
    #: Of the latest attempt, or what the asker pinned.
    account: str | None = None
    operation: str | None = None
    #: Why it ended, or was queued again.
    reason: str | None = None
    older: float | None = None
    newer: float | None = None

    @property
    def named(self) -> dict[str, Any]:
        """The conditions there are, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for name, value in values.items()
            if value is not None
        }

    @property
    def whole_batches(self) -> bool:
        """Whether whole batches are meant, with what will come into them yet."""
        return bool(self.named) and not self.named.keys() - {"batch", "label"}

    @property
    def jobs(self) -> str:
        """What to select from: `JOBS`, with `LAST` where a condition needs it."""
        return f"{JOBS} {LAST}" if self.account is not None or self.operation is not None else JOBS

    @property
    def where(self) -> str:
        """The conditions as SQL over `jobs`, with `named` as parameters."""
        return " AND ".join(_CONDITIONS[name] for name in self.named) or "true"


#: No condition at all.
EVERY = Filter()


def ids_of(session: Session, which: Filter, further: str = "true") -> list[str]:
    """The ids of the jobs that fit, in the order in which jobs are locked; `further` is a condition of our own."""
    query = text(f"SELECT j.id FROM {which.jobs} WHERE {which.where} AND {further} ORDER BY j.id")  # noqa: S608
    return list(session.execute(query, which.named).scalars())
