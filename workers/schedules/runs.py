"""The start of a run: which worker may, what happens to an earlier run, and the one transaction that starts it.

    claim    under the lock of the schedule's row: the overlap is decided, and no other worker reads the catalog
    begin    in the transaction that enqueues the catalog, and before it: due -> running, or the whole is rolled back

So a worker that is killed while it reads has done nothing, and a run that two workers read by chance is enqueued once.
Locks: the schedule, its runs, and then jobs and batches as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.fragments import seconds_from_now, unclaimed
from models.schedules import Overlap, RunState
from models.spend import spent_by
from models.states import JobState, Reason
from workers.jobs.run_options import RunOptions
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import clip, move_jobs
from workers.schedules.tick import end, end_settled

CLAIM_SECONDS = (
    180  # a million rows are read in a minute; another worker then claims the run, and the first to merge wins
)
MAX_TRIES = 5  # of workers that claim a run and neither begin nor fail it: something about it kills them
CHUNK = 2_000  # jobs canceled in one statement


class NotDueError(Exception):
    """Another worker has begun the run, or a later run or a person has ended it."""


@dataclass(frozen=True, slots=True)
class RunClaim:
    """A run that this worker has claimed, and may start."""

    run_id: int
    schedule: str
    planned_at: datetime
    catalog: str
    options: RunOptions

    @property
    def batch(self) -> str:
        """The name of the batch: the schedule's, so that rows that are done are left alone; or one of its own."""
        if not self.options.fresh:
            return self.schedule
        return f"{self.schedule}@{self.planned_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


_LOCK_SCHEDULE = text("""
    SELECT s.* FROM schedules s JOIN schedule_runs r ON r.schedule = s.name WHERE r.id = :id FOR NO KEY UPDATE OF s
""")
_LOCK_RUN = text(f"""
    SELECT id, planned_at, by_hand, overlap, tries FROM schedule_runs
    WHERE id = :id AND state = 'due' AND {unclaimed("schedule_runs")} FOR UPDATE
""")
_EARLIER_RUNS = """
    SELECT id, planned_at, batch_id FROM schedule_runs
    WHERE schedule = :schedule AND state IN ('due', 'running') AND planned_at < :planned_at
    ORDER BY planned_at
"""
_EARLIER = text(_EARLIER_RUNS)
_LOCK_EARLIER = text(f"{_EARLIER_RUNS} FOR UPDATE")
_CLAIM = text(f"""
    UPDATE schedule_runs SET claimed_until = {seconds_from_now(":seconds")}, tries = tries + 1 WHERE id = :id
""")


def claim(session: Session, run_id: int) -> RunClaim | None:
    """Take a due run, unless it is not its turn: then it stays due, or is skipped, by its overlap."""
    schedule = session.execute(_LOCK_SCHEDULE, {"id": run_id}).first()
    run = session.execute(_LOCK_RUN, {"id": run_id}).first()
    if schedule is None or run is None or (schedule.paused_at is not None and not run.by_hand):
        return None
    end_settled(session)
    earlier = session.execute(_EARLIER, {"schedule": schedule.name, "planned_at": run.planned_at}).all()
    if earlier and run.overlap == Overlap.QUEUE:
        return None
    if earlier and run.overlap == Overlap.SKIP:
        end(session, [run_id], RunState.SKIPPED, f"{_named(earlier[-1])} had not ended")
        return None
    if run.tries >= MAX_TRIES:
        note = f"{MAX_TRIES} workers started to read the catalog and did not finish; check their logs"
        end(session, [run_id], RunState.FAILED, note)
        return None
    if earlier:
        _take_over(session, schedule.name, run)
    session.execute(_CLAIM, {"id": run_id, "seconds": CLAIM_SECONDS})
    return RunClaim(run_id, schedule.name, run.planned_at, schedule.catalog, RunOptions.read(schedule.options))


def _named(run: Row[Any]) -> str:
    return f"the run of {run.planned_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


_SUPERSEDED = (JobState.CANCELED, Reason.SUPERSEDED)
_STILL_QUEUED = frozenset({JobState.QUEUED})
_QUEUED = text("SELECT id FROM jobs WHERE batch_id = :batch_id AND state = 'queued' ORDER BY id")


def _take_over(session: Session, schedule: str, run: Row[Any]) -> None:
    """Cancel what earlier runs have queued, and end them; jobs at a provider are paid for, and continue."""
    note = f"replaced by {_named(run)}"
    # Locked first, which waits for one that is just being enqueued: its batch is known then.
    earlier = session.execute(_LOCK_EARLIER, {"schedule": schedule, "planned_at": run.planned_at}).all()
    for former in earlier:
        ids = session.execute(_QUEUED, {"batch_id": former.batch_id}).scalars().all()
        for first in range(0, len(ids), CHUNK):
            move_jobs(session, [JobMove(id_, *_SUPERSEDED, note, _STILL_QUEUED) for id_ in ids[first : first + CHUNK]])
    end(session, [former.id for former in earlier], RunState.CANCELED, note)


_BEGIN = text(f"""
    UPDATE schedule_runs SET
        state = 'running', batch_id = :batch_id, started_at = clock_timestamp(), claimed_until = NULL,
        spent_before = {spent_by("cast(:batch_id AS int)")}
    WHERE id = :id AND state = 'due'
""")
_NOTE = text("UPDATE schedule_runs SET enqueued = cast(:enqueued AS jsonb) WHERE id = :id")
_MARK = text("""
    UPDATE batches SET schedule = :schedule, planned_at = CASE WHEN :fresh THEN cast(:planned_at AS timestamptz) END
    WHERE id = :batch_id AND EXISTS (SELECT 1 FROM schedules WHERE name = :schedule)
""")


def begin(session: Session, run_id: int, batch_id: int) -> None:
    """Move a run to running, in the transaction that then enqueues its catalog into a batch.

    Raises:
        NotDueError: it is not due any more, and nothing may be enqueued.
    """
    if not session.execute(_BEGIN, {"id": run_id, "batch_id": batch_id}).rowcount:  # type: ignore[attr-defined]
        raise NotDueError(run_id)


def note(session: Session, claimed: RunClaim, batch_id: int, enqueued: str) -> None:
    """Write down what became of the catalog's rows (JSON), and whose batch it is."""
    session.execute(_NOTE, {"id": claimed.run_id, "enqueued": enqueued})
    mark = {"schedule": claimed.schedule, "planned_at": claimed.planned_at, "fresh": claimed.options.fresh}
    session.execute(_MARK, {**mark, "batch_id": batch_id})


def fail(session: Session, run_id: int, message: str) -> None:
    """End a due run whose catalog cannot be used."""
    end(session, [run_id], RunState.FAILED, clip(message))
