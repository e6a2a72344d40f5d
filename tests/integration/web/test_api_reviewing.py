"""Review over the API: what is listed by verdict, reason and flag, many verdicts at once, and what is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk import audit
from models.checks import CheckName
from models.people import Role
from tests.integration.desk.pictures import give, made, results
from tests.integration.web.asking import Program, chosen, problem, token
from web.app import build
from workers.config.settings import Settings
from workers.jobs.run_options import RunOptions
from workers.schedules import service as schedules
from workers.schedules.cron import CronSchedule
from workers.schedules.service import Agreement

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database", "tests.integration.web.programs"]

NUMBER = 9


@pytest.fixture
def reviewer(database: Database, there: Settings) -> Iterator[Program]:
    with Program(build(there), token(database, "shop", Role.REVIEWER)) as program:
        yield program


@pytest.fixture
def pictures(database: Database) -> list[int]:
    """A batch of nine: the first three are approved, the next two need work, one of them for its hair."""
    return list(results(database, made(database, NUMBER)))


def flag(database: Database, result: int, name: CheckName) -> None:
    database.sql(
        "INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)"
        " SELECT r.id, :name, j.id, j.batch_id, j.seq, 0.9, 0.5, true, 0.2"
        " FROM results r JOIN jobs j ON j.id = r.job_id WHERE r.id = :id", id=result, name=name.value,
    )  # fmt: skip


def say(program: Program, result: int, verdict: str, *reasons: str, based_on: int = 0) -> Any:
    answer = program.ask(
        "PUT", f"/results/{result}/verdict", {"verdict": verdict, "reasons": reasons, "based_on": based_on}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(program: Program, limit: int = 2, **query: Any) -> list[int]:
    """Every page of the results, by their numbers."""
    found: list[int] = []
    after: Any = 0
    while after is not None:
        page = program.get("/batches/spring/results", params={"limit": limit, "after": after, **query})
        assert len(page["items"]) <= limit
        found += [item["id"] for item in page["items"]]
        after = page["next"]
    return found


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_results_are_listed_by_verdict_reason_and_flag(
    database: Database, reviewer: Program, pictures: list[int], limit: int
) -> None:
    for result in pictures[:3]:
        say(reviewer, result, "approved")
    say(reviewer, pictures[3], "needs_work", "hair")
    say(reviewer, pictures[4], "needs_work", "hands")
    for result in (pictures[1], pictures[4], pictures[8]):
        flag(database, result, CheckName.BLURRED)
    flag(database, pictures[4], CheckName.NO_FACE)
    assert listed(reviewer, limit) == pictures
    assert listed(reviewer, limit, verdict="approved") == pictures[:3]
    assert listed(reviewer, limit, verdict="needs_work") == pictures[3:5]
    assert listed(reviewer, limit, verdict="unreviewed") == pictures[5:]
    assert listed(reviewer, limit, reason="hair") == [pictures[3]]
    assert listed(reviewer, limit, reason="hair", verdict="needs_work") == [pictures[3]]
    assert listed(reviewer, limit, check="blurred") == [pictures[1], pictures[4], pictures[8]]
    assert listed(reviewer, limit, check="blurred", verdict="approved") == [pictures[1]]
    assert listed(reviewer, limit, check="blurred", verdict="unreviewed") == [pictures[8]]
    assert listed(reviewer, limit, check="any") == [pictures[1], pictures[4], pictures[8]], "each of them once"
    assert listed(reviewer, limit, check="any", verdict="approved") == [pictures[1]]
    assert listed(reviewer, limit, check="no_face", reason="hands") == [pictures[4]]
    assert listed(reviewer, limit, check="no_face", reason="hair") == []
    page = reviewer.get("/batches/spring/results", params={"check": "no_face"})
    assert sorted(page["items"][0]["flags"]) == ["blurred", "no_face"]
    problem(reviewer.ask("GET", "/batches/spring/results?reason=hair&verdict=approved"), 422, "reason", "needs_work")
    problem(reviewer.ask("GET", "/batches/spring/results?reason=nope"), 422, "reason", "nope", "hair")
    problem(reviewer.ask("GET", "/results?reason=nope"), 422, "reason", "nope")
    assert listed(reviewer, limit, reason="wrong person") == [], "it is in the list"
    database.sql("UPDATE verdicts SET reasons = '[\"nope\"]' WHERE result_id = :id", id=pictures[4])
    assert listed(reviewer, limit, reason="nope") == [pictures[4]], "it was in the list once"
    problem(reviewer.ask("GET", "/batches/spring/results?check=nothing"), 422, "check", "any", "blurred")

    counts = reviewer.get("/batches/spring/checks")
    assert (counts["counts"]["blurred"], counts["counts"]["no_face"], counts["pictures"]) == (3, 1, 3)
    problem(reviewer.ask("GET", "/batches/none/checks"), 404)


def test_a_redone_job_is_listed_with_all_of_its_pictures(database: Database, reviewer: Program) -> None:
    pictures = results(database, made(database, 2, pictures=3))
    say(reviewer, pictures[3], "approved")
    assert listed(reviewer, 1, verdict="approved") == list(pictures[3:])
    assert listed(reviewer, 2, verdict="unreviewed") == list(pictures[:3])


def test_a_verdict_is_taken_back_and_another_picture_chosen(
    database: Database, reviewer: Program, there: Settings
) -> None:
    first, second = results(database, made(database, 1, pictures=2))
    say(reviewer, first, "approved")
    decided = reviewer.ask("POST", f"/results/{second}/choose", {}).json()
    assert (decided["chosen"], decided["job_verdict"]) == (second, "unreviewed")
    decided = reviewer.ask("POST", f"/results/{first}/undo", {}).json()
    assert (decided["result_id"], decided["verdict"]) == (first, "unreviewed")
    problem(reviewer.ask("POST", f"/results/{first}/undo", {}), 422, "take back")
    for path in ("/results/999/undo", "/results/999/choose", "/results/x/undo"):
        problem(reviewer.ask("POST", path, {}), 404)
    with Program(build(there), token(database, "looker", Role.VIEWER)) as viewer:
        for path in (f"/results/{first}/undo", f"/results/{first}/choose"):
            problem(viewer.ask("POST", path, {}), 403, "reviewer")


def test_many_pictures_are_decided_about_at_once(
    database: Database, reviewer: Program, pictures: list[int], there: Settings
) -> None:
    say(reviewer, pictures[0], "needs_work", "hair")
    flag(database, pictures[2], CheckName.BLURRED)
    path = "/batches/spring/verdicts"

    def ask(**body: Any) -> Any:
        answer = reviewer.ask("POST", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    blurred = {"filter": {"check": ["blurred"]}, "verdict": "needs_work", "reasons": ["blurred"]}
    assert ask(**blurred, dry_run=True) == {"dry_run": True, "pictures": 1, "done": 0, "left_out": {}}
    assert database.one("SELECT count(*) FROM verdicts") == 1
    assert ask(**blurred)["done"] == 1
    assert ask(verdict="approved") == {"dry_run": False, "pictures": 7, "done": 7, "left_out": {}}
    assert listed(reviewer, verdict="needs_work") == [pictures[0], pictures[2]]
    assert ask(verdict="approved", filter={"fault": "hair"})["pictures"] == 0, "those without a verdict are meant"
    assert ask(verdict="approved", filter={"fault": "hair", "verdict": "needs_work"})["done"] == 1
    (entry,) = database.run(audit.latest, 1)
    assert (entry.person, entry.via, entry.detail["pictures"]) == ("token shop", "api", 1)

    taken_back = ask(undo=True, dry_run=True)
    assert (taken_back["pictures"], taken_back["done"]) == (9, 0)
    with Program(build(there), token(database, "other", Role.REVIEWER)) as other:
        none = other.ask("POST", path, {"undo": True, "dry_run": True}).json()
        assert (none["pictures"], none["left_out"]) == (0, {"not_yours": 9})
        assert other.ask("POST", path, {"undo": True}).json() == none | {"dry_run": False}
    assert ask(undo=True, filter={"verdict": "approved"})["done"] == 8
    assert listed(reviewer, verdict="needs_work") == [pictures[0], pictures[2]]
    nope = {"verdict": "approved", "filter": {"fault": "nope", "verdict": "needs_work"}}
    problem(reviewer.ask("POST", path, nope), 422, "fault", "nope", "hair")
    redo = {"filter": {"batch": "spring", "fault": "nope"}, "dry_run": True}
    problem(reviewer.ask("POST", "/redo", redo), 422, "fault", "nope", "hair")
    for body in ({}, {"verdict": "approved", "undo": True}, {"verdict": "needs_work", "reasons": ["no such"]}):
        problem(reviewer.ask("POST", path, body), 422)
    problem(reviewer.ask("POST", "/batches/none/verdicts", {"verdict": "approved"}), 404)
    with Program(build(there), token(database, "looker", Role.VIEWER)) as viewer:
        problem(viewer.ask("POST", path, {"verdict": "approved"}), 403, "reviewer")


def test_many_single_jobs_are_decided_about_at_once(
    database: Database, reviewer: Program, pictures: list[int], there: Settings
) -> None:
    jobs = database.jobs(4, state="succeeded")
    for job in jobs:
        give(database, job)
    path = "/jobs/verdicts"

    def ask(**body: Any) -> Any:
        answer = reviewer.ask("POST", path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert ask(verdict="approved", dry_run=True) == {"dry_run": True, "pictures": 4, "done": 0, "left_out": {}}
    wrong = {"verdict": "needs_work", "reasons": ["hair"], "filter": {"jobs": [*jobs[:2], "job-00000", "none"]}}
    assert ask(**wrong) == {"dry_run": False, "pictures": 2, "done": 2, "left_out": {}}, (
        "those of batches are not meant"
    )
    assert ask(verdict="approved", filter={"account": "nobody"})["pictures"] == 0
    assert ask(verdict="approved") == {"dry_run": False, "pictures": 2, "done": 2, "left_out": {}}
    assert ask(**wrong)["left_out"] == {"same": 2}
    assert ask(undo=True, filter={"fault": "hair"})["done"] == 2
    rows = database.sql("SELECT job_id, verdict FROM reviews WHERE verdict <> 'unreviewed' ORDER BY 1")
    assert [tuple(row) for row in rows] == [(job, "approved") for job in jobs[2:]]
    (entry,) = database.run(audit.latest, 1)
    assert (entry.via, entry.subject) == ("api", "single jobs")
    for body in ({}, {"verdict": "fine"}, {"verdict": "approved", "filter": {"jobs": []}}, {"filter": {"batch": "x"}}):
        problem(reviewer.ask("POST", path, body), 422)
    with Program(build(there), token(database, "looker", Role.VIEWER)) as viewer:
        problem(viewer.ask("POST", path, {"verdict": "approved"}), 403, "reviewer")


def test_what_was_approved_stands_beside_what_was_spent(
    database: Database, reviewer: Program, pictures: list[int]
) -> None:
    for result in pictures[:4]:
        say(reviewer, result, "approved")
    plain = reviewer.get("/spend", params={"by": "operation"})
    assert plain["rows"] == [{"operation": "zhiqite.swap", "spent": plain["total"]}]
    (row,) = reviewer.get("/spend", params={"by": "operation", "approved": "true"})["rows"]
    assert (row["approved"], row["per_approved"]["amount"]) == (4, "0.045")
    problem(reviewer.ask("GET", "/spend?by=month&approved=true"), 422, "batch")
    problem(reviewer.ask("GET", "/spend?month=2026-01&approved=true"), 422, "approved")


def test_priorities_are_set_and_a_schedule_is_run_within_a_limit(
    database: Database, there: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    monkeypatch.setattr("desk.schedule_runs.start", started.append)
    database.account()
    database.jobs(3, batch=database.batch("spring"))
    catalog = tmp_path / "catalog.csv"
    catalog.write_text("key,kind,source,target\n1,swap,a,b\n")
    cron = CronSchedule("0 3 * * *", "Europe/Berlin")
    for name, options in (("nightly", RunOptions(max_cost=Decimal("1.50"))), ("open", RunOptions())):
        database.run(schedules.add, Agreement(name, str(catalog), cron, options=options))
    app = build(there)
    with Program(app, token(database, "free", Role.OPERATOR)) as free:
        answer = free.ask("POST", "/bulk/set-priority", {"filter": {"batch": "spring"}, "priority": 7}).json()
        assert (answer["bulk_operation"], answer["jobs"], answer["done"]) == ("set-priority", 3, 3)
        assert {row.priority for row in database.sql("SELECT priority FROM jobs")} == {7}
        problem(free.ask("POST", "/bulk/set-priority", {"filter": {}, "priority": 7}), 422, "filter")
        refused = problem(free.ask("POST", "/schedules/nightly/run", {}), 403, "limit", "--spend-per-day")
        assert "quote" not in refused["detail"], "there is none for a run of a schedule"
    with Program(app, token(database, "bound", Role.OPERATOR, 2)) as bound:
        problem(bound.ask("POST", "/schedules/none/run", {}), 404)
        problem(bound.ask("POST", "/schedules/open/run", {}), 422, "max_cost")
        assert bound.ask("POST", "/schedules/nightly/run", {}).json()["name"] == "nightly"
        problem(bound.ask("POST", "/schedules/nightly/run", {}), 403, "1.50")
    with Program(app, token(database, "rich", Role.OPERATOR, 9)) as rich:
        problem(rich.ask("POST", "/schedules/nightly/run", {}), 409, "nightly", "overlap", "skip")
    assert len(started) == 1


def test_jobs_are_rerouted_where_they_are_not_dearer(database: Database, tmp_path: Path) -> None:
    there = chosen(database, tmp_path, free={"prices": {"swap": "0.05 USD"}})
    database.account()
    database.jobs(2, batch=database.batch("spring"), operation="zhiqite.swap")
    with Program(build(there), token(database, "shop", Role.OPERATOR)) as shop:
        body = {"filter": {"batch": "spring"}, "to": "main"}
        seen = shop.ask("POST", "/bulk/reroute", body | {"dry_run": True}).json()
        assert (seen["jobs"], seen["done"], seen["cost"]["amount"]) == (2, 0, "0.08")
        assert {row.lane for row in database.sql("SELECT lane FROM jobs")} == {"zhiqite.swap"}
        assert shop.ask("POST", "/bulk/reroute", body).json()["done"] == 2
        assert {row.account for row in database.sql("SELECT account FROM jobs")} == {"main"}
        # From where they are pinned now, the other account is dearer.
        problem(shop.ask("POST", "/bulk/reroute", body | {"to": "free"}), 422, "to", "0.20", "0.08")
        assert {row.account for row in database.sql("SELECT account FROM jobs")} == {"main"}
        problem(shop.ask("POST", "/bulk/reroute", body | {"to": "none"}), 422, "to", "main")
    (entry,) = database.run(audit.latest, 1)
    assert (entry.action, entry.detail) == ("reroute", {"to": "main", "jobs": 2})
