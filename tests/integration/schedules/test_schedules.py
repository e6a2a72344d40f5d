"""Schedules as people change them: paused and resumed, run now, replaced, removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from catalog import fire as fire_module
from tests.integration.schedules.nightly import MINUTE, Clock, come_due, fired, run_of
from tests.unit.workers.schedules.minute_walker import DAY
from tests.words import names
from workers.schedules import service
from workers.schedules.cron import CronSchedule, ScheduleError
from workers.schedules.service import Agreement
from workers.schedules.tick import tick

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]


def test_pause_and_resume(database: Database, runtime: Runtime, add: Callable[..., str], messages: Messages) -> None:
    clock = Clock(datetime(2026, 6, 1, tzinfo=UTC))
    add(clock=clock)
    clock.now += MINUTE
    paused = database.run(service.pause, "nightly", clock=clock)
    assert (paused.paused_at, paused.next_at) == (clock.now, None)
    assert len(fired(database, "nightly")) == 1, "what had come due before stays due"
    clock.now += DAY
    messages.clear()
    tick(runtime, clock)
    assert messages == [], "a paused schedule starts nothing"

    resumed = database.run(service.resume, "nightly", clock=clock)
    assert resumed.next_at == clock.now + MINUTE
    tick(runtime, clock)
    assert len(fired(database, "nightly")) == 1, "what passed meanwhile is not made up for"
    assert len(messages) == 1


def test_run_now_even_when_paused(database: Database, runtime: Runtime, add: Callable[..., str]) -> None:
    add()
    database.run(service.pause, "nightly")
    run_id = database.run(service.run_now, "nightly").id
    fire_module.fire(runtime, run_id)

    assert (run_of(database, run_id).state, run_of(database, run_id).by_hand) == ("running", True)


def test_names_are_taken_once_and_replaced_on_demand(database: Database, add: Callable[..., str]) -> None:
    add()
    come_due(database)
    with pytest.raises(ScheduleError, match=names("nightly", "--replace")):
        add()
    replaced = database.run(
        service.add, Agreement("nightly", "other.csv", CronSchedule("0 3 * * *", "Europe/Berlin")), replace=True
    )

    assert (replaced.catalog, replaced.zone) == ("other.csv", "Europe/Berlin")
    assert replaced.last is not None
    assert replaced.next_at is not None
    assert replaced.next_at.astimezone(CronSchedule("0 3 * * *", "Europe/Berlin").local).hour == 3
    with pytest.raises(ScheduleError, match=names("nightyl", "nightly")):
        database.run(service.find, "nightyl")


def test_a_removed_schedule_leaves_its_batch_and_jobs(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add()
    fire_module.fire(runtime, come_due(database))
    late = come_due(database)
    database.run(service.remove, "nightly")
    fire_module.fire(runtime, late)

    assert database.sql("SELECT 1 FROM schedule_runs") == []
    assert database.sql("SELECT name, schedule, queued FROM batches WHERE id > 0") == [("nightly", None, 2)]


def test_a_schedule_that_is_unusable_here_holds_up_no_other(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add("broken")
    add("sound")
    database.sql("UPDATE schedules SET next_at = date_trunc('minute', now())")
    database.sql("UPDATE schedules SET zone = 'Mars/Base' WHERE name = 'broken'")
    tick(runtime)

    assert database.sql("SELECT DISTINCT schedule FROM schedule_runs") == [("sound",)]
