"""A batch's progress: counts, spend, jobs that ended badly, and whether it can continue without a person."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from catalog.errors import UnknownBatchError
from models.fragments import columns
from models.spend import spent_by
from models.states import LASTING_CLOSURES, OPEN_JOB_STATES, JobState, PauseReason
from recast.hints import hint
from recast.money import Money, plain
from reports.text import probing, stopped
from workers.accounts import admission
from workers.config.accounts import Account
from workers.jobs.filters import Filter
from workers.jobs.lanes import PARKED, lane_operation
from workers.operations.estimate import at_most

#: States in which a job should not end, in the order in which reports list them.
BAD_STATES = (JobState.HELD, JobState.FAILED, JobState.REJECTED, JobState.CANCELED)
PACE_SECONDS = 30.0  # the period of the rate: long enough to be steady, short enough to notice a stop


def _batches(condition: str = "true") -> str:
    return f"""
        SELECT b.id, b.name, b.label, b.max_cost, b.max_in_flight, b.paused_at, b.paused_reason, b.created_at,
            {columns(JobState, "b")}, {spent_by("b.id")} AS spent
        FROM batches b WHERE b.id > 0 AND {condition} ORDER BY b.id DESC LIMIT :limit
    """


_FIND = text(_batches("b.name = :name"))
_RECENT = text(_batches())
_RECENT_LABELLED = text(_batches("b.label = :label"))
_NAMES = text("SELECT name FROM batches WHERE id > 0 ORDER BY id DESC LIMIT 1000")


def _endings(order: str) -> str:
    return f"""
        SELECT id, key, state, reason, error, finished_at FROM jobs
        WHERE batch_id = :batch_id AND state = ANY(:states) ORDER BY {order} LIMIT :limit
    """


_FIRST_ENDINGS = text(_endings("seq"))
_LATEST_ENDINGS = text(_endings("finished_at DESC NULLS LAST, seq DESC"))
_QUEUED_LANES = text("SELECT DISTINCT lane FROM jobs WHERE batch_id = :id AND state = 'queued'")


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
    return _report(found)


def recent(session: Session, limit: int, label: str | None = None) -> list[BatchReport]:
    """The latest batches, newest first; only those with `label`, if given."""
    if label is None:
        rows = session.execute(_RECENT, {"limit": limit})
    else:
        rows = session.execute(_RECENT_LABELLED, {"limit": limit, "label": label})
    return [_report(row) for row in rows]


def endings(
    session: Session, batch_id: int, states: Sequence[str], limit: int, *, latest: bool = False
) -> list[Ending]:
    """Jobs of a batch in `states`: the first ones of the catalog, or with `latest` those that ended last."""
    rows = session.execute(
        _LATEST_ENDINGS if latest else _FIRST_ENDINGS, {"batch_id": batch_id, "states": list(states), "limit": limit}
    )
    return [Ending(**row._mapping) for row in rows]


@dataclass(frozen=True, slots=True)
class SpentLimit:
    """What a batch whose spending limit is spent needs to continue."""

    spent: Decimal
    limit: Decimal
    #: Jobs that wait, and the limit that pays for one attempt of each at its most expensive account.
    waiting: int
    needed: Decimal

    def text(self, currency: str) -> str:
        """What is the matter, in words."""
        return (
            f"the batch has spent {Money(self.spent, currency)} of its limit of {Money(self.limit, currency)}, and "
            f"{self.waiting:,} jobs wait; a limit of {Money(self.needed, currency)} pays for one attempt of each"
        )


def spent_limit(session: Session, report: BatchReport, accounts: Mapping[str, Account]) -> SpentLimit | None:
    """What the batch needs if its spending limit has stopped it; None if it has not."""
    if report.paused_reason is not PauseReason.BUDGET or report.max_cost is None:
        return None
    waiting = Filter(batch=report.name, states=[JobState.QUEUED])
    open_cost = sum((each.cost for each in at_most(session, waiting, accounts, paid_attempts=1)), Decimal(0))
    needed = max(report.spent + open_cost, report.max_cost)
    return SpentLimit(report.spent, report.max_cost, report.counts[JobState.QUEUED], needed)


def needs_person(session: Session, report: BatchReport, accounts: Mapping[str, Account], currency: str) -> str | None:
    """Why the batch's queued jobs cannot continue without a person, and what to do; None if they can.

    While jobs are running or being saved, the answer is None: they can end first.
    """
    if not report.counts[JobState.QUEUED] or report.counts[JobState.RUNNING] or report.counts[JobState.SAVING]:
        return None
    if (spent := spent_limit(session, report, accounts)) is not None:
        return f"{spent.text(currency)}: {hint('resume', batch=report.name, max_cost=plain(spent.needed))}"
    if report.paused_reason is not None:
        return f"the batch is paused; resume it with {hint('resume', batch=report.name)}"
    lanes = session.execute(_QUEUED_LANES, {"id": report.id}).scalars().all()
    if not lanes:
        return None  # they have moved since the report was read
    served = [lane for lane in lanes if not lane.startswith(PARKED)]
    if not served:
        return f"its queued jobs are paused; resume them with {hint('resume', batch=report.name)}"
    states = {name: admission.read(session, name) for name in _servers(served, accounts)}
    notes = admission.notes(session)
    if not all(_lasts(found) for found in states.values()):
        return None
    if not states:
        return "no account in the accounts file can take the queued jobs; add one, or reroute the jobs"
    stops = "; ".join(
        f"account {name}: {stopped(found.closed_reason, found.until, notes[name].closed)}"
        for name, found in states.items()
    )
    starts = ", ".join(hint("accounts start", name) for name in states)
    return f"{stops} (settle the cause, then run {starts})"


def waits_for(session: Session, report: BatchReport, accounts: Mapping[str, Account]) -> list[str]:
    """The accounts that may take the batch's queued jobs and do not now, each with why and with what was answered."""
    lanes = session.execute(_QUEUED_LANES, {"id": report.id}).scalars().all()
    notes, found = admission.notes(session), []
    for name in _servers(lanes, accounts):
        state = admission.read(session, name)
        if state.failures or state.closed_for is not None:
            note = notes[name].closed
            now = stopped(state.closed_reason, state.until, note) if state.closed_for is not None else None
            found.append(f"account {name}: {now or probing(state.failures, note)}")
    return found


def _servers(lanes: Iterable[str], accounts: Mapping[str, Account]) -> list[str]:
    """The accounts that may take jobs of `lanes`."""
    names = {each.name for lane in lanes for each in accounts.values() if lane_operation(lane, each) is not None}
    return sorted(names)


def _lasts(found: admission.AdmissionState) -> bool:
    return found.closed_for is not None and found.closed_reason in LASTING_CLOSURES


def _report(row: Row[Any]) -> BatchReport:
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
    )


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
