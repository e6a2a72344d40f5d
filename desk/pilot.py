"""The decision about a pilot: the jobs that wait are sent, or canceled, unpaid.

The decision is written first, and then the jobs are let go in portions. What a crash leaves behind, the same decision
again finishes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.verdicts import DeskError
from models.people import Role
from models.pilots import PilotDecision
from models.states import JobState
from recast.hints import hint
from reports.batch import BatchReport
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.lanes import IS_WAITING, WAITING
from workers.operations import bulk

_DECIDED = text("SELECT decision, decided_by FROM pilots WHERE batch_id = :batch_id FOR UPDATE")
_DECIDE = text("""
    UPDATE pilots SET decision = :decision, decided_at = clock_timestamp(), decided_by = :person
    WHERE batch_id = :batch_id AND decision IS NULL
""")
_WAITING = text(f"SELECT id FROM jobs WHERE batch_id = :batch_id AND {IS_WAITING} ORDER BY id")
_LET_GO = text(f"""
    UPDATE jobs SET lane = replace(lane, '{WAITING}', '')
    WHERE id IN (SELECT id FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE) AND {IS_WAITING}
    RETURNING state
""")


#: Looks at what waits, in the transaction that decides about it.
Agreed = Callable[[Session], None]


class PilotChoice(StrEnum):
    """What can be decided about a pilot."""

    GO_ON = "go_on"
    STOP = "stop"


class NoPilotError(DeskError):
    """The batch has no pilot."""

    def __init__(self, batch: str) -> None:
        super().__init__(f"batch {batch!r} has no pilot; {hint('run', 'CATALOG', pilot='1%')} makes one")


def go_on(
    runtime: Runtime, actor: Actor, batch: BatchReport, max_cost: Decimal | None = None, *, agreed: Agreed | None = None
) -> int:
    """Send the jobs that wait; how many.

    Args:
        runtime: the deployment.
        actor: who decides: an operator.
        batch: whose pilot it is.
        max_cost: a new spending limit of the batch, from now on.
        agreed: raises where what waits by now is not what was agreed to; nothing is decided then.

    Raises:
        ForbiddenError: the person may not.
        DeskError: the batch has no pilot, or it was stopped.
    """
    waiting = _decide(runtime, actor, batch, PilotDecision.WENT_ON, max_cost, agreed)
    let_go = sum(bulk.in_chunks(runtime, waiting, _let_go))
    wake(runtime, *map(submit_pump, runtime.accounts))
    return let_go


def stop(runtime: Runtime, actor: Actor, batch: BatchReport, *, agreed: Agreed | None = None) -> int:
    """Cancel the jobs that wait, which cost nothing; how many. The rest is as with `go_on`."""
    waiting = _decide(runtime, actor, batch, PilotDecision.STOPPED, None, agreed)
    canceled = bulk.cancel(runtime, waiting)
    sum(bulk.in_chunks(runtime, waiting, _let_go))
    return canceled


def _decide(
    runtime: Runtime, actor: Actor, batch: BatchReport, decision: PilotDecision, max_cost: Decimal | None,
    agreed: Agreed | None,
) -> list[str]:  # fmt: skip
    actor.need(Role.OPERATOR, "decide about a pilot")

    def work(session: Session) -> list[str]:
        found = session.execute(_DECIDED, {"batch_id": batch.id}).first()
        if found is None:
            raise NoPilotError(batch.name)
        if found.decision not in (None, decision):
            raise DeskError(f"the pilot of {batch.name!r} was decided already, by {found.decided_by}: {found.decision}")
        session.execute(_DECIDE, {"batch_id": batch.id, "decision": decision.value, "person": actor.name})
        if max_cost is not None:
            bulk.raise_limit(session, batch.name, max_cost)
        waiting = list(session.execute(_WAITING, {"batch_id": batch.id}).scalars())
        if agreed is not None:  # after they were read: it sees these at least, and those that came since
            agreed(session)
        action = "pilot go on" if decision is PilotDecision.WENT_ON else "pilot stop"
        note(session, actor, action, f"batch {batch.name}", jobs=len(waiting))
        return waiting

    return runtime.db(work)


def _let_go(session: Session, ids: Sequence[str]) -> int:
    """Let jobs wait no more; how many are sent by that, as one may have been canceled before."""
    return list(session.execute(_LET_GO, {"ids": list(ids)}).scalars()).count(JobState.QUEUED)
