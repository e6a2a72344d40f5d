"""Runs of schedules, from a tick to their books: what they queue and cost, and with which options."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catalog import fire as fire_module
from tests.integration.schedules.nightly import HOUR, MINUTE, PRICES, Clock, come_due, finish, run_of
from tests.unit.catalog.catalogs import swap, write_csv
from tests.words import names
from workers.jobs.run_options import Only, RunOptions
from workers.schedules import service
from workers.schedules.cron import ScheduleError
from workers.schedules.tick import tick

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]


def test_a_run_from_tick_to_its_books(
    database: Database, runtime: Runtime, add: Callable[..., str], messages: Messages
) -> None:
    clock = Clock(datetime(2026, 6, 1, tzinfo=UTC))
    add(clock=clock)
    clock.now += MINUTE
    messages.clear()
    tick(runtime, clock)
    ((task, (run_id,), _),) = messages
    assert task == "fire"
    fire_module.fire(runtime, run_id)

    run = run_of(database, run_id)
    assert (run.state, run.enqueued, run.tries) == ("running", {"new": 2}, 1)
    assert database.counts(run.batch_id) == {"queued": 2}
    assert "submit:main" in messages.pumps
    messages.clear()
    tick(runtime, clock)
    assert run_of(database, run_id).state == "running"
    assert messages == []

    finish(database)
    tick(runtime, clock)
    run = run_of(database, run_id)
    assert (run.state, run.outcome, run.cost) == ("done", {"succeeded": 2}, Decimal("0.04"))
    (told,) = database.run(service.history, "nightly", 5)
    assert (told.batch, told.cost, told.outcome) == ("nightly", Decimal("0.04"), {"succeeded": 2})


def test_the_next_run_does_what_is_new_and_costs_only_that(
    database: Database, runtime: Runtime, add: Callable[..., str], tmp_path: Path
) -> None:
    add()
    fire_module.fire(runtime, come_due(database))
    finish(database)
    write_csv(tmp_path / "shoes.csv", [swap("1"), swap("2"), swap("3")])
    second = come_due(database)
    tick(runtime)
    fire_module.fire(runtime, second)
    finish(database, state="failed")
    tick(runtime)

    run = run_of(database, second)
    assert (run.enqueued, run.outcome, run.cost) == ({"new": 1, "unchanged": 2}, {"failed": 1}, Decimal("0.02"))
    assert database.sql("SELECT name, schedule, planned_at FROM batches WHERE id > 0") == [("nightly", "nightly", None)]


def test_fresh_runs_are_batches_of_their_own(database: Database, runtime: Runtime, add: Callable[..., str]) -> None:
    add(options=RunOptions(fresh=True))
    runs = []
    for _ in range(2):
        runs.append(come_due(database))
        fire_module.fire(runtime, runs[-1])
        finish(database)
        tick(runtime)

    first, second = (run_of(database, run_id) for run_id in runs)
    assert first.batch_id != second.batch_id
    assert second.enqueued == {"new": 2}
    assert second.cost == Decimal("0.04")
    name = database.one("SELECT name FROM batches WHERE id = :id", id=second.batch_id)
    assert name == f"nightly@{second.planned_at:%Y-%m-%dT%H:%M:%SZ}"


def test_a_limit_is_for_each_run(database: Database, runtime: Runtime, add: Callable[..., str]) -> None:
    add(options=RunOptions(max_cost=Decimal("0.50"), account="main", label="shoes"))
    fire_module.fire(runtime, come_due(database))
    finish(database)
    tick(runtime)
    fire_module.fire(runtime, come_due(database))

    assert database.sql("SELECT max_cost, label FROM batches WHERE id > 0") == [(Decimal("0.54"), "shoes")]


def test_every_option_of_a_schedule_reaches_its_batch(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add(
        options=RunOptions(
            account="main", max_in_flight=3, keep_days=30, label="shoes", priority=7, deadline=2 * HOUR,
            only=[Only.NEW], retry_rejected=True,
        )
    )  # fmt: skip
    assert database.run(service.find, "nightly").options.only == (Only.NEW,)
    fire_module.fire(runtime, come_due(database))
    finish(database, state="failed")
    tick(runtime)
    again = come_due(database)
    fire_module.fire(runtime, again)

    assert run_of(database, again).enqueued == {"left_out": 2}, "a failed row is not a new one"
    (batch,) = database.sql("SELECT max_in_flight, keep_days, label FROM batches WHERE id > 0")
    assert tuple(batch) == (3, 30, "shoes")
    jobs = database.sql("SELECT account, priority, expires_at - now() AS left FROM jobs")
    assert {(job.account, job.priority) for job in jobs} == {("main", 7)}
    assert all(HOUR < job.left < 2 * HOUR for job in jobs)


def test_a_schedule_of_the_version_before_is_run_as_it_was_meant(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add()
    written = '{"max_cost": "0.50", "account": "main", "label": "shoes", "priority": 7, "fresh": true}'
    database.sql("UPDATE schedules SET options = cast(:written AS jsonb)", written=written)
    fire_module.fire(runtime, come_due(database))

    (batch,) = database.sql("SELECT name, max_cost, label FROM batches WHERE id > 0")
    assert batch.name.startswith("nightly@")
    assert (batch.max_cost, batch.label) == (Decimal("0.50"), "shoes")


def test_one_moment_is_no_deadline_of_a_schedule(add: Callable[..., str]) -> None:
    with pytest.raises(ScheduleError, match=names("deadline", "2999-01-01T00:00:00+00:00")):
        add(options=RunOptions(deadline=datetime(2999, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("what", ["gone", "wrong", "no price"])
def test_a_catalog_that_cannot_be_used_fails_its_run_and_no_other(
    database: Database, make_runtime: RuntimeFactory, add: Callable[..., str], tmp_path: Path, what: str
) -> None:
    runtime = make_runtime(main={} if what == "no price" else PRICES)
    add(options=RunOptions(max_cost=Decimal(1)))
    path = tmp_path / "shoes.csv"
    if what == "gone":
        path.unlink()
    elif what == "wrong":
        write_csv(path, [swap(str(number), target="nothing.png") for number in range(20)])
    run_id = come_due(database)
    fire_module.fire(runtime, run_id)

    run = run_of(database, run_id)
    assert run.state == "failed"
    said = {"gone": "there is no such file", "wrong": "20 mistakes; nothing was enqueued", "no price": "no price for"}
    assert said[what] in run.note
    assert len(run.note) < 1_000
    assert database.sql("SELECT 1 FROM jobs") == []
    if what != "no price":
        write_csv(path, [swap("1")])
        again = come_due(database)
        fire_module.fire(runtime, again)
        assert run_of(database, again).state == "running"
