"""What keeps a batch from continuing, and what a person can do about it, in the same words wherever it is said.

A spent limit, a pause, stopped accounts, no worker, jobs that wait for a decision: `obstacles` is what the commands and
the web pages ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import seconds_ago, since
from models.states import LASTING_CLOSURES, JobState, PauseReason
from recast.hints import hint
from recast.money import Money, plain
from reports.archives import archived_batch
from reports.batch import BatchReport
from reports.queued import queued_lanes
from reports.text import duration, paused, probing, stopped, waiting_for_decision
from workers.accounts import admission
from workers.config.account_values import AccountsError
from workers.config.accounts import Account, load
from workers.counted import counted
from workers.jobs.filters import Filter
from workers.jobs.lanes import WAITING, holds, lane_operation
from workers.operations.costs import at_most

UNSERVED_SECONDS = 60.0  # past which a pump that is due runs on no worker: the sweep wakes it again within seconds

_UNSAVED = text("""
    SELECT count(*) AS number, (array_agg(error ORDER BY not_before DESC))[1] AS why FROM jobs
    WHERE batch_id = :id AND state = 'saving' AND error IS NOT NULL AND not_before > clock_timestamp()
""")
_UNSERVED = text(f"""
    SELECT max({since("least(wake_at, until)")}) FROM leases
    WHERE name = ANY(:pumps) AND least(wake_at, until) < {seconds_ago("cast(:seconds AS float8)")}
      AND (until IS NULL OR until < clock_timestamp())
""")


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
            f"{counted(self.waiting, 'job', 'wait')}; a limit of {Money(self.needed, currency)} pays for one "
            "attempt of each"
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
    lanes = queued_lanes(session, report.id)
    if not lanes:
        return None  # they have moved since the report was read
    served = [lane for lane in lanes if not holds(lane)]
    if not served and any(WAITING in lane for lane in lanes):
        return (
            f"the pilot is done, and the other jobs wait, unsent: {hint('pilot', report.name)} says what they may cost"
        )
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
    starts = ", ".join(hint("accounts resume", name) for name in states)
    return f"{stops} (settle the cause, then run {starts})"


def waits_for(session: Session, report: BatchReport, accounts: Mapping[str, Account]) -> list[str]:
    """The accounts that may take the batch's queued jobs and do not now, each with why and with what was answered."""
    lanes = queued_lanes(session, report.id)
    notes, found = admission.notes(session), []
    for name in _servers(lanes, accounts):
        state = admission.read(session, name)
        if state.failures or state.closed_for is not None:
            note = notes[name].closed
            now = stopped(state.closed_reason, state.until, note) if state.closed_for is not None else None
            found.append(f"account {name}: {now or probing(state.failures, note)}")
    return found


def obstacles(
    session: Session, report: BatchReport, accounts: Mapping[str, Account] | None, currency: str
) -> list[str]:
    """Why a batch does not continue, and what to do: one sentence for each cause; none if it can, or has ended.

    Of an archived batch: where it is.

    Args:
        session: of the database.
        report: the batch.
        accounts: those of the accounts file, or None where this process cannot read it: then less is known.
        currency: the deployment's.
    """
    if report.archived_at is not None and (archived := archived_batch(session, batch_id=report.id)) is not None:
        return [str(archived)]
    found = []
    if report.counts[JobState.QUEUED] and report.counts[JobState.QUEUED] == report.open:
        found += _of_queued(session, report, accounts, currency)
    if report.counts[JobState.SAVING]:
        found += _of_saving(session, report)
    if held := report.counts[JobState.HELD]:
        found.append(f"{waiting_for_decision(held)}: {hint('resolve', batch=report.name)}")
    return found


def _of_saving(session: Session, report: BatchReport) -> list[str]:
    """Why results that were paid for are not saved yet."""
    row = session.execute(_UNSAVED, {"id": report.id}).one()
    if not row.number:
        return []
    jobs = counted(row.number, "result", "are")
    return [f"{jobs} paid for and not saved yet; workers try again until they are ({row.why})"]


def accounts_for_obstacles(path: Path) -> Mapping[str, Account] | None:
    """The accounts of a file for a process that needs none of their secrets; None if it cannot read the file."""
    try:
        return load(path, needed=())
    except AccountsError:
        return None


def _of_queued(
    session: Session, report: BatchReport, accounts: Mapping[str, Account] | None, currency: str
) -> list[str]:
    if accounts is None:
        return [paused(report.paused_reason)] if report.paused_reason is not None else []
    if (person := needs_person(session, report, accounts, currency)) is not None:
        return [person]
    if found := waits_for(session, report, accounts):
        return found
    lanes = queued_lanes(session, report.id)
    # Their names are those that `workers.engine.wake.submit_pump` makes.
    pumps = [f"submit:{name}" for name in _servers(lanes, accounts)]
    late = session.execute(_UNSERVED, {"pumps": pumps, "seconds": UNSERVED_SECONDS}).scalar()
    if late is None:
        return []
    advice = f"start workers, as {hint('up')} does, or read their logs"
    return [f"no worker has taken its queued jobs for {duration(late)}; {advice}"]


def _servers(lanes: Iterable[str], accounts: Mapping[str, Account]) -> list[str]:
    """The accounts that may take jobs of `lanes`."""
    names = {each.name for lane in lanes for each in accounts.values() if lane_operation(lane, each) is not None}
    return sorted(names)


def _lasts(found: admission.AdmissionState) -> bool:
    return found.closed_for is not None and found.closed_reason in LASTING_CLOSURES
