"""Pilots on a real database: what is sent, what waits, and what a decision does with the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import typer

from catalog.enqueue import Enqueued, enqueue
from catalog.intake import take_in
from catalog.plan import plan, plan_of_new
from cli.hints import CommandLine
from cli.plan import print_found
from cli.questions import confirm
from cli.summary import print_enqueued
from desk.actors import Actor, ForbiddenError
from desk.pilot import go_on, stop
from desk.verdicts import DeskError
from models.people import Role
from models.states import JobState
from reports.batch import find
from reports.obstacles import needs_person
from reports.pilot import PilotReport, pilot_of
from tests.unit.catalog import catalogs
from tests.words import unsaid
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter, ids_of
from workers.jobs.routing import Reach
from workers.jobs.run_options import RunOptions
from workers.operations import bulk

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

REACH = Reach(public_url=True, presigned=False)
OLGA, ANNA = Actor("Olga", Role.OPERATOR), Actor("Anna", Role.REVIEWER)
Run = Callable[..., Enqueued]


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    prices = {"swap": "0.02 USD", "swap_v2": "0.04 USD"}
    return make_runtime(main={"prices": prices}, second={"prices": prices})


@pytest.fixture
def run(runtime: Runtime, tmp_path: Path) -> Run:
    """Enqueue a catalog of swaps in two folders and two operations."""
    for folder, number in (("shoes", 12), ("hats", 4)):
        (tmp_path / folder).mkdir()
        for each in range(number):
            catalogs.picture(tmp_path / folder / f"{each}.png", side=16 + each)
    catalogs.picture(tmp_path / "a.png")

    def run(more: int = 0, **options: Any) -> Enqueued:
        rows = [
            catalogs.swap(
                f"{folder}-{each}-{operation}", target=f"{folder}/{each % number}.png", operation=f"zhiqite.{operation}"
            )
            for folder, number in (("shoes", 12), ("hats", 4))
            for operation in ("swap", "swap_v2")
            for each in range(number + (more if folder == "hats" else 0))
        ]
        path = catalogs.write_csv(tmp_path / "spring.csv", rows)
        with take_in(path, runtime.accounts, REACH) as intake:
            return enqueue(runtime, intake, RunOptions(**options))

    return run


def sendable(database: Database) -> list[str]:
    return [row.key for row in database.sql("SELECT key FROM jobs WHERE state = 'queued' AND lane NOT LIKE '!%'")]


def report(runtime: Runtime) -> PilotReport:
    found = runtime.db(pilot_of, runtime.db(find, "spring").id, runtime.accounts, 2)
    assert found is not None
    return found


def test_a_sample_of_each_folder_and_operation_is_sent_and_the_rest_waits(
    database: Database, runtime: Runtime, run: Run
) -> None:
    done = run(pilot="25%")
    assert done.sampled is not None
    assert (done.new, done.sampled.sample, done.sampled.waiting) == (32, 8, 24)
    strata = Counter((key.partition("-")[0], key.rpartition("-")[2]) for key in sendable(database))
    assert strata == {("shoes", "swap"): 3, ("shoes", "swap_v2"): 3, ("hats", "swap"): 1, ("hats", "swap_v2"): 1}
    first = sorted(sendable(database))
    for account in (*runtime.accounts.values(), *runtime.accounts.values()):
        database.start(account, 32, "0.02")
    assert database.counts(done.batch_id) == {"queued": 24, "running": 8}, "nothing else can be claimed"

    bulk.resume(runtime, Filter(batch="spring"))
    bulk.reroute(runtime, runtime.db(ids_of, Filter(batch="spring")), runtime.accounts["second"])
    again, more = run(pilot="50%"), run(more=2)
    assert again.sampled is not None
    assert (again.sampled.sample, again.sampled.waiting) == (8, 24), "the choice is in the database"
    assert more.sampled is not None
    assert more.sampled.waiting == 28, "rows that are added wait as well"
    assert sendable(database) == [], "and neither a person's resume nor another run sends what waits"
    running = database.sql("SELECT key FROM jobs WHERE state = 'running'")
    assert sorted(row.key for row in running) == first


def test_the_rest_goes_on_within_the_limit(database: Database, runtime: Runtime, run: Run) -> None:
    run(pilot="8", max_cost=Decimal("0.50"))
    batch = runtime.db(find, "spring")
    found = report(runtime)
    assert (found.sample, found.open, found.waiting) == (8, 8, 24)
    assert (found.rest.low, found.rest.likely, found.rest.at_most) == (
        Decimal("0.72"), Decimal("0.72"), Decimal("1.44")
    )  # fmt: skip
    with pytest.raises(ForbiddenError):
        go_on(runtime, ANNA, batch)
    assert go_on(runtime, OLGA, batch, Decimal("0.30")) == 24
    assert len(sendable(database)) == 32
    assert go_on(runtime, OLGA, batch) == 0, "once more does nothing"
    with pytest.raises(DeskError) as wrong:
        stop(runtime, OLGA, batch)
    assert unsaid(str(wrong.value), "spring", "Olga") == []
    for _ in range(4):
        for account in runtime.accounts.values():
            database.start(account, 10, "0.04")
    assert database.spend()[f"batch:{batch.id}"] <= Decimal("0.30")
    assert report(runtime).decided_by == "Olga"
    assert run().sampled is None
    entries = database.sql("SELECT person, subject, detail FROM audit WHERE action LIKE 'pilot%'")
    assert [(row.person, row.subject) for row in entries] == [("Olga", "batch spring")] * 2


def test_a_stopped_rest_is_canceled_and_costs_nothing(database: Database, runtime: Runtime, run: Run) -> None:
    done = run(pilot="8")
    database.sql("UPDATE jobs SET state = 'succeeded' WHERE lane NOT LIKE '!%'")
    database.sql("UPDATE batches SET queued = 24, succeeded = 8 WHERE id = :id", id=done.batch_id)
    batch = runtime.db(find, "spring")
    stuck = runtime.db(needs_person, batch, runtime.accounts, "USD")
    assert unsaid(stuck or "", "recast pilot spring") == []
    assert stop(runtime, OLGA, batch) == 24
    assert database.counts(done.batch_id) == {"canceled": 24, "succeeded": 8}
    assert database.spend() == {}
    assert run().queued == 0, "a run leaves what a person canceled"
    canceled = runtime.db(bulk.retryable, Filter(batch="spring", states=[JobState.CANCELED]))
    bulk.retry(runtime, canceled)
    assert len(sendable(database)) == 24, "but a person can ask for it"


def test_failures_count_as_not_accepted(database: Database, runtime: Runtime, run: Run) -> None:
    run(pilot="8")
    ids = [row.id for row in database.sql("SELECT job_id AS id FROM pilot_jobs ORDER BY 1")]
    database.sql("UPDATE jobs SET state = 'failed' WHERE id = :id", id=ids[0])
    database.sql("UPDATE jobs SET state = 'succeeded' WHERE id = ANY(:ids)", ids=ids[1:])
    for job, verdict in zip(ids[1:5], ("approved", "approved", "approved", "needs_work"), strict=True):
        database.sql(
            "INSERT INTO reviews (job_id, batch_id, seq, verdict) SELECT id, batch_id, seq, :verdict FROM jobs"
            " WHERE id = :id", id=job, verdict=verdict,
        )  # fmt: skip
    found = report(runtime)
    assert (found.made, found.failed, found.approved, found.needs_work, found.unreviewed) == (7, 1, 3, 1, 3)
    assert (found.accepted.decided, found.accepted.likely) == (5, 14)
    assert 0 < found.accepted.low < 14 < found.accepted.high < 24


def test_what_is_said_of_a_pilot_is_what_it_costs_and_not_what_all_would(
    runtime: Runtime, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Of the eight, four are of the operation for 0.02 USD and four of that for 0.04 USD; each may be paid for twice.
    before = run(pilot="25%")
    assert (before.sent_at_most, before.at_most) == (Decimal("0.48"), Decimal("1.92"))
    print_enqueued(before, 32, "USD")
    assert unsaid(capsys.readouterr().out, "0.48 USD", "1.92 USD") == []
    with take_in(tmp_path / "spring.csv", runtime.accounts, REACH, name="autumn") as intake:
        found = plan(runtime, intake, RunOptions(pilot="25%"))
        new = plan_of_new(intake, runtime.accounts, RunOptions(pilot="25%"), paid_attempts=2)
    for each in (found, new):
        assert each.pilot is not None
        assert (each.pilot.rows, each.queued) == (8, 32)
        assert (each.sent_at_most, each.at_most) == (Decimal("0.48"), Decimal("1.92"))
        print_found(each, "autumn", "USD")
        assert unsaid(capsys.readouterr().out, "0.48 USD", "1.92 USD", "8 of 32") == []
    added = run(more=2)
    assert (added.new, added.sent_at_most) == (4, Decimal(0)), "what is added while it is open waits"


def test_a_pilot_is_asked_about_with_what_it_costs(
    make_runtime: RuntimeFactory, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pilot="1")
    prices = {"swap": "0.02 USD", "swap_v2": "0.04 USD"}
    command = cast("CommandLine", SimpleNamespace(again=lambda **_: "the same again"))
    for limit, answer in (("0.48", nullcontext()), ("0.47", pytest.raises(typer.Exit))):
        runtime = make_runtime({"confirm_above": Decimal(limit)}, main={"prices": prices}, second={"prices": prices})
        with take_in(tmp_path / "spring.csv", runtime.accounts, REACH, name="autumn") as intake, answer:
            confirm(runtime, intake, RunOptions(pilot="25%"), command)
    assert unsaid(capsys.readouterr().err, "8", "0.48 USD", "32", "1.92 USD", "0.47 USD") == []
