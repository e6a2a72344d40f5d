"""Jobs that came one by one, changed by programs: each verb takes them in place of a batch, and by quote what pays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from desk import audit
from models.people import Role
from tests.integration.desk.pictures import give, made
from tests.integration.web.asking import Program, problem, token
from web.api import tools
from web.api.endpoints import Service
from web.app import build
from workers.engine.runtime import Runtime

if TYPE_CHECKING:
    from tests.integration.database import Database
    from workers.config.settings import Settings

pytest_plugins = ["tests.integration.database", "tests.integration.web.programs"]

SINGLES = {"singles": True}
SPENT = "SELECT sum(spent) FROM tokens"


@pytest.fixture
def shop(database: Database, there: Settings) -> Iterator[Program]:
    with Program(build(there), token(database, "shop", Role.OPERATOR, Decimal(1))) as program:
        yield program


@pytest.fixture
def singles(database: Database) -> list[str]:
    """Two single jobs with pictures, one that failed, and two that wait, beside a batch that has all of these."""
    database.account()
    batch = made(database, 2)
    database.jobs(1, batch=batch, state="failed")
    database.jobs(1, batch=batch)
    found = [*database.jobs(2, state="succeeded"), *database.jobs(1, state="failed"), *database.jobs(2)]
    for job in found[:2]:
        give(database, job)
    return found


def states(database: Database, *, of_batches: bool = False) -> list[str]:
    """The states of single jobs, or of all others, in their order."""
    return [row.state for row in database.sql("SELECT state, batch_id FROM jobs ORDER BY seq")
            if (row.batch_id > 0) is of_batches]  # fmt: skip


def subjects(database: Database, *verbs: str) -> None:
    """Check what the audit has of the last things that were done."""
    found = [(entry.action, entry.subject) for entry in database.run(audit.latest, len(verbs))]
    assert found == [(verb, "single jobs") for verb in verbs]


def test_what_costs_nothing_is_counted_and_done(database: Database, shop: Program, singles: list[str]) -> None:
    before = states(database, of_batches=True)
    asked = {"filter": SINGLES}
    counted = shop.ask("POST", "/bulk/pause", asked | {"dry_run": True}).json()
    assert (counted["jobs"], counted["done"]) == (2, 0)
    paused = shop.ask("POST", "/bulk/pause", asked).json()
    assert (paused["jobs"], paused["done"], "batches" in paused) == (2, 2, False)
    parked = database.sql("SELECT id FROM jobs WHERE starts_with(lane, '!@') ORDER BY id")
    assert [row.id for row in parked] == sorted(singles[3:])
    database.jobs(1)
    assert shop.ask("POST", "/bulk/resume", asked).json()["done"] == 2, "that one came later, and was never paused"
    assert shop.ask("POST", "/bulk/set-priority", asked | {"priority": 5}).json()["done"] == 3
    assert shop.ask("POST", "/bulk/reroute", asked | {"to": "main", "dry_run": True}).json()["jobs"] == 3
    assert shop.ask("POST", "/bulk/cancel", {"filter": SINGLES | {"newer": "1h"}}).json()["done"] == 3
    assert shop.ask("POST", "/bulk/redownload", asked).json()["done"] == 0
    assert states(database) == ["succeeded"] * 2 + ["failed"] + ["canceled"] * 3
    assert states(database, of_batches=True) == before
    subjects(database, "redownload", "cancel", "set-priority", "resume", "pause")


def test_a_retry_is_quoted_and_taken_once(database: Database, shop: Program, singles: list[str]) -> None:
    asked = {"filter": SINGLES}
    problem(shop.ask("POST", "/bulk/retry", asked), 422, "quote", "dry_run")
    assert shop.ask("POST", "/bulk/retry", {"filter": SINGLES | {"account": "nobody"}, "dry_run": True}).json()[
        "quote"
    ] is None  # fmt: skip
    found = shop.ask("POST", "/bulk/retry", asked | {"dry_run": True}).json()
    assert (found["jobs"], found["done"], found["quote"]["ceiling"]["amount"]) == (1, 0, "0.04")
    quote = {"quote": found["quote"]["quote"]}
    assert shop.ask("POST", "/bulk/retry", quote).json()["done"] == 1
    problem(shop.ask("POST", "/bulk/retry", quote), 409, "once")
    assert (states(database)[2], database.one(SPENT)) == ("queued", Decimal("0.04"))
    assert states(database, of_batches=True).count("failed") == 1
    subjects(database, "retry")


def test_a_redo_takes_only_what_is_as_it_was(database: Database, shop: Program, singles: list[str]) -> None:
    database.sql(
        "INSERT INTO checks (result_id, job_id, batch_id, seq, name, score, threshold, flagged, rank)"
        " SELECT r.id, j.id, j.batch_id, j.seq, 'blurred', 0.7, 0.5, true, 0.1"
        " FROM jobs j JOIN results r ON r.job_id = j.id WHERE j.id = :job", job=singles[1],
    )  # fmt: skip
    flagged = {"filter": SINGLES | {"check": ["blurred"]}, "dry_run": True}
    assert shop.ask("POST", "/redo", flagged).json()["jobs"] == 1
    assert shop.ask("POST", "/redo", flagged | {"filter": SINGLES | {"check": ["any"]}}).json()["jobs"] == 1
    found = shop.ask("POST", "/redo", {"filter": SINGLES, "dry_run": True}).json()
    assert (found["jobs"], found["quote"]["ceiling"]["amount"]) == (2, "0.08")
    database.sql("UPDATE jobs SET version = 2 WHERE id = :job", job=singles[0])
    assert shop.ask("POST", "/redo", {"quote": found["quote"]["quote"]}).json()["done"] == 1
    assert [row.job_id for row in database.sql("SELECT job_id FROM redos")] == [singles[1]]
    problem(shop.ask("POST", "/redo", {"filter": SINGLES | {"check": ["ugly"]}, "dry_run": True}), 422, "ugly", "check")


def test_held_jobs_are_listed_and_decided(database: Database, shop: Program, singles: list[str]) -> None:
    held = database.jobs(2, state="held", reason="unclear_submit")
    for job in [*held, *database.jobs(1, batch=1, state="held", reason="unclear_submit")]:
        database.attempt(job, state="unknown", cost="0.02")
    assert len(shop.get("/held")["items"]) == 3
    found = shop.get("/held?singles=true")
    assert ([job["job_id"] for job in found["items"]], found["cost"]["amount"]) == (held, "0.04")
    problem(shop.ask("GET", "/held?singles=true&batch=spring"), 422, "singles", "batch")
    asked: dict[str, Any] = {"filter": SINGLES, "verdict": "not_accepted", "dry_run": True}
    quote = shop.ask("POST", "/resolve", asked).json()["quote"]
    assert quote["ceiling"]["amount"] == "0.08"
    assert shop.ask("POST", "/resolve", {"filter": SINGLES, "verdict": "give_up"}).json()["resolved"] is True
    subjects(database, "resolve")
    problem(shop.ask("POST", "/resolve", {"quote": quote["quote"]}), 409, "changed")
    assert (states(database).count("failed"), states(database, of_batches=True).count("held")) == (3, 1)


def test_their_results_are_listed_and_judged(database: Database, shop: Program, singles: list[str]) -> None:
    rows = database.sql("SELECT r.id, r.job_id FROM results r JOIN jobs j ON j.id = r.job_id ORDER BY j.seq")
    others, (first, second) = [row.id for row in rows[:2]], rows[2:]
    page = shop.get("/results?limit=1")
    assert [(each["id"], each["job"]) for each in page["items"]] == [(first.id, singles[0])]
    assert page["next"] == first.id
    assert [each["id"] for each in shop.get(f"/results?after={first.id}")["items"]] == [second.id]
    problem(shop.ask("GET", f"/results?after={others[0]}"), 422, "after", others[0])
    problem(shop.ask("GET", f"/batches/spring/results?after={first.id}"), 422, "after", first.id)
    said = {"verdict": "needs_work", "reasons": ["hair"], "based_on": 0}
    assert shop.ask("PUT", f"/results/{second.id}/verdict", said).status_code == 200
    for query, found in (("verdict=unreviewed", [first.id]), ("reason=hair", [second.id]), ("check=blurred", [])):
        assert [each["id"] for each in shop.get(f"/results?{query}")["items"]] == found
    assert [each["id"] for each in shop.get("/batches/spring/results")["items"]] == others


@pytest.mark.parametrize(
    ("which", "facts"),
    [
        (SINGLES | {"batch": "spring"}, ("singles", "batch")),
        (SINGLES | {"label": "shoes"}, ("singles", "label")),
        (SINGLES | {"jobs": ["job-00000"]}, ("singles", "jobs")),
        ({"singles": False}, ("filter", "no jobs")),
        ({}, ("filter", "no jobs")),
        (SINGLES | {"jobs": []}, ("filter.jobs",)),
        ({"batch": "spring", "jobs": []}, ("filter.jobs",)),
        ({"batch": "spring", "state": []}, ("filter.state",)),
        ({"batch": ""}, ("filter.batch",)),
        (SINGLES | {"state": ["lost"]}, ("lost", "queued")),
        ({"singles": "yes"}, ("singles",)),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    database: Database, shop: Program, singles: list[str], which: dict[str, Any], facts: tuple[str, ...]
) -> None:
    before = database.sql("SELECT id, state, lane FROM jobs ORDER BY id")
    for path, more in (
        ("/bulk/cancel", {}), ("/bulk/pause", {}), ("/bulk/retry", {"dry_run": True}), ("/redo", {"dry_run": True}),
    ):  # fmt: skip
        problem(shop.ask("POST", path, {"filter": which} | more), 422, *facts)
    problem(shop.ask("POST", "/resolve", {"filter": SINGLES | {"jobs": []}, "verdict": "give_up"}), 422, "filter.jobs")
    assert database.sql("SELECT id, state, lane FROM jobs ORDER BY id") == before


def test_single_jobs_are_changed_by_operators_alone(database: Database, there: Settings, singles: list[str]) -> None:
    asked = {"filter": SINGLES}
    for role in (Role.VIEWER, Role.REVIEWER):
        with Program(build(there), token(database, role.value, role)) as other:
            for verb in ("cancel", "pause", "resume", "redownload", "retry"):
                problem(other.ask("POST", f"/bulk/{verb}", asked | {"dry_run": True}), 403, role.value)
            if role is Role.VIEWER:
                problem(other.ask("GET", "/held?singles=true"), 403)
                problem(other.ask("POST", "/redo", asked | {"dry_run": True}), 403)
    assert states(database).count("queued") == 2


def test_assistants_say_the_same(database: Database, there: Settings, singles: list[str]) -> None:
    shown = token(database, "assistant", Role.OPERATOR, Decimal(1))
    with closing(Runtime(there, secrets=())) as runtime:
        service = Service(runtime, 60.0)
        assert tools.call(service, shown, "pause", {"filter": SINGLES, "dry_run": True})["jobs"] == 2
        quote = tools.call(service, shown, "plan", {"redo": {"filter": SINGLES}})["quote"]
        assert quote["ceiling"]["amount"] == "0.08"
        assert tools.call(service, shown, "confirm", {"quote": quote["quote"]})["done"] == 2
        assert tools.call(service, shown, "held", SINGLES)["items"] == []
        listed = tools.call(service, shown, "jobs_of_singles", {"state": ["failed"]})
        assert [job["id"] for job in listed["items"]] == [singles[2]]
        assert len(tools.call(service, shown, "results_of_singles", {})["items"]) == 2
