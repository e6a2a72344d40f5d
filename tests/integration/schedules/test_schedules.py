"""Schedules on a real database: any number of ticks, one run for each planned time, which begins once and has books."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session

from catalog import fire as fire_module
from models.schedules import CatchUp, Overlap
from tests.unit.catalog.catalogs import picture, swap, write_csv
from tests.unit.workers.schedules.minute_walker import CHANGES, DAY, Cron, Field, walk
from tests.words import names, unsaid
from workers.jobs.run_options import Only, RunOptions
from workers.schedules import runs, service
from workers.schedules.cron import ON_TIME, CronSchedule, ScheduleError
from workers.schedules.service import Agreement
from workers.schedules.tick import database_clock, plan, tick

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
PRICES = {"prices": {"swap": "0.02 USD"}}


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self, _: Session) -> datetime:
        return self.now


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """A worker with one account whose swaps have a price."""
    return make_runtime(main=PRICES)


@pytest.fixture
def add(database: Database, tmp_path: Path) -> Callable[..., str]:
    """Adds schedules of a catalog with two rows; each has come due at some minute of the past."""
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")

    def make(name: str = "nightly", cron: str = "* * * * *", zone: str = "UTC", **more: Any) -> str:
        catalog = more.pop("catalog", None) or write_csv(tmp_path / "shoes.csv", [swap("1"), swap("2")])
        clock = more.pop("clock", database_clock)
        database.run(service.add, Agreement(name, str(catalog), CronSchedule(cron, zone), **more), clock=clock)
        return name

    return make


def every(minutes: int) -> Field:
    return Field(f"*/{minutes}", set(range(0, 60, minutes)))


ANY_MINUTE, ANY_DAY = Field("*", set(range(60))), Field("*", set(range(1, 32)))
ANY_MONTH, ANY_WEEKDAY = Field("*", set(range(1, 13))), Field("*", set(range(7)))


def at(minute: Field, hour: Field) -> Cron:
    return Cron(minute, hour, ANY_DAY, ANY_MONTH, ANY_WEEKDAY)


#: At half past two at night; each two hours; every twenty minutes.
CRONS = (
    at(Field("30", {30}), Field("2", {2})),
    at(Field("15", {15}), Field("*/2", set(range(0, 24, 2)))),
    at(every(20), Field("*", set(range(24)))),
)


def fired(database: Database, name: str) -> list[datetime]:
    rows = database.sql(
        "SELECT planned_at FROM schedule_runs WHERE schedule = :name AND state = 'due' ORDER BY planned_at", name=name
    )
    return [row.planned_at for row in rows]


@pytest.mark.parametrize("change", [CHANGES[1], CHANGES[2], CHANGES[4]], ids=lambda change: change[0])
def test_three_ticks_at_once_fire_each_time_once(
    database: Database, runtime: Runtime, add: Callable[..., str], change: tuple[str, datetime]
) -> None:
    zone, day = change
    clock = Clock(day - 3 * HOUR)
    planned = {}
    for catch_up in CatchUp:
        for number, cron in enumerate(CRONS):
            name = f"{catch_up}-{number}"
            add(name, str(cron), zone, catch_up=catch_up, catch_up_seconds=30 * 3600, clock=clock)
            planned[name] = walk(cron, change, clock.now, day + 4 * DAY)
    # Looked at every four minutes around the change, then not for two days, and twice more.
    moments = [clock.now + number * 4 * MINUTE for number in range(1, 21 * 15)]
    moments += [moments[-1] + 2 * DAY, moments[-1] + 2 * DAY + timedelta(seconds=30)]

    with ThreadPoolExecutor(3) as beats:
        for clock.now in moments:
            for done in [beats.submit(database.run, plan, clock) for _ in range(3)]:
                done.result()

    outage, back = moments[-3], moments[-2]
    for name, times in planned.items():
        before = [moment for moment in times if moment <= outage]
        during = [moment for moment in times if outage < moment <= back]
        late = [moment for moment in during if back - moment > ON_TIME]
        punctual = [moment for moment in during if back - moment <= ON_TIME]
        made_up: Mapping[str, list[datetime]] = {
            "none": [],
            "latest": [] if punctual else late[-1:],
            "all": [moment for moment in late if back - moment <= timedelta(hours=30)],
        }
        again = made_up[name.partition("-")[0]]
        assert before, name
        assert len(late) > 1, name
        assert fired(database, name) == [*before, *again, *punctual], name
        (told,) = database.sql("SELECT sum(missed + CASE state WHEN 'skipped' THEN 1 ELSE 0 END) AS missed"
                               " FROM schedule_runs WHERE schedule = :name", name=name)  # fmt: skip
        assert told.missed == len(late) - len(again), f"{name}: the history tells what was left out"


def test_a_tick_that_dies_half_way_is_made_up_for_by_the_next(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    clock = Clock(datetime(2026, 6, 1, tzinfo=UTC))
    add(clock=clock)
    clock.now += 3 * MINUTE

    def die(session: Session) -> None:
        assert len(plan(session, clock)) == 3
        raise SystemExit

    with pytest.raises(SystemExit):
        database.run(die)
    assert fired(database, "nightly") == []

    database.run(plan, clock)
    assert len(fired(database, "nightly")) == 3


# --- Runs ---------------------------------------------------------------------------------------------------------


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

    assert run_of(database, again).enqueued == {"left_out": 2}, "a failed row is no new one"
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


# --- Workers that die, and workers at once -------------------------------------------------------------------------


def test_a_worker_killed_while_it_reads_loses_and_doubles_nothing(
    database: Database, runtime: Runtime, add: Callable[..., str], messages: Messages
) -> None:
    add()
    run_id = come_due(database)
    assert database.run(runs.claim, run_id) is not None  # and then it is killed
    messages.clear()
    tick(runtime)
    fire_module.fire(runtime, run_id)
    assert (messages, run_of(database, run_id).state) == ([], "due"), "another waits until the claim has run out"

    database.sql("UPDATE schedule_runs SET claimed_until = now() - interval '1 second'")
    tick(runtime)
    assert [args for _, args, _ in messages] == [(run_id,)]
    fire_module.fire(runtime, run_id)
    fire_module.fire(runtime, run_id)
    assert run_of(database, run_id).state == "running"
    assert database.one("SELECT count(*) FROM jobs") == 2


def test_a_worker_killed_while_it_enqueues_has_done_nothing(
    database: Database, runtime: Runtime, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    run_id = come_due(database)

    def die(session: Session, run: int, batch: int) -> None:
        runs.begin(session, run, batch)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(fire_module, "begin", die)
        with pytest.raises(SystemExit):
            fire_module.fire(runtime, run_id)
    assert run_of(database, run_id).state == "due"
    assert database.sql("SELECT 1 FROM jobs") == []

    database.sql("UPDATE schedule_runs SET claimed_until = NULL")
    fire_module.fire(runtime, run_id)
    assert run_of(database, run_id).enqueued == {"new": 2}


def test_a_run_that_two_workers_have_read_is_enqueued_once(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add()
    run_id = come_due(database)
    claimed = []
    for _ in range(3):
        claimed.append(database.run(runs.claim, run_id))
        database.sql("UPDATE schedule_runs SET claimed_until = NULL")

    def read(found: runs.RunClaim | None) -> str:
        assert found is not None
        try:
            return f"{fire_module._enqueue(runtime, found).new} new"
        except runs.NotDueError:
            return "too late"

    with ThreadPoolExecutor(3) as workers:
        assert sorted(workers.map(read, claimed)) == ["2 new", "too late", "too late"]


def test_a_run_that_kills_its_workers_is_given_up(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add()
    run_id = come_due(database)
    for _ in range(runs.MAX_TRIES):
        assert database.run(runs.claim, run_id) is not None
        database.sql("UPDATE schedule_runs SET claimed_until = NULL")

    assert database.run(runs.claim, run_id) is None
    run = run_of(database, run_id)
    assert run.state == "failed"
    assert unsaid(run.note, "logs") == []


# --- Runs that meet -----------------------------------------------------------------------------------------------


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


# --- What people do -----------------------------------------------------------------------------------------------


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
    run_id = database.run(service.run_now, "nightly")
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
