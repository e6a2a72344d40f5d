"""Bulk operations by people and programs: what each would change and cost, and the change with its audit row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import jobs_of, note
from desk.limits import higher_limit
from models.people import Role
from models.states import JobState
from recast.errors import InvalidJobError
from recast.money import Money
from reports.batch import BatchReport, find
from reports.obstacles import spent_limit
from reports.written import priced
from workers.config.accounts import Account
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter, ids_of
from workers.operations import bulk
from workers.operations.bulk import Ended, Rerouted
from workers.operations.costs import Line, at_most, promised
from workers.operations.redownload import downloadable


class BulkOperation(StrEnum):
    """What can be done to many jobs at once without paying."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Impact:
    """The jobs that an operation is about to change, and their cost."""

    ids: Sequence[str]
    #: The most that the queued jobs can cost, and what those at providers cost already.
    lines: Sequence[Line]
    paid: Sequence[Line] = ()
    #: How many of the jobs were paid for, and could be downloaded again at no cost.
    free: int = 0
    #: When each of the jobs ended, where they are to be queued again.
    ended: Ended = field(default_factory=dict)

    @property
    def cost(self) -> Decimal:
        """The sum of `lines`."""
        return sum((line.cost for line in self.lines), Decimal(0))

    def document(self, verb: str, currency: str, *, dry_run: bool, done: int, **more: object) -> dict[str, Any]:
        """As the commands print it."""
        return {
            "bulk_operation": verb, "dry_run": dry_run, "jobs": len(self.ids), "done": done,
            "cost": Money(self.cost, currency),
            "lines": priced([asdict(line) for line in self.lines], currency),
            "paid": priced([asdict(line) for line in self.paid], currency),
            "downloadable": self.free, **more,
        }  # fmt: skip


def impact(runtime: Runtime, operation: BulkOperation, which: Filter, *, abandon: bool = False) -> Impact:
    """What the operation would change now."""
    if operation is BulkOperation.RESUME:
        ids = runtime.db(bulk.paused, which)
        return Impact(ids, at_most_of(runtime, ids))
    states = bulk.CANCELABLE if operation is BulkOperation.CANCEL else bulk.PAUSABLE
    ids = runtime.db(ids_of, which.only(states))
    others = runtime.db(ids_of, which.only(bulk.ABANDONABLE)) if abandon else []
    paid = runtime.db(promised, Filter(ids=others)) if others else []
    return Impact(sorted([*ids, *others]), at_most_of(runtime, ids), paid)


def apply(
    runtime: Runtime, actor: Actor, operation: BulkOperation, which: Filter, found: Impact, *, abandon: bool = False
) -> tuple[int, dict[str, Any]]:
    """Make the change: the number of jobs, and what else there is to say of it.

    Raises:
        ForbiddenError: `actor` is not an operator.
    """
    actor.need(Role.OPERATOR, f"{operation} jobs")
    more: dict[str, Any] = {}
    if operation is BulkOperation.CANCEL:
        done = bulk.cancel(runtime, found.ids, abandon=abandon)
    else:
        moved = (bulk.pause if operation is BulkOperation.PAUSE else bulk.resume)(runtime, which)
        done = moved.jobs if operation is BulkOperation.PAUSE and not moved.batches else len(found.ids)
        more = {"batches": len(moved.batches)} if moved.batches else {}
        if operation is BulkOperation.PAUSE:
            more["still_being_sent"] = dict(runtime.db(bulk.sending, moved.batches))
        elif spent := [runtime.db(find, name) for name in runtime.db(bulk.spent_batches, which)]:
            more["need_a_limit"] = needed(runtime, spent)
    said = {name: value for name, value in which.named.items() if name != "ids"}
    runtime.db(note, actor, operation.value, jobs_of(which.batch), **said, jobs=done, abandon=abandon or None)
    return done, more


def set_priority(runtime: Runtime, actor: Actor, which: Filter, found: Impact, priority: int) -> int:
    """Give queued jobs another priority within their batch; how many have it now.

    Raises:
        ForbiddenError: `actor` is not an operator.
    """
    actor.need(Role.OPERATOR, "set priorities")
    done = bulk.set_priority(runtime, found.ids, priority)
    runtime.db(note, actor, "set-priority", jobs_of(which.batch), priority=priority, jobs=done)
    return done


def reroute(runtime: Runtime, actor: Actor, which: Filter, to: Account, *, dry_run: bool) -> tuple[Rerouted, Impact]:
    """Send queued jobs to account `to`, where that makes none of them dearer than it may be where it can go now.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: they may cost more there, or what they may cost is not known.
    """
    actor.need(Role.OPERATOR, "reroute jobs")
    possible = bulk.reroute(
        runtime, runtime.db(ids_of, replace(which, states=[JobState.QUEUED])), to, dry_run=True
    )  # fmt: skip
    found, before = Impact(possible.ids, possible.lines), Impact(possible.ids, at_most_of(runtime, possible.ids))
    if not all(line.priced for line in possible.lines) or found.cost > before.cost:
        there, here = (Money(each.cost, runtime.settings.currency) for each in (found, before))
        raise InvalidJobError(
            "to", f"at {to.name!r} the jobs may cost {there}, and {here} where they can go now; allowed: an account "
            "where they are not dearer",
        )  # fmt: skip
    if not dry_run:
        possible = bulk.reroute(runtime, possible.ids, to)
        runtime.db(note, actor, "reroute", jobs_of(which.batch), to=to.name, jobs=len(possible.ids))
    return possible, found


def retryable_states(which: Filter) -> Sequence[str]:
    """The states whose jobs are queued again: failed ones, unless the filter names others.

    Raises:
        InvalidJobError: the filter names a state that cannot be retried.
    """
    states: Sequence[str] = which.states or [JobState.FAILED]
    if wrong := [state for state in states if state not in bulk.RETRYABLE]:
        raise InvalidJobError("state", f"{wrong[0]!r} jobs cannot be retried; allowed: {', '.join(bulk.RETRYABLE)}")
    return states


def retryable(runtime: Runtime, which: Filter, as_ended: Ended | None = None) -> Impact:
    """The jobs that can be queued again, which pays again; with `as_ended`, those alone that have not moved since.

    Raises:
        InvalidJobError: the filter names a state that cannot be retried.
    """
    ended = runtime.db(bulk.retryable, replace(which, states=retryable_states(which)))
    if as_ended is not None:
        ended = {job_id: at for job_id, at in ended.items() if at == as_ended[job_id]}
    ids = list(ended)
    free = len(runtime.db(downloadable, Filter(ids=ids))) if ids else 0
    return Impact(ids, at_most_of(runtime, ids), free=free, ended=ended)


def retry(runtime: Runtime, actor: Actor, which: Filter, found: Impact) -> int:
    """Queue jobs again, as `retryable` found them; how many were queued.

    Raises:
        ForbiddenError: `actor` is not an operator.
    """
    actor.need(Role.OPERATOR, "retry jobs")
    done = bulk.retry(runtime, found.ended)
    said = {name: value for name, value in which.named.items() if name != "ids"}
    runtime.db(note, actor, "retry", jobs_of(which.batch), **said, jobs=done)
    return done


def raise_limit(runtime: Runtime, actor: Actor, report: BatchReport, given: str) -> None:
    """Give a batch that has spent its limit a higher one, so that it can be resumed.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: it is not an amount, or is spent already.
    """
    actor.need(Role.OPERATOR, "raise limits")
    limit = higher_limit(given, report, runtime.settings.currency)

    def work(session: Session) -> None:
        bulk.raise_limit(session, report.name, limit.amount)
        note(session, actor, "resume", f"batch {report.name}", max_cost=str(limit))

    runtime.db(work)


def at_most_of(runtime: Runtime, ids: Sequence[str]) -> list[Line]:
    """The most that the jobs can cost, with every attempt that may be paid."""
    return runtime.db(at_most, Filter(ids=ids), runtime.accounts, runtime.settings.tries.paid) if ids else []


def needed(runtime: Runtime, reports: Sequence[BatchReport]) -> Any:
    """What batches that have spent their limits need to go on, for JSON."""
    found = [(report.name, runtime.db(spent_limit, report, runtime.accounts)) for report in reports]
    documents = [{"batch": name, **asdict(need)} for name, need in found if need is not None]
    return priced(documents, runtime.settings.currency)
