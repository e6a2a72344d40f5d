"""Pictures that are asked for again because a check flagged them: whose, how often, and never past a limit."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.enqueue import enqueue
from catalog.intake import take_in
from catalog.plan import plan, plan_of_new
from cli.plan import print_found
from desk.actors import Actor
from desk.redo_flagged import redo_flagged
from desk.verdicts import Decision, judge
from models.checks import CheckName
from models.people import Role
from models.states import JobState
from models.verdicts import Verdict
from tests.integration.desk.pictures import made, results
from tests.unit.catalog import catalogs
from tests.words import unsaid
from workers.config.reasons import REVIEW_REASONS
from workers.engine import checking
from workers.engine.checking import DueCheck, Found
from workers.images.check_rules import Score
from workers.jobs.redone import spent_by_check
from workers.jobs.run_options import RunOptions

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

ANNA = Actor("Anna", Role.REVIEWER)
PRICE = Decimal("0.02")
PAID = 2  # attempts of a job that may be paid, in these tests
MOST = PRICE * PAID  # of one redo
PIKTID = {
    "provider": "piktid", "email": "a@example.com", "password": "p", "access_key_id": None, "access_key_secret": None,
    "prices": {"swap": f"{PRICE} USD"},
}  # fmt: skip


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime({"max_paid_attempts": PAID}, main={"prices": {"swap": f"{PRICE} USD"}})


def batch_of(
    database: Database,
    number: int,
    *,
    cap: Decimal,
    checks: str = "no_face",
    each: int | None = None,
    pictures: int = 1,
) -> int:
    batch = made(database, number, pictures=pictures)
    database.sql(
        "UPDATE batches SET redo_flagged = string_to_array(:checks, ','), redo_each = :each, redo_cap = :cap"
        " WHERE id = :id",
        checks=checks, each=each, cap=cap, id=batch,
    )  # fmt: skip
    return batch


def flag(database: Database, result: int, name: CheckName = CheckName.NO_FACE, *, flagged: bool = True) -> None:
    """What the check pump finds in one picture."""
    (row,) = database.sql(
        "SELECT r.job_id, j.batch_id, j.seq, a.number FROM results r JOIN jobs j ON j.id = r.job_id"
        " JOIN attempts a ON a.id = r.attempt_id WHERE r.id = :id",
        id=result,
    )
    due = DueCheck(
        result, row.job_id, row.batch_id, row.seq, row.number, 1, "k", "main", "zhiqite.swap", None, None, {}
    )
    database.run(checking.write, [Found(due, (Score(name, 1.0 if flagged else 0.0, 0.5),))])


def redone(database: Database, batch: int) -> list[int]:
    """The places of the jobs that are sent again."""
    rows = database.sql("SELECT seq FROM jobs WHERE batch_id = :batch AND state = 'queued' ORDER BY seq", batch=batch)
    return [row.seq - 1 for row in rows]


def finish(database: Database, runtime: Runtime, cost: Decimal = PRICE) -> list[int]:
    """Let every job that is sent again succeed with a new picture; the pictures."""
    found = []
    for row in database.sql("SELECT id, former_attempts FROM jobs WHERE state = 'queued' ORDER BY seq"):
        attempt = database.attempt(row.id, "done", number=row.former_attempts + 1, cost=str(cost))
        database.sql("UPDATE jobs SET state = 'succeeded', kept_attempt = NULL WHERE id = :id", id=row.id)
        found.append(database.one(
            "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
            " VALUES (:job, :attempt, 0, :key, :key, 3, 'image/png', 8, 8) RETURNING id",
            job=row.id, attempt=attempt, key=f"{row.id}-{row.former_attempts}",
        ))  # fmt: skip
    return found


def test_what_a_named_check_flags_is_asked_for_again_and_nothing_else(database: Database, runtime: Runtime) -> None:
    batch = batch_of(database, 4, cap=Decimal(1), checks="no_face,blank")
    faceless, blurred, sound, judged = results(database, batch)
    database.run(judge, ANNA, judged, Decision(Verdict.APPROVED, ()), based_on=0, known_reasons=REVIEW_REASONS)
    flag(database, faceless)
    flag(database, blurred, CheckName.BLURRED)
    flag(database, sound, flagged=False)
    flag(database, judged)
    assert redo_flagged(runtime) == 1
    assert redone(database, batch) == [0]
    (row,) = database.sql("SELECT person, via, at_most FROM redos")
    assert (row.via, row.at_most) == ("check", MOST)
    assert database.one("SELECT count(*) FROM audit WHERE via = 'check' AND action = 'redo'") == 1
    assert database.one("SELECT count(*) FROM due_redos") == 0
    assert redo_flagged(runtime) == 0


def test_a_job_is_redone_as_often_as_its_batch_allows(database: Database, runtime: Runtime) -> None:
    batch = batch_of(database, 1, cap=Decimal(1), each=2)
    (picture,) = results(database, batch)
    for _ in range(2):
        flag(database, picture)
        assert redo_flagged(runtime) == 1
        (picture,) = finish(database, runtime)
    flag(database, picture)
    assert redo_flagged(runtime) == 0
    assert database.one("SELECT state FROM jobs") == JobState.SUCCEEDED


def test_one_sound_picture_of_several_is_enough(database: Database, runtime: Runtime) -> None:
    batch = batch_of(database, 1, cap=Decimal(1), pictures=2)
    first, second = results(database, batch)
    flag(database, first)
    assert redo_flagged(runtime) == 0
    flag(database, second)
    assert redo_flagged(runtime) == 1


def test_a_job_with_a_seed_gets_another_one(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main=PIKTID)
    batch = batch_of(database, 2, cap=Decimal(1))
    database.sql("UPDATE jobs SET lane = 'piktid.swap'")
    database.sql("UPDATE jobs SET options = '{\"seed\": 7}' WHERE seq = 1")
    for picture in results(database, batch):
        flag(database, picture)
    assert redo_flagged(runtime) == 2
    seeded, plain = database.sql("SELECT options -> 'seed' AS seed FROM jobs ORDER BY seq")
    assert seeded.seed not in (None, 7)
    assert plain.seed is None


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cap=st.decimals("0.00", "0.50", places=2), jobs=st.integers(1, 6), cost=st.sampled_from([Decimal(0), PRICE, MOST]),
    each=st.integers(1, 3),
)  # fmt: skip
def test_no_order_of_flags_passes_the_limit(
    database: Database, runtime: Runtime, cap: Decimal, jobs: int, cost: Decimal, each: int
) -> None:
    database.sql("DELETE FROM jobs")
    database.sql("DELETE FROM batches WHERE id > 0")
    batch = batch_of(database, jobs, cap=cap, each=each)
    for picture in results(database, batch):
        flag(database, picture)
    for _ in range(each + 1):
        redo_flagged(runtime)
        assert database.run(partial(_spent, batch)) <= cap
        for picture in finish(database, runtime, cost):
            flag(database, picture)
    assert database.run(partial(_spent, batch)) <= cap
    # What was not spent would have paid for no other redo that was still allowed.
    per_job = database.sql("SELECT job_id, count(*) AS times FROM redos GROUP BY job_id")
    assert all(row.times <= each for row in per_job)
    if cost == 0 and cap >= MOST:
        assert len(per_job) >= min(jobs, int(cap / MOST))


def _spent(batch: int, session: object) -> Decimal:
    return spent_by_check(session, batch)  # type: ignore[arg-type]


def test_what_a_run_may_cost_at_most_counts_redos_and_a_run_for_nothing_adds_none(
    runtime: Runtime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogs.picture(tmp_path / "a.png")
    path = catalogs.write_csv(tmp_path / "spring.csv", [catalogs.swap("one", target="a.png")])
    options = RunOptions(redo_flagged=[CheckName.NO_FACE], redo_cap=Decimal("0.30"))
    with take_in(path, runtime.accounts, runtime.reach) as intake:
        found, new = plan(runtime, intake, options), plan_of_new(intake, runtime.accounts, options, paid_attempts=PAID)
        done = enqueue(runtime, intake, options)
        # The batch keeps what it was told, and nothing is left to be queued.
        later, again = plan(runtime, intake), enqueue(runtime, intake)
    for each in (found, new, done):
        assert (each.at_most, each.sent_at_most) == (MOST + Decimal("0.30"), MOST + Decimal("0.30"))
    assert later.at_most == again.at_most == 0
    print_found(found, "spring", "USD")
    assert unsaid(capsys.readouterr().out, "0.34 USD", "0.30 USD") == []
