"""What programs pay for without a catalog: single jobs, redos and decisions, by quote or within a day's limit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk import audit
from models.people import Role
from tests.integration.desk.pictures import made
from tests.integration.web.asking import Program, chosen, problem, token
from web.app import build

if TYPE_CHECKING:
    from tests.integration.database import Database
    from workers.config.settings import Settings

pytest_plugins = ["tests.integration.database", "tests.integration.web.programs"]

JOB = {"kind": "swap", "source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
PRICE, AT_MOST = "0.02", "0.04"
SPENT = "SELECT sum(spent) FROM tokens"


@pytest.fixture
def shown(database: Database) -> str:
    return token(database, "shop", Role.OPERATOR, Decimal("0.10"))


@pytest.fixture
def shop(there: Settings, shown: str) -> Iterator[Program]:
    """A program that may spend 0.10 in a day: two jobs with their repeats, and no third one."""
    with Program(build(there), shown) as program:
        yield program


# --- Single jobs --------------------------------------------------------------------------------------------------


def test_a_job_is_paid_by_what_the_token_may_spend_in_a_day(database: Database, shop: Program) -> None:
    sent = shop.ask("POST", "/jobs", JOB | {"priority": 5, "consent": "R-1"}).json()
    assert (sent["new"], sent["cost"]["amount"], sent["at_most"]["amount"]) == (True, PRICE, AT_MOST)
    assert shop.get(f"/jobs/{sent['job']}")["job"]["batch_id"] == 0, "a single job, as those of producers are"
    (row,) = database.sql("SELECT state, batch_id, lane, priority, extra FROM jobs")
    assert (row.state, row.batch_id, row.lane, row.priority) == ("queued", 0, "zhiqite.swap", 5)
    assert row.extra == {"consent": "R-1"}
    assert database.one("SELECT count(*) FROM announcements") == 0, "no task waits for it"
    (entry, *_) = database.run(audit.latest, 1)
    assert (entry.person, entry.action, entry.subject) == ("token shop", "job", f"job {sent['job']}")
    assert shop.ask("POST", "/jobs", JOB).status_code == 200
    problem(shop.ask("POST", "/jobs", JOB), 403, "0.10 USD", "0.08 USD", "0.04 USD")
    assert (database.one("SELECT count(*) FROM jobs"), database.one(SPENT)) == (2, Decimal("0.08"))


def test_a_token_without_a_limit_needs_a_quote_for_a_job(database: Database, there: Settings) -> None:
    with Program(build(there), token(database, "rich", Role.OPERATOR)) as rich:
        problem(rich.ask("POST", "/jobs", JOB), 403, "dry_run", "--spend-per-day")
        found = rich.ask("POST", "/jobs", JOB | {"dry_run": True}).json()
        assert (found["job"], found["quote"]["ceiling"]["amount"]) == (None, AT_MOST)
        assert database.one("SELECT count(*) FROM jobs") == 0
        quote = {"quote": found["quote"]["quote"]}
        problem(rich.ask("POST", "/jobs", quote | {"prompt": "x"}), 422, "quote")
        assert rich.ask("POST", "/jobs", quote).json()["new"] is True
        problem(rich.ask("POST", "/jobs", quote), 409, "once")
        problem(rich.ask("POST", "/redo", quote), 422, "quote")
    assert database.one("SELECT count(*) FROM jobs") == 1
    assert database.one("SELECT content IS NULL FROM quotes"), "its pictures are not kept"


def test_a_job_that_is_sent_twice_is_one_job(database: Database, there: Settings, shop: Program) -> None:
    headers = {"Idempotency-Key": "one"}
    first, again = (shop.ask("POST", "/jobs", JOB, headers=headers).json() for _ in range(2))
    assert first == again
    # The process died before it wrote the answer down.
    database.sql("UPDATE kept_answers SET status = NULL, created_at = now() - interval '11 minutes'")
    found = shop.ask("POST", "/jobs", JOB, headers=headers).json()
    assert (found["job"], found["new"]) == (first["job"], False)
    keyed = JOB | {"dedupe_key": "order-7"}
    one = shop.ask("POST", "/jobs", keyed).json()
    problem(shop.ask("POST", "/jobs", JOB), 403)
    two = shop.ask("POST", "/jobs", keyed).json()
    assert (two["job"], two["new"]) == (one["job"], False), "it costs nothing, so no limit stands before it"
    problem(shop.ask("POST", "/jobs", keyed | {"target": "https://example.com/c.jpg"}), 422, "dedupe_key", "order-7")
    assert (database.one("SELECT count(*) FROM jobs"), database.one(SPENT)) == (2, Decimal("0.08"))


def test_jobs_at_once_never_pass_the_limit_of_the_day(database: Database, there: Settings, shown: str) -> None:
    def send(number: int) -> int:
        with Program(build(there), shown) as one:
            return one.ask("POST", "/jobs", JOB | {"dedupe_key": f"order-{number % 4}"}).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(send, range(12)))
    assert set(statuses) == {200, 403}
    assert (database.one("SELECT count(*) FROM jobs"), database.one(SPENT)) == (2, Decimal("0.08"))


WRONG: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"kind": None}, ("kind", "swap", "generate")),
    ({"kind": "paint"}, ("kind", "paint", "swap")),
    ({"target": None}, ("target", "missing")),
    ({"image": "https://example.com/c.jpg"}, ("image", "source")),
    ({"source": "faces/a.jpg"}, ("source", "faces/a.jpg", "absolute")),
    ({"source": "https://"}, ("source",)),
    ({"operation": "zhiqite.paint"}, ("operation", "zhiqite.paint", "zhiqite.swap")),
    ({"account": "other"}, ("account", "other", "main")),
    ({"options": {"color": "red"}}, ("options", "color")),
    ({"options": {"color": "\0"}}, ()),
    ({"priority": 101}, ("priority", "101", "100")),
    ({"dedupe_key": ""}, ("dedupe_key",)),
    ({"batch": "spring"}, ("batch",)),
]


def test_a_wrong_job_is_refused_with_its_field(database: Database, shop: Program) -> None:
    for change, facts in WRONG:
        for more in ({}, {"dry_run": True}):
            answer = shop.ask("POST", "/jobs", JOB | change | more)
            problem(answer, 400 if change == {"options": {"color": "\0"}} else 422, *facts)
    assert (database.one("SELECT count(*) FROM jobs"), database.one("SELECT count(*) FROM quotes")) == (0, 0)
    assert database.one(SPENT) == 0


def test_what_has_no_price_is_not_sent(database: Database, tmp_path: Path) -> None:
    there = chosen(database, tmp_path, free={"prices": {}})
    made(database, 1)
    with Program(build(there), token(database, "shop", Role.OPERATOR, Decimal(1))) as shop:
        problem(shop.ask("POST", "/jobs", JOB), 422, "operation", "free", "zhiqite.swap")
        problem(shop.ask("POST", "/redo", {"filter": {"batch": "spring"}, "dry_run": True}), 422, "free")
        assert shop.ask("POST", "/jobs", JOB | {"account": "main"}).status_code == 200


# --- Redos --------------------------------------------------------------------------------------------------------


def test_pictures_are_asked_for_again_by_quote_only(database: Database, shop: Program) -> None:
    batch = made(database, 3)
    asked: dict[str, Any] = {"filter": {"batch": "spring"}, "change": {"to": "main"}}
    problem(shop.ask("POST", "/redo", asked), 422, "quote", "dry_run")
    found = shop.ask("POST", "/redo", asked | {"dry_run": True}).json()
    assert (found["jobs"], found["cost"]["amount"], found["quote"]["ceiling"]["amount"]) == (3, "0.06", "0.12")
    assert database.counts(batch) == {"succeeded": 3}
    problem(shop.ask("POST", "/redo", {"quote": found["quote"]["quote"]}), 403, "0.10 USD", "0.12 USD")
    assert database.counts(batch) == {"succeeded": 3}
    asked["filter"] = {"jobs": ["spring/job-00001"], "batch": "spring"}
    found = shop.ask("POST", "/redo", asked | {"dry_run": True}).json()
    taken = shop.ask("POST", "/redo", {"quote": found["quote"]["quote"]}).json()
    assert (taken["done"], database.counts(batch)) == (1, {"succeeded": 2, "queued": 1})
    assert database.one(SPENT) == Decimal(AT_MOST)
    problem(shop.ask("POST", "/redo", {"quote": found["quote"]["quote"]}), 409, "once")
    listed = shop.get("/batches/spring/results")["items"]
    assert {each["key"] for each in listed} == {f"job-{number:05}" for number in range(3)}, "it keeps its picture"
    (entry, *_) = database.run(audit.latest, 1)
    assert (entry.person, entry.action) == ("token shop", "redo")


def test_a_redo_leaves_alone_what_moved_since_it_was_quoted(database: Database, shop: Program) -> None:
    made(database, 2)
    asked = {"filter": {"batch": "spring", "verdict": "unreviewed"}, "dry_run": True}
    quotes = [shop.ask("POST", "/redo", asked).json()["quote"]["quote"] for _ in range(2)]
    database.sql("UPDATE jobs SET version = 2 WHERE key = 'job-00000'")
    assert shop.ask("POST", "/redo", {"quote": quotes[0]}).json()["done"] == 1
    problem(shop.ask("POST", "/redo", {"quote": quotes[1]}), 409)
    assert database.one(SPENT) == Decimal("0.08"), "the ceiling of the one quote that was taken"
    wrong = {"filter": {"batch": "spring", "state": ["queued"]}, "dry_run": True}
    problem(shop.ask("POST", "/redo", wrong), 422, "state", "queued", "succeeded")
    for condition in ({"fault": "hair"}, {"check": ["blurred"]}):
        nothing = shop.ask("POST", "/redo", {"filter": {"batch": "spring", **condition}, "dry_run": True}).json()
        assert (nothing["jobs"], nothing["quote"]) == (0, None)


def test_a_reviewer_redoes_within_the_limit_of_a_reviewer(database: Database, there: Settings) -> None:
    made(database, 2)
    there = there.model_copy(update={"review_redo_cap": Decimal("0.05")})
    with Program(build(there), token(database, "art", Role.REVIEWER)) as art:
        found = art.ask("POST", "/redo", {"filter": {"batch": "spring"}, "dry_run": True}).json()
        problem(art.ask("POST", "/redo", {"quote": found["quote"]["quote"]}), 403, "0.05 USD", "RECAST_REVIEW_REDO_CAP")
        assert (database.one("SELECT count(*) FROM redos"), database.one(SPENT)) == (0, 0)
        problem(art.ask("POST", "/jobs", JOB), 403, "reviewer", "operator")


# --- The rest of the command's verbs ------------------------------------------------------------------------------


def test_held_jobs_are_decided_and_queued_again_by_quote_only(database: Database, shop: Program) -> None:
    batch = database.batch("spring")
    database.account()
    for job in database.jobs(3, batch=batch, state="held", reason="unclear_submit"):
        database.attempt(job, state="unknown", cost=PRICE)
    found = shop.get("/held?batch=spring")
    assert (len(found["items"]), found["cost"]["amount"]) == (3, "0.06")
    asked: dict[str, Any] = {"filter": {"jobs": ["spring/job-00000"], "batch": "spring"}}
    problem(shop.ask("POST", "/resolve", asked), 422, "verdict", "give_up")
    problem(shop.ask("POST", "/resolve", {"filter": {}, "verdict": "give_up"}), 422, "filter")
    dry = shop.ask("POST", "/resolve", asked | {"verdict": "give_up", "dry_run": True}).json()
    assert (len(dry["jobs"]), dry["resolved"]) == (1, False)
    assert shop.ask("POST", "/resolve", asked | {"verdict": "give_up"}).json()["resolved"] is True
    assert database.counts(batch) == {"held": 2, "failed": 1}
    others: dict[str, Any] = {"filter": {"batch": "spring"}}
    problem(shop.ask("POST", "/resolve", others | {"verdict": "accepted", "handle": "p-1"}), 422, "jobs", "2")
    problem(shop.ask("POST", "/resolve", others | {"verdict": "accepted"}), 422, "handle")
    accepted = others | {"verdict": "accepted", "handle": "p-1", "dry_run": True}
    problem(shop.ask("POST", "/resolve", accepted), 422, "jobs", "2")
    one = accepted | {"filter": {"jobs": ["spring/job-00001"]}}
    assert len(shop.ask("POST", "/resolve", one).json()["jobs"]) == 1
    problem(shop.ask("POST", "/resolve", others | {"verdict": "not_accepted"}), 422, "quote", "dry_run")
    former = shop.ask("POST", "/resolve", others | {"verdict": "not_accepted", "dry_run": True}).json()
    for job in ("job-00001", "job-00002"):
        database.sql("UPDATE attempts SET state = 'not_sent' WHERE job_id = :job", job=job)
        database.attempt(job, state="unknown", cost=PRICE, number=2)
    problem(shop.ask("POST", "/resolve", {"quote": former["quote"]["quote"]}), 409, "changed")
    assert database.counts(batch) == {"held": 2, "failed": 1}, "nobody has looked for what was sent since"
    quoted = shop.ask("POST", "/resolve", others | {"verdict": "not_accepted", "dry_run": True}).json()
    assert quoted["quote"]["ceiling"]["amount"] == "0.08"
    assert shop.ask("POST", "/resolve", {"quote": quoted["quote"]["quote"]}).json()["resolved"] is True
    assert database.counts(batch) == {"queued": 2, "failed": 1}
    assert database.one(SPENT) == Decimal("0.08")
    problem(shop.ask("POST", "/resolve", {"quote": quoted["quote"]["quote"]}), 409)


def test_downloads_schedules_and_webhooks_are_there(database: Database, shop: Program) -> None:
    made(database, 1)
    asked = {"filter": {"batch": "spring"}}
    assert shop.ask("POST", "/bulk/redownload", asked | {"dry_run": True}).json()["done"] == 0
    assert shop.ask("POST", "/bulk/redownload", asked).json()["saving"] == 0
    database.sql("""INSERT INTO schedules (name, catalog, cron, zone, options, overlap, catch_up, catch_up_seconds,
        next_at) VALUES ('nightly', '/c.csv', '0 2 * * *', 'UTC', '{}', 'skip', 'latest', 60,
        now() + interval '1 hour')""")
    assert shop.get("/schedules/nightly")["runs"] == []
    assert shop.ask("POST", "/schedules/nightly/pause", {}).json()["paused_at"] is not None
    assert shop.ask("POST", "/schedules/nightly/resume", {}).json()["next_at"] is not None
    problem(shop.ask("POST", "/schedules/nightli/pause", {}), 404, "nightli", "nightly")
    found = problem(shop.ask("GET", "/schedules/nobody"), 404)
    assert (found["field"], found["value"]) == ("name", "nobody")
    database.sql("""INSERT INTO webhooks (url, events, batches, secrets)
        VALUES ('https://example.com/hook', '{job.failed}', '{}', 'x')""")
    assert shop.get("/webhooks")["items"][0]["url"] == "https://example.com/hook"
    assert shop.get("/deliveries?dead=true&limit=5") == {"items": []}
    said = [(entry.action, entry.subject) for entry in database.run(audit.latest, 3)]
    assert said == [("schedule resume", "schedule nightly"), ("schedule pause", "schedule nightly"),
                    ("redownload", "batch spring")]  # fmt: skip
