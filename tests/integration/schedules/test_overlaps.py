"""Runs of a schedule that meet: the second is skipped, waits for the first, or cancels it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from catalog import fire as fire_module
from models.schedules import CatchUp, Overlap
from tests.integration.schedules.nightly import Clock, come_due, finish, run_of
from tests.unit.catalog.catalogs import swap, write_csv
from tests.words import unsaid
from workers.schedules import runs
from workers.schedules.tick import tick

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def met(
    database: Database, runtime: Runtime, add: Callable[..., str], tmp_path: Path
) -> Callable[[Overlap], list[int]]:
    """Two runs of a schedule: when the second is due one job of the first is done, one at a provider, one queued."""

    def make(overlap: Overlap) -> list[int]:
        write_csv(tmp_path / "three.csv", [swap("1"), swap("2"), swap("3")])
        add(overlap=overlap, catalog=tmp_path / "three.csv")
        first = come_due(database)
        fire_module.fire(runtime, first)
        for key, state in (("1", "succeeded"), ("2", "running")):
            database.sql(
                "UPDATE jobs SET state = :state, finished_at = CASE :state WHEN 'succeeded' THEN now() END"
                " WHERE key = :key", key=key, state=state,
            )  # fmt: skip
        database.sql("UPDATE batches SET queued = 1, running = 1, succeeded = 1 WHERE id > 0")
        return [first, come_due(database)]

    return make


def test_overlap_skip(
    database: Database, runtime: Runtime, met: Callable[[Overlap], list[int]], messages: Messages
) -> None:
    first, second = met(Overlap.SKIP)
    tick(runtime)
    fire_module.fire(runtime, second)

    assert run_of(database, first).state == "running"
    skipped = run_of(database, second)
    assert skipped.state == "skipped"
    assert f"{run_of(database, first).planned_at:%Y-%m-%d %H:%M:%S} UTC" in skipped.note
    assert database.one("SELECT count(*) FROM jobs") == 3


def test_overlap_queue(
    database: Database, runtime: Runtime, met: Callable[[Overlap], list[int]], messages: Messages
) -> None:
    first, second = met(Overlap.QUEUE)
    third = come_due(database)
    messages.clear()
    tick(runtime)
    fire_module.fire(runtime, second)
    assert messages == []
    assert [run_of(database, run).state for run in (first, second, third)] == ["running", "due", "due"]

    finish(database)
    finish(database, only="running")
    tick(runtime)
    assert [args for _, args, _ in messages] == [(second,)], "in their order, one at a time"
    fire_module.fire(runtime, third)
    fire_module.fire(runtime, second)
    assert [run_of(database, run).state for run in (first, second, third)] == ["done", "running", "due"]


def test_overlap_cancel(
    database: Database, runtime: Runtime, met: Callable[[Overlap], list[int]], tmp_path: Path
) -> None:
    first, second = met(Overlap.CANCEL)
    write_csv(tmp_path / "three.csv", [swap("1"), swap("2"), swap("3"), swap("4")])
    assert database.run(runs.claim, second) is not None
    jobs = {row.key: (row.state, row.reason) for row in database.sql("SELECT key, state, reason FROM jobs")}
    assert jobs == {"1": ("succeeded", None), "2": ("running", None), "3": ("canceled", "superseded")}
    former = run_of(database, first)
    assert (former.state, former.outcome) == ("canceled", {"succeeded": 1, "canceled": 1})
    assert unsaid(former.note, "2026-06-01 01:00:00 UTC") == []

    database.sql("UPDATE schedule_runs SET claimed_until = NULL")
    fire_module.fire(runtime, second)
    assert run_of(database, second).enqueued == {"new": 1, "retried": 1, "unchanged": 2}
    assert database.counts(former.batch_id) == {"succeeded": 1, "running": 1, "queued": 2}


def test_a_run_that_is_canceled_while_it_is_read_enqueues_nothing(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add(overlap=Overlap.CANCEL)
    first = come_due(database)
    reading = database.run(runs.claim, first)
    assert reading is not None
    second = come_due(database)
    fire_module.fire(runtime, second)

    with pytest.raises(runs.NotDueError):
        fire_module._enqueue(runtime, reading)
    assert [run_of(database, run).state for run in (first, second)] == ["canceled", "running"]


def test_two_runs_that_meet_in_their_locks(
    database: Database, runtime: Runtime, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later run waits for the one that is being enqueued, and then cancels what that has queued."""
    add(overlap=Overlap.CANCEL)
    first = come_due(database)
    claimed_first = database.run(runs.claim, first)
    assert claimed_first is not None
    second = come_due(database)
    waiting = []

    def begin(session: Session, run: int, batch: int) -> None:
        runs.begin(session, run, batch)
        waiting.append(database.aside(database.run, runs.claim, second))
        database.wait_for_a_waiter()

    with monkeypatch.context() as patch:
        patch.setattr(fire_module, "begin", begin)
        fire_module._enqueue(runtime, claimed_first)
    assert waiting[0].result(30) is not None

    assert run_of(database, first).state == "canceled"
    assert [row.state for row in database.sql("SELECT state FROM jobs")] == ["canceled", "canceled"]


def test_runs_that_are_all_made_up_for_wait_for_each_other(
    database: Database, runtime: Runtime, add: Callable[..., str], messages: Messages
) -> None:
    clock = Clock(datetime(2026, 6, 1, tzinfo=UTC))
    add(cron="0 * * * *", catch_up=CatchUp.ALL, overlap=Overlap.SKIP, clock=clock)
    clock.now += timedelta(hours=3, minutes=30)
    runs = []
    for _ in range(3):
        messages.clear()
        tick(runtime, clock)
        (run_id,) = [args[0] for task, args, _ in messages if task == "fire"]
        fire_module.fire(runtime, run_id)
        finish(database)
        runs.append(run_of(database, run_id))
    tick(runtime, clock)

    assert [run.planned_at.hour for run in runs] == [1, 2, 3]
    assert {run_of(database, run.id).state for run in runs} == {"done"}
