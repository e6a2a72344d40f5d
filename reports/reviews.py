"""What people approved of what was made, and what an approved picture costs.

Costs are those of all paid attempts, whatever came of them: a picture that nobody can use makes the others dearer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from sqlalchemy import Integer, bindparam, text
from sqlalchemy.orm import Session

from models.fragments import finished_attempt, is_paid
from models.states import OPEN_JOB_STATES, JobState
from models.verdicts import Verdict
from recast.money import DECIMALS
from reports.batch import BatchReport

_STEP = Decimal(1).scaleb(-DECIMALS)


class VerdictsBy(StrEnum):
    """What approved pictures and their costs are summed by."""

    ACCOUNT = "account"
    OPERATION = "operation"
    BATCH = "batch"
    LABEL = "label"


#: The name of each sum, of a batch `b` and an attempt `a`.
_NAMES: Mapping[VerdictsBy, str] = {
    VerdictsBy.ACCOUNT: "a.account",
    VerdictsBy.OPERATION: "a.operation",
    VerdictsBy.BATCH: "CASE WHEN b.id > 0 THEN b.name END",
    VerdictsBy.LABEL: "b.label",
}


def _sums(name: str) -> str:
    """SQL: money of paid attempts, and verdicts of the jobs' present or chosen pictures, by name."""
    return f"""
        WITH money AS (
            SELECT {name} AS name, a.cost FROM attempts a JOIN batches b ON b.id = a.batch_id
            WHERE (:batch_id IS NULL OR a.batch_id = :batch_id) AND {is_paid("a")}
        ), pictures AS (
            SELECT {name} AS name, coalesce(w.verdict, 'unreviewed') AS verdict
            FROM jobs j JOIN batches b ON b.id = j.batch_id
            LEFT JOIN reviews w ON w.job_id = j.id
            LEFT JOIN results c ON c.id = w.chosen
            LEFT JOIN attempts a ON a.id = coalesce(c.attempt_id, {finished_attempt("j.id")})
            WHERE (:batch_id IS NULL OR j.batch_id = :batch_id) AND j.state = 'succeeded'
        )
        SELECT name, sum(cost) AS spent, count(verdict) AS made,
            count(*) FILTER (WHERE verdict = 'approved') AS approved,
            count(*) FILTER (WHERE verdict = 'needs_work') AS needs_work,
            count(*) FILTER (WHERE verdict = 'unreviewed') AS unreviewed
        FROM (
            SELECT name, cost, NULL AS verdict FROM money UNION ALL SELECT name, 0 AS cost, verdict FROM pictures
        ) found GROUP BY name ORDER BY spent DESC, name
    """


_SUMS = {by: text(_sums(name)).bindparams(bindparam("batch_id", type_=Integer)) for by, name in _NAMES.items()}
# Kept by what writes verdicts, so that a million of them need not be counted.
_COUNTS = text("SELECT verdict, sum(number) AS number FROM verdict_counts WHERE batch_id = :batch_id GROUP BY verdict")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Jobs by what counts for them, and what was spent for all of them; `name` is None where there is no such name."""

    name: str | None
    made: int
    approved: int
    needs_work: int
    unreviewed: int
    spent: Decimal
    #: What was spent for each approved picture; None while there is none.
    per_approved: Decimal | None = field(init=False)

    def __post_init__(self) -> None:
        each = (self.spent / self.approved).quantize(_STEP, ROUND_HALF_UP) if self.approved else None
        object.__setattr__(self, "per_approved", each)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """The number of jobs with each verdict."""
        return {
            Verdict.UNREVIEWED: self.unreviewed, Verdict.APPROVED: self.approved, Verdict.NEEDS_WORK: self.needs_work
        }  # fmt: skip


class Part(StrEnum):
    """A part of a batch: each of its jobs is in one of the four."""

    MADE = "made"
    NEEDS_YOU = "needs_you"
    REJECTED = "rejected"
    WAITING = "waiting"


#: The states of the jobs in each part.
PARTS: Mapping[Part, Sequence[JobState]] = {
    Part.MADE: (JobState.SUCCEEDED,),
    Part.NEEDS_YOU: (JobState.HELD, JobState.FAILED),
    Part.REJECTED: (JobState.REJECTED, JobState.CANCELED),
    Part.WAITING: OPEN_JOB_STATES,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """The four numbers of a batch: how many of its jobs are in each part."""

    made: int
    needs_you: int
    rejected: int
    waiting: int


def progress(counts: Mapping[str, int]) -> Progress:
    """The four numbers, of a batch's number of jobs in each state."""
    return Progress(**{part.value: sum(counts[state] for state in states) for part, states in PARTS.items()})


def verdicts_of(session: Session, batch: BatchReport) -> Verdicts:
    """A whole batch; quick, whatever its size."""
    found = {row.verdict: int(row.number) for row in session.execute(_COUNTS, {"batch_id": batch.id})}
    made = batch.counts[JobState.SUCCEEDED]
    approved, needs_work = found.get(Verdict.APPROVED, 0), found.get(Verdict.NEEDS_WORK, 0)
    return Verdicts(batch.name, made, approved, needs_work, max(0, made - approved - needs_work), batch.spent)


def summed(session: Session, by: VerdictsBy, batch_id: int | None = None) -> Sequence[Verdicts]:
    """By account, operation, batch or label, the most expensive first; of one batch, or of everything."""
    rows = session.execute(_SUMS[by], {"batch_id": batch_id})
    return [Verdicts(row.name, row.made, row.approved, row.needs_work, row.unreviewed, row.spent) for row in rows]
