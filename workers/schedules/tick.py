"""The tick: it creates the runs of planned times that have passed, starts runs, and ends those that are over.

Any number of ticks may run at once. A schedule's row is locked while its planned times are turned into runs and its
`next_at` moves on, in one transaction, and the pair of schedule and planned time is unique: no time is passed over, and
none has two runs. The clock is the database's; tests hand in their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from kombu.exceptions import OperationalError
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.fragments import unclaimed
from models.schedules import RUN_MOVES, CatchUp, Overlap, RunState
from models.spend import spent_by
from workers.engine import leases
from workers.engine.runtime import Runtime
from workers.messaging.app import app
from workers.schedules.cron import CronSchedule, ScheduleError, due

MESSAGE_SECONDS = 10  # a message to start a run that waited longer would only repeat the next tick's

#: The database's time, read within a transaction.
Clock = Callable[[Session], datetime]

log = structlog.get_logger()


def database_clock(session: Session) -> datetime:
    """The database's time."""
    return leases.now(session)


def tick(runtime: Runtime, clock: Clock = database_clock) -> None:
    """Do once what is due."""
    for name, planned_at in runtime.db(end_settled):
        log.info("schedule_run_done", schedule=name, planned_at=planned_at.isoformat())
    for name, planned_at, state in runtime.db(plan, clock):
        log.info("schedule_run_planned", schedule=name, planned_at=planned_at.isoformat(), state=state)
    for run_id in runtime.db(_startable):
        start(run_id)


def start(run_id: int) -> None:
    """Send the message that makes a worker start a due run; the next tick repeats a lost one."""
    try:
        app.send_task("fire", args=[run_id], retry=False, ignore_result=True, expires=MESSAGE_SECONDS)
    except OperationalError as error:
        log.warning("schedule_run_not_published", run=run_id, error=str(error))


# --- Planned times ------------------------------------------------------------------------------------------------

_COME = text("""
    SELECT name, cron, zone, overlap, catch_up, catch_up_seconds, next_at FROM schedules
    WHERE next_at <= :now AND paused_at IS NULL AND (cast(:only AS text) IS NULL OR name = :only)
    ORDER BY name FOR NO KEY UPDATE SKIP LOCKED
""")
_INSERT = text("""
    INSERT INTO schedule_runs (schedule, planned_at, overlap, missed, state, note, finished_at)
    VALUES (:schedule, :planned_at, :overlap, :missed, :state, :note,
            CASE WHEN :state = 'skipped' THEN clock_timestamp() END)
    ON CONFLICT (schedule, planned_at) DO NOTHING RETURNING schedule, planned_at, state
""")
_MOVE_ON = text("UPDATE schedules SET next_at = :next_at WHERE name = :name")


def plan(session: Session, clock: Clock, only: str | None = None) -> list[tuple[str, datetime, str]]:
    """Create the runs of all planned times that have passed, of every schedule or of `only` one; what was made.

    Schedules that another tick is planning are skipped.
    """
    now = clock(session)
    made: list[tuple[str, datetime, str]] = []
    for schedule in session.execute(_COME, {"now": now, "only": only}).all():
        try:
            runs, next_at = _runs(schedule, now)
        except ScheduleError as error:
            # It was checked when it was added; a zone may be unknown on this machine only.
            log.error("schedule_unusable", schedule=schedule.name, error=str(error))  # noqa: TRY400 - no defect of ours
            continue
        for run in runs:
            made += [tuple(row) for row in session.execute(_INSERT, {"schedule": schedule.name, **run})]
        session.execute(_MOVE_ON, {"name": schedule.name, "next_at": next_at})
    return made


def _runs(schedule: Row[Any], now: datetime) -> tuple[list[dict[str, Any]], datetime]:
    """The runs to make of a schedule, and its next planned time."""
    policy = CatchUp(schedule.catch_up)
    cron_schedule = CronSchedule(schedule.cron, schedule.zone, kept=True)
    found = due(cron_schedule, schedule.next_at, now, policy, timedelta(seconds=schedule.catch_up_seconds))
    # Runs that are all made up for wait for each other: else every one but the first would be skipped or canceled.
    late = Overlap.QUEUE.value if policy is CatchUp.ALL else schedule.overlap
    runs = [
        {
            "planned_at": planned, "overlap": late if place < found.made_up else schedule.overlap, "missed": 0,
            "state": RunState.DUE.value, "note": None,
        }
        for place, planned in enumerate(found.times)
    ]  # fmt: skip
    if runs:
        runs[0]["missed"] = len(found.missed)
    elif found.missed:
        runs.append(
            {
                "planned_at": found.missed[-1], "overlap": schedule.overlap, "missed": len(found.missed) - 1,
                "state": RunState.SKIPPED.value,
                "note": f"no tick ran at its time, and the schedule's catch-up is {policy}",
            }
        )  # fmt: skip
    return runs, found.next_at


# --- Starting and ending ------------------------------------------------------------------------------------------

_STARTABLE = text(f"""
    SELECT r.id FROM schedule_runs r JOIN schedules s ON s.name = r.schedule
    WHERE r.state = 'due' AND {unclaimed("r")}
      AND (s.paused_at IS NULL OR r.by_hand)
      AND (r.overlap <> 'queue' OR NOT EXISTS (
          SELECT 1 FROM schedule_runs f
          WHERE f.schedule = r.schedule AND f.state IN ('due', 'running') AND f.planned_at < r.planned_at))
    ORDER BY r.planned_at
""")

# Held jobs wait for a decision, not for a worker, so they do not keep a run open.
_SETTLED = text("""
    SELECT r.id FROM schedule_runs r LEFT JOIN batches b ON b.id = r.batch_id
    WHERE r.state = 'running' AND coalesce(b.queued + b.running + b.saving, 0) = 0
    ORDER BY r.id FOR UPDATE OF r SKIP LOCKED
""")

_END = text(f"""
    UPDATE schedule_runs r SET
        state = :state, note = coalesce(:note, note), finished_at = clock_timestamp(), claimed_until = NULL,
        cost = CASE WHEN r.batch_id IS NOT NULL THEN {spent_by("r.batch_id")} - r.spent_before END,
        outcome = CASE WHEN r.batch_id IS NOT NULL THEN (
            SELECT coalesce(jsonb_object_agg(state, number), '{{}}') FROM (
                SELECT state, count(*) AS number FROM jobs
                WHERE batch_id = r.batch_id AND finished_at >= r.started_at GROUP BY state
            ) ended) END
    WHERE id = ANY(:ids) AND state = ANY(:origins)
    RETURNING schedule, planned_at
""")


def end_settled(session: Session) -> Sequence[tuple[str, datetime]]:
    """End the runs that have no open job; their schedules and planned times."""
    ids = list(session.execute(_SETTLED).scalars())
    return end(session, ids, RunState.DONE) if ids else []


def end(session: Session, ids: Sequence[int], state: RunState, note: str | None = None) -> list[tuple[str, datetime]]:
    """Move runs to an end, with what they cost and how their jobs did; those over already stay as they are."""
    origins = [was.value for was, nexts in RUN_MOVES.items() if state in nexts]
    rows = session.execute(_END, {"ids": list(ids), "state": state.value, "note": note, "origins": origins})
    return [(row.schedule, row.planned_at) for row in rows]


def _startable(session: Session) -> list[int]:
    return list(session.execute(_STARTABLE).scalars())
