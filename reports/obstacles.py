"""What keeps a batch from continuing: a spent limit, a pause, stopped accounts, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import LASTING_CLOSURES, JobState, PauseReason
from recast.hints import hint
from recast.money import Money, plain
from reports.batch import BatchReport
from reports.text import probing, stopped
from workers.accounts import admission
from workers.config.accounts import Account
from workers.jobs.filters import Filter
from workers.jobs.lanes import PARKED, lane_operation
from workers.operations.estimate import at_most

_QUEUED_LANES = text("SELECT DISTINCT lane FROM jobs WHERE batch_id = :id AND state = 'queued'")


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
