"""How a run is narrowed and bounded: `only`, priority, deadline, label, and a batch's own limit in flight."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session

import recast
from catalog.enqueue import Enqueued, enqueue
from catalog.errors import BadRowsError
from catalog.intake import take_in
from catalog.origin import OtherPlaceError
from models.states import Closure
from recast import BatchStuckError, BatchWaitError
from recast.errors import InvalidJobError
from recast.money import Money
from reports.batch import recent
from tests.unit.catalog import catalogs
from tests.words import names
from workers.accounts import admission
from workers.engine import begin, claims
from workers.engine.runtime import Runtime
from workers.jobs.routing import Reach
from workers.jobs.run_options import Only, RunOptions

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

REACH = Reach(public_url=True, presigned=False)
Run = Callable[..., Enqueued]


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime(main={"prices": {"swap": "0.02 USD"}}, second={"prices": {"swap": "0.02 USD"}})


@pytest.fixture
def run(runtime: Runtime, tmp_path: Path) -> Run:
    """Write a catalog of swaps, by key and target, and enqueue it."""
    catalogs.picture(tmp_path / "a.png")
    catalogs.picture(tmp_path / "b.png")
    catalogs.picture(tmp_path / "c.png")

    def run(targets: dict[str, str], **terms: Any) -> Enqueued:
        rows = [catalogs.swap(key, target=target, operation="zhiqite.swap") for key, target in targets.items()]
        path = catalogs.write_csv(tmp_path / "spring.csv", rows)
        with take_in(path, runtime.accounts, REACH) as intake:
            return enqueue(runtime, intake, RunOptions(**terms))

    return run


def put(database: Database, key: str, state: str) -> None:
    (was,) = database.sql("SELECT state FROM jobs WHERE key = :key", key=key)
    database.sql("UPDATE jobs SET state = :state WHERE key = :key", key=key, state=state)
    database.sql(f"UPDATE batches SET {was.state} = {was.state} - 1, {state} = {state} + 1 WHERE name = 'spring'")  # noqa: S608


@pytest.mark.parametrize(
    ("only", "queued"),
    [
        ([], {"new": 1, "changed": 1, "retried": 1}),
        ([Only.NEW], {"new": 1, "left_out": 2}),
        ([Only.CHANGED], {"changed": 1, "left_out": 2}),
        ([Only.FAILED], {"retried": 1, "left_out": 2}),
        ([Only.FAILED, Only.NEW], {"new": 1, "retried": 1, "left_out": 1}),
    ],
)
def test_a_run_can_be_narrowed(database: Database, run: Run, only: list[Only], queued: dict[str, int]) -> None:
    # Given a batch with a job that failed and two that succeeded
    run({"failed": "b.png", "changed": "b.png", "done": "b.png"})
    put(database, "failed", "failed")
    put(database, "changed", "succeeded")
    put(database, "done", "succeeded")
    # When one row has changed and one has come, and the run is narrowed
    found = run({"failed": "b.png", "changed": "c.png", "done": "b.png", "new": "b.png"}, only=only)
    # Then only what was asked for is queued, and the rest is as it was
    told = {name: getattr(found, name) for name in ("new", "changed", "retried", "left_out") if getattr(found, name)}
    assert told == queued
    assert found.unchanged == 1
    assert found.cost == Decimal("0.02") * found.queued
    states = Counter(row.state for row in database.sql("SELECT state FROM jobs"))
    assert states["queued"] == found.queued
    database.counts(found.batch_id)


def test_priority_deadline_and_label_are_kept_until_others_are_named(database: Database, run: Run) -> None:
    deadline = datetime.now(UTC) + timedelta(hours=2)
    batch = run({"1": "b.png"}, priority=5, deadline=deadline, label="spring shoes").batch_id
    run({"1": "b.png", "2": "b.png"})
    rows = database.sql("SELECT key, priority, expires_at FROM jobs ORDER BY seq")
    assert [tuple(row) for row in rows] == [("1", 5, deadline), ("2", 0, None)]
    run({"1": "b.png", "2": "b.png"}, priority=-3)
    assert [row.priority for row in database.sql("SELECT priority FROM jobs ORDER BY seq")] == [-3, -3]
    assert database.one("SELECT label FROM batches WHERE id = :id", id=batch) == "spring shoes"
    assert [report.name for report in database.run(recent, 9, "spring shoes")] == ["spring"]
    assert database.run(recent, 9, "autumn") == []


def test_a_job_that_somebody_paused_stays_so_when_its_catalog_is_run_again(database: Database, run: Run) -> None:
    run({"1": "b.png"})
    database.sql("UPDATE jobs SET lane = '!@' || lane")
    run({"1": "b.png"})
    assert database.one("SELECT lane FROM jobs") == "!@zhiqite.swap"


def in_flight(database: Database) -> int:
    return int(database.one("SELECT count(*) FROM attempts WHERE state IN ('sending', 'running', 'unknown')"))


def test_never_more_of_a_batch_in_flight_than_it_may_have_over_all_accounts(
    database: Database, runtime: Runtime, run: Run
) -> None:
    # Given a batch that may have five jobs in flight, and two accounts with more places
    run({str(number): "b.png" for number in range(40)}, max_in_flight=5)
    main, second = runtime.account("main"), runtime.account("second")
    # When many workers of both begin what they claim, at the same time
    claimed = {account.name: database.run(claims.claim, account, 8) for account in (main, second)}
    assert 0 < sum(map(len, claimed.values())) <= 16

    def start(account: Any, jobs: list[claims.Claim]) -> Callable[[Session], begin.Begun]:
        return lambda session: begin.begin(session, account, database.ready(jobs))

    works = [start(account, [job]) for account in (main, second) for job in claimed[account.name]]
    begun = database.together(works)
    # Then five are in flight, and a full batch is claimed from no more, but asked about again
    assert sum(len(each.started) for each in begun) == in_flight(database) == 5
    assert database.run(claims.claim, main, 8) == []
    assert database.run(claims.next_claim_in, main) == claims.FULL_RETRY_SECONDS
    # And another batch goes on meanwhile
    database.jobs(3, batch=database.batch("other"))
    assert len(database.run(claims.claim, main, 8)) == 3


def test_a_job_that_ends_makes_room_for_one(database: Database, runtime: Runtime, run: Run) -> None:
    run({str(number): "b.png" for number in range(10)}, max_in_flight=2)
    main = runtime.account("main")
    assert len(database.start(main, 10).started) == 2
    key = database.sql("SELECT key FROM jobs WHERE state = 'running'")[0].key
    put(database, key, "succeeded")
    assert len(database.start(main, 10).started) == 1
    # A higher limit holds at once.
    database.sql("UPDATE batches SET max_in_flight = 4 WHERE name = 'spring'")
    assert len(database.start(main, 10).started) == 2


# --- From a program -----------------------------------------------------------------------------------------------


@pytest.fixture
def program(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `recast.run` finds in its process: this runtime, and pictures in the working folder."""
    monkeypatch.setattr("workers.engine.runtime.runtime", lambda: runtime)
    monkeypatch.chdir(tmp_path)
    catalogs.picture(tmp_path / "a.png")
    catalogs.picture(tmp_path / "b.png")
    return tmp_path


ROWS = [catalogs.swap("1", sku=7, operation="zhiqite.swap"), catalogs.swap("2", operation="zhiqite.swap")]


def test_a_table_is_run_like_a_catalog(database: Database, program: Path) -> None:
    batch = recast.run(ROWS, name="spring", max_cost="1.00")
    assert (batch.new, batch.cost) == (2, Money(Decimal("0.04"), "USD"))
    again = recast.run(iter(ROWS), name="spring", only=["new"])
    assert (again.new, again.unchanged) == (0, 2)
    assert batch.counts()["queued"] == 2
    with pytest.raises(BatchWaitError, match=names("spring", "2")):
        batch.wait(0.0)
    put(database, "1", "succeeded")
    put(database, "2", "failed")
    assert batch.wait() == recast.batch("spring").counts()
    first, second = batch.results()
    assert (first["key"], first["state"], first["metadata"], first["results"]) == ("1", "succeeded", {"sku": 7}, [])
    assert second["state"] == "failed"


def test_a_catalog_may_be_given_by_whatever_is_a_path(database: Database, program: Path) -> None:
    class Named:
        def __fspath__(self) -> str:
            return str(program / "spring.csv")

    catalogs.write_csv(program / "spring.csv", ROWS)
    (found,) = (each for each in os.scandir(program) if each.name == "spring.csv")
    for path in (program / "spring.csv", PurePath(program / "spring.csv"), found, Named()):
        batch = recast.run(path, only=["new"])
        assert batch.name == "spring"
    assert database.sql("SELECT count(*) FROM jobs")[0][0] == len(ROWS)


def test_every_option_reaches_the_batch(database: Database, program: Path) -> None:
    consented = [{**row, "consent": "R-17"} for row in ROWS]
    recast.run(
        consented, name="spring", folder=program, account="main", require_consent=True,
        max_cost=Money(Decimal(5), "USD"), max_in_flight=3, keep_days=30, label="shoes", priority=7,
        deadline=timedelta(hours=2), only=["new"], retry_rejected=True,
    )  # fmt: skip
    (batch,) = database.sql("SELECT max_cost, max_in_flight, keep_days, label FROM batches WHERE id > 0")
    assert tuple(batch) == (Decimal(5), 3, 30, "shoes")
    jobs = database.sql("SELECT account, priority, expires_at - now() AS left FROM jobs")
    assert {(job.account, job.priority) for job in jobs} == {("main", 7)}
    assert all(timedelta(minutes=110) < job.left < timedelta(hours=2) for job in jobs)
    with pytest.raises(BadRowsError, match=names("consent")):
        recast.run(ROWS, name="autumn", require_consent=True)


def test_a_batch_that_needs_a_person_says_so(database: Database, program: Path, runtime: Runtime) -> None:
    batch = recast.run(ROWS, name="spring")
    for name in ("main", "second"):
        runtime.db(admission.stop, name, Closure.CREDIT)
    with pytest.raises(BatchStuckError, match=names("spring", "main", "credit")):
        batch.wait(30)


def test_a_table_of_another_folder_is_not_taken_for_the_same_batch(database: Database, program: Path) -> None:
    assert recast.run(ROWS, name="spring", folder=program).new == len(ROWS)
    other = program / "another"
    for name in ("a.png", "b.png"):
        catalogs.picture(other / name, side=24)
    with pytest.raises(OtherPlaceError, match=names("spring", program, other)):
        recast.run(ROWS, name="spring", folder=other)
    assert recast.run(ROWS, name="spring", folder=other, moved=True).changed == len(ROWS)


def test_rows_that_are_wrong_are_told_all_at_once(database: Database, program: Path) -> None:
    with pytest.raises(BadRowsError) as caught:
        recast.run([*ROWS, catalogs.swap("1"), catalogs.swap("3", target="gone.png")], name="spring")
    assert [(each.line, each.key, each.column) for each in caught.value.mistakes] == [
        (3, "1", "key"),
        (4, "3", "target"),
    ]
    assert database.sql("SELECT 1 FROM batches WHERE id > 0") == []


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"name": None}, names("name")),
        *(({"name": wrong}, names("name", "200")) for wrong in (float("inf"), 7, b"spring", Path("spring"))),
        ({"folder": float("inf")}, names("folder", "inf", "path")),
        *(
            ({"max_cost": wrong}, names("max_cost", wrong))
            for wrong in ("much", "-1", "0", "1 EUR", float("inf"), float("nan"), Decimal("Infinity"), Decimal("NaN"))
        ),
        ({"max_in_flight": 0}, names("max_in_flight", "0", "1")),
        ({"keep_days": 0}, names("keep_days", "0", "1")),
        ({"only": ["old"]}, names("only", "old", "new", "changed", "failed")),
        ({"only": []}, names("only", "new", "changed", "failed")),
        ({"priority": 101}, names("priority", "101", "-100", "100")),
        ({"deadline": datetime(2030, 1, 1)}, names("deadline", "zone")),  # noqa: DTZ001 - that is the point
    ],
)
def test_terms_that_are_wrong(program: Path, terms: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidJobError, match=message):
        recast.run(ROWS, **{"name": "spring", **terms})
