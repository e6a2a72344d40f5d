"""Runs of schedules that programs ask for: what a run may cost counts against its token's limit of a day.

Both happen in one transaction, under the lock of the schedule: what is counted is what the run may cost.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk import tokens
from desk.actors import Actor
from desk.audit import note
from models.people import Role
from models.schedules import Overlap
from recast.errors import InvalidJobError
from workers.engine.runtime import Runtime
from workers.schedules import service as schedules
from workers.schedules.tick import end_settled, start

_OPEN = text("""
    SELECT EXISTS (SELECT FROM schedule_runs WHERE schedule = :name AND state IN ('due', 'running'))
""")


class NotRunError(Exception):
    """The schedule is not run now, and nothing was counted; the message says why."""


def run(runtime: Runtime, actor: Actor, token_id: int, name: str) -> schedules.ScheduleStatus:
    """Run a schedule now; the most that a run of it may cost is counted.

    Raises:
        ForbiddenError: `actor` is not an operator.
        UnknownScheduleError: there is no such schedule.
        InvalidJobError: nobody knows what a run may cost.
        SpendLimitError: the token has no limit of a day, or may not commit so much today.
        NotRunError: the run would be skipped, or there is one of this second.
    """
    actor.need(Role.OPERATOR, "run schedules")
    run_id, status = runtime.db(_run, actor, token_id, name, runtime.settings.currency)
    start(run_id)
    return status


def _run(
    session: Session, actor: Actor, token_id: int, name: str, currency: str
) -> tuple[int, schedules.ScheduleStatus]:
    schedules.lock(session, name)
    found = schedules.find(session, name)
    if found.options.max_cost is None:
        raise InvalidJobError(
            "name", f"{name!r} has no max_cost, so nobody knows what a run may cost; allowed: a schedule with max_cost"
        )
    tokens.charge_without_quote(session, token_id, found.options.max_cost, currency, quotable=False)
    end_settled(session)
    if found.overlap == Overlap.SKIP and session.execute(_OPEN, {"name": name}).scalar_one():
        raise NotRunError(
            f"a run of {name!r} has not ended, and its overlap is {found.overlap}: another one is skipped"
        )
    asked = schedules.run_now(session, name)
    if not asked.new:
        raise NotRunError(f"{name!r} has a run of this second; ask again in a second for another one")
    note(session, actor, "schedule run", f"schedule {name}", ceiling=str(found.options.max_cost))
    return asked.id, schedules.find(session, name)
