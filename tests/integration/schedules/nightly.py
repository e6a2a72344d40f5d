"""A schedule of two rows for tests: it comes due, and its jobs end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from workers.schedules.tick import plan

if TYPE_CHECKING:
    from tests.integration.database import Database

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
PRICES = {"prices": {"swap": "0.02 USD"}}


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self, _: Session) -> datetime:
        return self.now


def fired(database: Database, name: str) -> list[datetime]:
    """The planned times that have come due."""
    rows = database.sql(
        "SELECT planned_at FROM schedule_runs WHERE schedule = :name AND state = 'due' ORDER BY planned_at", name=name
    )
    return [row.planned_at for row in rows]


def come_due(database: Database, name: str = "nightly") -> int:
    """The id of a run that a tick has made; each is an hour later than the one before, and none follows by itself."""
    hours = database.one("SELECT count(*) FROM schedule_runs")
    clock = Clock(datetime(2026, 6, 1, tzinfo=UTC) + timedelta(hours=hours))
    database.sql("UPDATE schedules SET next_at = :now WHERE name = :name", now=clock.now, name=name)
    assert database.run(plan, clock) == [(name, clock.now, "due")]
    database.sql("UPDATE schedules SET next_at = '2100-01-01' WHERE name = :name", name=name)
    made: int = database.one("SELECT max(id) FROM schedule_runs")
    return made


def run_of(database: Database, run_id: int) -> Any:
    (run,) = database.sql("SELECT * FROM schedule_runs WHERE id = :id", id=run_id)
    return run


def finish(database: Database, *, state: str = "succeeded", only: str = "queued") -> None:
    """Let the jobs that are `only` end, with what each costs booked to its batch."""
    moved = database.sql(
        "UPDATE jobs SET state = :state, finished_at = clock_timestamp() WHERE state = :only RETURNING batch_id",
        state=state,
        only=only,
    )
    for row in moved:
        database.sql(f"UPDATE batches SET {only} = {only} - 1, {state} = {state} + 1 WHERE id = :id", id=row.batch_id)  # noqa: S608
        database.sql(
            "INSERT INTO spend (scope, period, amount) VALUES ('batch:' || :id, 'all', 0.02)"
            " ON CONFLICT (scope, period) DO UPDATE SET amount = spend.amount + 0.02",
            id=row.batch_id,
        )
