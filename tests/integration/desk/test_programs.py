"""Review, redos and pilots from Python: what `recast.review`, `redo` and `pilot` do, and how they refuse."""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import recast
from catalog.enqueue import enqueue
from catalog.errors import CatalogError
from catalog.intake import take_in
from desk import audit
from recast.errors import InvalidJobError
from tests.integration.desk.pictures import give, made, results
from tests.unit.catalog import catalogs
from tests.words import unsaid
from workers.engine.runtime import Runtime
from workers.jobs.routing import Reach
from workers.jobs.run_options import RunOptions

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def runtime(make_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    found = make_runtime(main={"prices": {"swap": "0.02 USD"}})
    monkeypatch.setattr("desk.programs.deployment", lambda: nullcontext(found))
    monkeypatch.setattr("getpass.getuser", lambda: "ops")
    return found


def verdicts(database: Database) -> dict[str, str]:
    rows = database.sql("SELECT j.key, w.verdict FROM reviews w JOIN jobs j ON j.id = w.job_id")
    return {row.key: row.verdict for row in rows if row.verdict != "unreviewed"}


def flag(database: Database, result_id: int) -> None:
    database.sql(
        "INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)"
        " SELECT r.id, 'blurred', j.id, j.batch_id, j.seq, 0.9, 0.5, true, 0.2"
        " FROM results r JOIN jobs j ON j.id = r.job_id WHERE r.id = :id", id=result_id,
    )  # fmt: skip


@pytest.mark.usefixtures("runtime")
def test_pictures_are_decided_about_by_key_and_by_filter(database: Database) -> None:
    batch = made(database, 5)
    flag(database, results(database, batch)[0])
    keys = [row.key for row in database.sql("SELECT key FROM jobs ORDER BY seq")]
    assert recast.review("spring", say="approved", dry_run=True) == recast.Reviewed(5, 0, {})
    assert verdicts(database) == {}
    assert recast.review("spring", say="needs_work", check=["any"], dry_run=True).pictures == 1
    assert recast.review("spring", say="needs_work", reasons=["blurred"], check=["blurred"]).done == 1
    assert recast.review("spring", keys[1], keys[2], say="needs_work", reasons=["hair"], note="dark").done == 2
    assert recast.review("spring", say="approved").done == 2, "those without a verdict"
    assert verdicts(database) == dict(zip(keys, ["needs_work"] * 3 + ["approved"] * 2, strict=True))
    (entry,) = database.run(audit.latest, 1)
    assert (entry.person, entry.via, entry.action) == ("ops", "program", "judge")

    assert recast.review("spring", say="approved", reason="hair", verdict="needs_work").done == 2
    assert recast.review("spring", keys[1], say="undo") == recast.Reviewed(1, 1, {})
    assert verdicts(database)[keys[1]] == "needs_work"
    assert recast.review("spring", say="undo", dry_run=True) == recast.Reviewed(5, 0, {})
    assert recast.review("spring", keys[1], say="undo").done == 1
    assert recast.review("spring", say="undo", dry_run=True) == recast.Reviewed(4, 0, {"not_yours": 1})
    assert recast.review("spring", keys[1], say="approved").done == 1
    assert recast.review("spring", keys[4], say="approved").left_out == {"same": 1}


@pytest.mark.usefixtures("runtime")
def test_single_jobs_are_decided_about_by_id_and_by_filter(database: Database) -> None:
    made(database, 2)
    singles = database.jobs(3, state="succeeded")
    for job in singles:
        give(database, job)

    def said() -> dict[str, str]:
        rows = database.sql("SELECT job_id, verdict FROM reviews WHERE verdict <> 'unreviewed'")
        return {row.job_id: row.verdict for row in rows}

    assert recast.review(None, jobs=singles[:1], say="needs_work", reasons=["hair"]).done == 1
    assert recast.review(None, jobs=["job-00000"], say="approved").pictures == 0, "it is of a batch"
    assert recast.review(None, say="approved") == recast.Reviewed(2, 2, {})
    assert said() == dict(zip(singles, ["needs_work", "approved", "approved"], strict=True))
    assert recast.review(None, jobs=singles[1:], say="undo").done == 2
    assert said() == {singles[0]: "needs_work"}
    for batch, jobs in ((None, None), ("spring", singles)):
        with pytest.raises(InvalidJobError) as caught:
            recast.review(batch, "shoe-1", jobs=jobs, say="approved")
        assert unsaid(str(caught.value), "keys", "shoe-1", "jobs") == []


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({"say": "good"}, ("say", "good", "approved", "undo")),
        ({"say": "approved", "verdict": "fine"}, ("verdict", "fine", "needs_work")),
        ({"say": "approved", "check": ["ugly"]}, ("check", "ugly", "any", "blurred")),
        ({"say": "approved", "check": []}, ("check", "empty")),
        ({"say": "approved", "jobs": []}, ("jobs", "empty")),
        ({"say": "needs_work", "reasons": ["ugly"]}, ("reason", "ugly", "hair")),
        ({"say": "approved", "reason": "nope"}, ("reason", "nope", "hair")),
        ({"say": "approved", "dry_run": "no"}, ("dry_run", "'no'", "True")),
    ],
)
def test_what_cannot_be_said_is_refused(database: Database, asked: dict[str, Any], facts: tuple[str, ...]) -> None:
    made(database, 1)
    with pytest.raises(InvalidJobError) as caught:
        recast.review("spring", **asked)
    assert unsaid(str(caught.value), *facts) == []
    assert facts[0] == caught.value.field
    with pytest.raises(CatalogError):
        recast.review("none", say="approved")
    with pytest.raises(CatalogError):
        recast.review("spring", "none", say="approved")


@pytest.fixture
def redoable(database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A batch of three pictures and two single ones, of which the first of each is flagged; the single jobs."""
    monkeypatch.setattr("desk.programs.wake", lambda *_: None)
    flag(database, results(database, made(database, 3))[0])
    singles = database.jobs(2, state="succeeded")
    flag(database, *give(database, singles[0]))
    give(database, singles[1])
    return singles


def redone(database: Database) -> list[str]:
    return [row.job_id for row in database.sql("SELECT job_id FROM redos ORDER BY job_id")]


def test_flagged_pictures_are_redone(database: Database, redoable: list[str]) -> None:
    counted = recast.redo("spring", check=["blurred"], dry_run=True)
    assert (counted.jobs, counted.done, counted.cost.amount) == (1, 0, Decimal("0.02"))
    assert recast.redo("spring", check=["blurred"], verdict="approved").jobs == 0
    assert recast.redo("spring", check=["no_face", "other_size"]).jobs == 0
    assert recast.redo("spring", check=["any"], dry_run=True) == counted
    assert redone(database) == []
    assert recast.redo("spring", check=["blurred", "no_face"], max_cost="0.04").done == 1
    assert redone(database) == ["job-00000"]
    assert recast.redo("spring", check=["blurred"]).jobs == 0, "it has no picture to look at now"


def test_single_pictures_are_redone(database: Database, redoable: list[str]) -> None:
    assert recast.redo(singles=True, dry_run=True).jobs == 2
    assert recast.redo(singles=True, check=["blurred"]).done == 1
    assert redone(database) == [redoable[0]]
    assert recast.redo(singles=True).done == 1, "the other one; this one is under way"
    assert redone(database) == redoable


@pytest.mark.usefixtures("redoable")
@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({}, ("batch", "jobs", "singles")),
        ({"batch": ""}, ("batch", "missing")),
        ({"batch": "spring", "singles": True}, ("singles", "batch")),
        ({"jobs": ["job-00000"], "singles": True}, ("singles", "jobs")),
        ({"batch": "spring", "check": ["ugly"]}, ("check", "ugly", "blurred")),
        ({"batch": "spring", "check": "blurred"}, ("check", "['blurred']")),
        ({"batch": "spring", "check": []}, ("check", "empty")),
        ({"singles": True, "check": ()}, ("check", "empty")),
        ({"batch": "spring", "jobs": []}, ("jobs", "empty")),
        ({"singles": True, "jobs": set()}, ("jobs", "empty")),
        ({"batch": "spring", "verdict": "fine"}, ("verdict", "fine", "needs_work")),
        ({"batch": "spring", "reason": "nope"}, ("reason", "nope", "hair")),
        ({"singles": "no"}, ("singles", "'no'", "True", "False")),
        ({"batch": "spring", "dry_run": 0}, ("dry_run", "0", "True")),
        ({"singles": True, "max_cost": "0.01"}, ("max_cost", "0.01", "0.08")),
    ],
)
def test_a_redo_that_cannot_be_meant_is_refused(
    database: Database, asked: dict[str, Any], facts: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidJobError) as caught:
        recast.redo(**asked)
    assert unsaid(str(caught.value), *facts) == []
    assert not caught.value.message.startswith(f"{caught.value.field}:"), "it is named once"
    assert redone(database) == []


def test_a_pilot_says_what_the_rest_would_cost_and_goes_on(
    database: Database, runtime: Runtime, tmp_path: Path
) -> None:
    catalogs.picture(tmp_path / "a.png")
    catalogs.picture(tmp_path / "b.png", side=20)
    rows = [catalogs.swap(f"row-{number}", target="b.png", operation="zhiqite.swap") for number in range(10)]
    path = catalogs.write_csv(tmp_path / "spring.csv", rows)
    with take_in(path, runtime.accounts, Reach(public_url=True, presigned=False)) as intake:
        enqueue(runtime, intake, RunOptions(pilot="2"))
    (job, _) = [row.id for row in database.sql("SELECT id FROM jobs WHERE lane NOT LIKE '!%' ORDER BY id")]
    give(database, job, cost="0.03")
    database.sql("UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = :id", id=job)
    assert recast.review("spring", say="approved").done == 1
    found = recast.pilot("spring")
    assert (found.sample, found.made, found.approved, found.waiting, found.decision) == (2, 1, 1, 8, None)
    assert found.likely.amount >= Decimal("0.16")
    assert found.accepted == 8
    assert found.accepted_low <= 8 <= found.accepted_high
    for wrong in ({"decide": "maybe"}, {"max_cost": "5"}, {"decide": "go_on", "max_cost": "much"}):
        with pytest.raises(InvalidJobError):
            recast.pilot("spring", **wrong)  # type: ignore[arg-type]
    assert recast.pilot("spring", decide="go_on", max_cost="9.00").done == 8
    assert database.one("SELECT max_cost FROM batches WHERE name = 'spring'") == Decimal("9.00")
    assert recast.pilot("spring").decision == "went_on"
    with pytest.raises(InvalidJobError) as caught:
        recast.pilot("spring", decide="stop")
    assert unsaid(str(caught.value), "ops") == []
    database.batch("plain")
    with pytest.raises(InvalidJobError) as caught:
        recast.pilot("plain")
    assert unsaid(str(caught.value), "plain", "--pilot") == []
