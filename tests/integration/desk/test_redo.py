"""Redos on a real database: versions, verdicts, failures, limits, and money that is never paid beyond a cap."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from desk.actors import Actor, ForbiddenError
from desk.pilot import go_on
from desk.redo import Redone, redo, spent_today
from desk.redo_plan import Change, Plan, Terms, plan
from desk.verdicts import Decision, DeskError, NotReadyError, choose, judge, newest_of
from models.people import Role
from models.states import AttemptState, JobState, Reason
from models.verdicts import Verdict
from reports.batch import find
from reports.export import jobs_of
from reports.job import job_detail
from reports.reviews import VerdictsBy, summed
from reports.today import figures
from tests.integration.desk.pictures import key_of, made, results
from tests.words import unsaid
from workers.accounts import admission
from workers.config.reasons import REVIEW_REASONS
from workers.engine.effects import Effects
from workers.engine.record import record
from workers.jobs.counters import JOBS_ENDED
from workers.jobs.filters import Filter, ids_of
from workers.jobs.lanes import WAITING
from workers.jobs.outbox import EVENTS
from workers.jobs.routing import Reach
from workers.jobs.state_changes import AttemptMove, JobMove
from workers.operations import bulk

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

OLGA, ANNA, VERA = Actor("Olga", Role.OPERATOR), Actor("Anna", Role.REVIEWER), Actor("Vera", Role.VIEWER)
SAME = Change()
PRICE = Decimal("0.02")


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """Two accounts that can do the same, one of them dearer."""
    return make_runtime(main={"prices": {"swap": "0.02 USD"}}, other={"prices": {"swap": "0.05 USD"}})


@pytest.fixture
def terms(runtime: Runtime) -> Terms:
    return Terms.of(runtime.settings, runtime.accounts, runtime.reach)


def planned(database: Database, terms: Terms, batch: str = "spring", change: Change = SAME, **which: Any) -> Plan:
    ids = database.run(ids_of, Filter(batch=batch, **which))
    return database.run(plan, ids, change, terms)


def again(database: Database, terms: Terms, change: Change = SAME, actor: Actor = OLGA, **which: Any) -> Redone:
    return database.run(redo, actor, planned(database, terms, change=change, **which), change, terms)


def end(session: Session, runtime: Runtime, job: str, state: JobState, *, done: bool = True) -> None:
    """What its provider says of the running attempt of a job."""
    row = session.execute(text("SELECT id, account FROM attempts WHERE job_id = :job ORDER BY number DESC LIMIT 1"),
                          {"job": job}).one()  # fmt: skip
    reason = None if state is JobState.SUCCEEDED else Reason.PROVIDER_ERROR
    to = AttemptState.DONE if done else AttemptState.NOT_SENT
    move = AttemptMove(row.id, to, frozenset({AttemptState.SENDING}), reason)
    record(session, row.account, [Effects(move, JobMove(job, state, reason, None if reason is None else "blurred"),
                                          release=not done)])  # fmt: skip


def finish(database: Database, runtime: Runtime, state: JobState, account: str = "main") -> str:
    """Send one queued job to an account, and let it end so; its id."""
    database.start(runtime.accounts[account], 1, str(PRICE))
    (job,) = database.sql("SELECT id FROM jobs WHERE state = 'running'")
    database.run(end, runtime, job.id, state)
    if state is JobState.SUCCEEDED:
        row = database.sql("SELECT id, number FROM attempts WHERE job_id = :job ORDER BY number DESC LIMIT 1",
                           job=job.id)[0]  # fmt: skip
        database.sql(
            "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
            " VALUES (:job, :attempt, 0, :key, :key, 3, 'image/png', 8, 8)",
            job=job.id, attempt=row.id, key=key_of(job.id, row.number, 0),
        )  # fmt: skip
    return str(job.id)


def say(database: Database, result: int, verdict: Verdict = Verdict.APPROVED, *reasons: str, based_on: int = 0) -> None:
    database.run(judge, ANNA, result, Decision(verdict, reasons), based_on=based_on, known_reasons=REVIEW_REASONS)


def exported(database: Database, runtime: Runtime, batch: int) -> list[tuple[str, str | None, list[str]]]:
    found = jobs_of(runtime, batch, runtime.storage, "USD")
    return [(job.state, job.said.verdict, [each["key"] for each in job.results]) for job in found]


def job_of(database: Database) -> Any:
    (row,) = database.sql("SELECT * FROM jobs")
    return row


# --- What becomes of a job --------------------------------------------------------------------------------------------


def test_a_redo_is_a_new_version_and_the_former_picture_stays_until_it_is_there(
    database: Database, runtime: Runtime, terms: Terms
) -> None:
    batch = made(database, 1)
    (old,) = results(database, batch)
    say(database, old, Verdict.NEEDS_WORK, "hair")
    before = exported(database, runtime, batch)[0][2]
    asked = planned(database, terms, verdict="needs_work", fault="hair")
    assert (asked.cost, asked.at_most) == (Decimal("0.05"), Decimal("0.10")), "the dearest account, with its repeat"
    assert len(again(database, terms, verdict="needs_work").ids) == 1
    assert database.counts(batch) == {"queued": 1}
    assert exported(database, runtime, batch) == [("queued", None, before)]
    with pytest.raises(NotReadyError):
        say(database, old, based_on=1)

    finish(database, runtime, JobState.SUCCEEDED)
    job = job_of(database)
    assert (job.version, job.kept_attempt, database.counts(batch)) == (2, None, {"succeeded": 1})
    (state, verdict, keys), = exported(database, runtime, batch)  # fmt: skip
    assert (state, verdict) == ("succeeded", "unreviewed")
    assert keys != before
    assert [row.verdict for row in database.sql("SELECT verdict FROM verdicts")] == ["needs_work"], "history stays"
    detail = database.run(job_detail, job.id, runtime.storage)
    assert detail is not None
    assert [(each.attempt, each.version) for each in detail.results] == [(1, 1), (2, 2)]
    (entry,) = database.sql("SELECT person, action, subject, detail FROM audit WHERE action = 'redo'")
    assert (entry.person, entry.subject) == ("Olga", f"job {job.id}")


def test_what_people_said_of_an_account_counts_while_its_pictures_are_redone(
    database: Database, runtime: Runtime, terms: Terms
) -> None:
    batch = made(database, 4)
    *bad, good = results(database, batch)
    for result in bad:
        say(database, result, Verdict.NEEDS_WORK, "hair")
    say(database, good)

    def said() -> tuple[int, int]:
        found = database.run(figures, ["main"])["main"]
        return found.approved, found.judged

    assert said() == (1, 4)
    assert len(again(database, terms, verdict="needs_work").ids) == 3
    assert said() == (1, 4)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.REJECTED, JobState.CANCELED])
@pytest.mark.parametrize("sent", [True, False])
def test_of_a_redo_that_fails_nothing_is_left_but_a_version_and_its_cost(
    database: Database, runtime: Runtime, terms: Terms, state: JobState, sent: bool
) -> None:
    batch = made(database, 1)
    (old,) = results(database, batch)
    say(database, old)
    was = job_of(database)
    before = exported(database, runtime, batch)
    again(database, terms, Change(options={"negative_prompt": None}, account="other"))
    if sent and state is not JobState.CANCELED:
        finish(database, runtime, state, "other")
    elif state is JobState.CANCELED:
        bulk.cancel(runtime, [was.id])
    else:
        database.sql("UPDATE jobs SET expires_at = now() - interval '1 s'")
        bulk.cancel(runtime, [was.id])
    job = job_of(database)
    same = ("state", "reason", "error", "lane", "account", "operation", "options", "finished_at")
    assert [getattr(job, name) for name in same] == [getattr(was, name) for name in same]
    assert job.version == was.version + 2, "a version's number is never used twice"
    assert exported(database, runtime, batch) == before
    assert database.counts(batch) == {"succeeded": 1}
    review = database.run(newest_of, job.id)
    assert (review.verdict, review.chosen) == (Verdict.APPROVED, old)
    versions = database.sql("SELECT version, state, account FROM versions ORDER BY version")
    assert [(row.state, row.account) for row in versions] == [("succeeded", None), (job_state(state, sent), "other")]
    detail = database.run(job_detail, job.id, runtime.storage)
    assert detail is not None
    assert [each.id for each in detail.results_of(job.version)] == [old], "the picture is the present version's"
    again(database, terms)
    finish(database, runtime, JobState.SUCCEEDED)
    assert exported(database, runtime, batch) != before


def job_state(state: JobState, sent: bool) -> str:
    return state.value if sent else "canceled"


def test_a_late_answer_to_a_redo_that_failed_moves_nothing(database: Database, runtime: Runtime, terms: Terms) -> None:
    batch = made(database, 1)
    before = exported(database, runtime, batch)
    again(database, terms)
    database.start(runtime.accounts["main"], 1, str(PRICE))
    (job,) = database.sql("SELECT id FROM jobs")
    bulk.cancel(runtime, [job.id], abandon=True)
    assert exported(database, runtime, batch) == before
    database.run(end, runtime, job.id, JobState.SAVING)
    assert exported(database, runtime, batch) == before
    assert database.spend()[f"batch:{batch}"] == PRICE, "and what was paid stays paid"


def test_a_picture_of_a_former_version_can_be_used_again(database: Database, runtime: Runtime, terms: Terms) -> None:
    batch = made(database, 1)
    (old,) = results(database, batch)
    again(database, terms)
    finish(database, runtime, JobState.SUCCEEDED)
    before = exported(database, runtime, batch)
    database.run(choose, ANNA, old)
    chosen = exported(database, runtime, batch)
    assert chosen != before
    again(database, terms)
    assert exported(database, runtime, batch)[0][2] == chosen[0][2], "the picture that is used stays"
    finish(database, runtime, JobState.FAILED)
    assert exported(database, runtime, batch) == chosen


# --- What is refused --------------------------------------------------------------------------------------------------


def test_the_same_redo_twice_is_one(database: Database, runtime: Runtime, terms: Terms) -> None:
    made(database, 3)
    seen = planned(database, terms)
    first, second = database.together([partial(redo, actor=OLGA, plan=seen, change=SAME, terms=terms)] * 2)
    assert sorted([len(first.ids), len(second.ids)]) == [0, 3]
    under_way = planned(database, terms)
    assert not under_way.jobs
    assert sum(under_way.left_out.values()) == 3
    for _ in range(3):
        finish(database, runtime, JobState.SUCCEEDED)
    assert database.run(redo, OLGA, seen, SAME, terms).ids == (), "a plan that was seen before counts no more"


def test_a_job_is_redone_so_often_and_no_more(database: Database, runtime: Runtime, terms: Terms) -> None:
    made(database, 1)
    few = replace(terms, most=2)
    for state in (JobState.SUCCEEDED, JobState.FAILED):
        assert len(again(database, few).ids) == 1
        finish(database, runtime, state)
    found = planned(database, few)
    assert not found.jobs
    (why,) = found.left_out
    assert unsaid(why, "2", "RECAST_REDO_MOST") == []


def test_a_reviewer_has_a_cap_for_the_day(database: Database, runtime: Runtime, terms: Terms) -> None:
    made(database, 3)
    small = replace(terms, reviewer_cap=Decimal("0.14"))
    ids = [row.id for row in database.sql("SELECT id FROM jobs ORDER BY seq")]
    with pytest.raises(ForbiddenError):
        again(database, small, actor=VERA)
    with pytest.raises(ForbiddenError) as wrong:
        again(database, small, actor=ANNA)
    assert unsaid(str(wrong.value), "0.30", "0.14", "RECAST_REVIEW_REDO_CAP", "Anna") == []
    assert len(again(database, small, actor=ANNA, ids=ids[:1]).ids) == 1
    assert database.run(spent_today, "Anna") == Decimal("0.10"), "the most that it may cost, while it is under way"
    with pytest.raises(ForbiddenError):
        again(database, small, actor=ANNA, ids=ids[1:2])
    finish(database, runtime, JobState.FAILED)
    assert database.run(spent_today, "Anna") == PRICE, "what was paid, when it has ended"
    assert len(again(database, small, actor=ANNA, ids=ids[1:2]).ids) == 1
    assert len(again(database, small, ids=ids[2:]).ids) == 1, "an operator has none"
    assert database.run(spent_today, "Olga") == Decimal("0.10")


def test_a_redo_may_not_cost_more_than_is_said(database: Database, terms: Terms) -> None:
    made(database, 2)
    found = planned(database, terms)
    with pytest.raises(DeskError) as wrong:
        database.run(redo, OLGA, found, SAME, terms, max_cost=Decimal("0.19"))
    assert unsaid(str(wrong.value), "0.20", "0.19") == []
    assert len(database.run(redo, OLGA, found, SAME, terms, max_cost=Decimal("0.20")).ids) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(seed=7), ("options.seed",)),
        (Change(account="nowhere"), ("nowhere", "main")),
        (Change(operation="zhiqite.nothing"), ("zhiqite.nothing", "zhiqite.swap")),
        (Change(options={"hat": 1}), ("options.hat",)),
    ],
)
def test_what_cannot_be_asked_for_is_left_out_and_says_why(
    database: Database, terms: Terms, change: Change, said: tuple[str, ...]
) -> None:
    made(database, 2)
    found = planned(database, terms, change=change)
    assert not found.jobs
    ((why, number),) = found.left_out.items()
    assert (number, unsaid(why, *said)) == (2, [])


def test_pictures_that_nobody_can_fetch_are_one_reason_with_one_of_them(database: Database, terms: Terms) -> None:
    made(database, 3)
    database.sql("UPDATE jobs SET target = '/srv/' || key || '.png'")
    nowhere = replace(terms, reach=Reach(public_url=False, presigned=False))
    found = planned(database, nowhere)
    ((why, number),) = found.left_out.items()
    assert (number, unsaid(why, "/srv/", "RECAST_PUBLIC_URL")) == (3, [])


def test_a_redo_without_a_picture_is_no_event_of_its_job(database: Database, runtime: Runtime, terms: Terms) -> None:
    """What was said when the job succeeded still holds, and nothing else has happened to it."""
    made(database, 1)
    database.sql(
        "INSERT INTO webhooks (url, secrets, events) VALUES ('https://shop.example/', '', :all)",
        all=list(EVENTS),
    )
    for state in (JobState.FAILED, JobState.REJECTED, JobState.SUCCEEDED):
        again(database, terms)
        finish(database, runtime, state)
    assert [row.event for row in database.sql("SELECT event FROM deliveries WHERE event LIKE 'job.%'")] == [
        "job.succeeded"
    ]
    ends = database.sql("SELECT labels, value FROM tallies WHERE name = :name", name=JOBS_ENDED)
    counted = {json.loads(row.labels)["state"]: row.value for row in ends}
    assert counted == {"failed": 1, "rejected": 1, "succeeded": 1}


def test_pictures_that_were_removed_and_jobs_that_wait_are_left_out(database: Database, terms: Terms) -> None:
    made(database, 2)
    database.sql("UPDATE jobs SET erased_at = now() WHERE seq = (SELECT min(seq) FROM jobs)")
    database.sql("UPDATE jobs SET state = 'held' WHERE seq = (SELECT max(seq) FROM jobs)")
    found = planned(database, terms)
    assert (len(found.jobs), sum(found.left_out.values())) == (0, 2)


# --- Money ------------------------------------------------------------------------------------------------------------

THINGS = ("redo", "elsewhere", "retry", "resume", "raise", "go on", "send", "made", "failed", "refused")
STEPS = st.lists(st.tuples(st.sampled_from(THINGS), st.integers(0, 3)), min_size=4, max_size=24)
LIMIT, DAY = Decimal("0.13"), Decimal("0.09")


def step(database: Database, runtime: Runtime, terms: Terms, what: str, which: int, limit: Decimal) -> Decimal:
    """Do one thing that people, workers or providers do; the batch's limit then."""
    jobs = [row.id for row in database.sql("SELECT id FROM jobs ORDER BY seq")]
    chosen = jobs[which::2] if which < 2 else jobs
    if what in ("redo", "elsewhere"):
        again(database, terms, Change(account="other") if what == "elsewhere" else SAME, ids=chosen)
    elif what == "retry":
        bulk.retry(runtime, runtime.db(bulk.retryable, Filter(ids=chosen, states=list(bulk.RETRYABLE))))
    elif what == "resume":
        bulk.resume(runtime, Filter(batch="spring"))
    elif what == "raise":
        limit += Decimal("0.05")
        runtime.db(bulk.raise_limit, "spring", limit)
    elif what == "go on":
        go_on(runtime, OLGA, runtime.db(find, "spring"))
    elif what == "send":
        account, price = ("main", "0.02") if which % 2 else ("other", "0.05")
        database.start(runtime.account(account), 3, price)
    else:
        running = database.sql("SELECT id FROM jobs WHERE state = 'running' ORDER BY seq")
        if running:
            state = JobState.SUCCEEDED if what == "made" else JobState.FAILED
            database.run(end, runtime, running[which % len(running)].id, state, done=what != "refused")
    return limit


@pytest.fixture
def capped(make_runtime: RuntimeFactory) -> Runtime:
    """The same accounts, one of them with a budget."""
    swaps = {"operations": ["swap"]}
    return make_runtime(
        main={**swaps, "prices": {"swap": "0.02 USD"}, "budget": {"day": f"{DAY} USD"}},
        other={**swaps, "prices": {"swap": "0.05 USD"}},
    )


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_no_order_of_redos_retries_and_resumes_passes_a_limit(
    database: Database, capped: Runtime, steps: list[tuple[str, int]]
) -> None:
    for table in ("jobs", "spend", "accounts", "batches WHERE id > 0"):
        database.sql(f"DELETE FROM {table}")  # noqa: S608
    for account in capped.accounts.values():
        database.run(admission.register, account)
    terms = Terms.of(capped.settings, capped.accounts, capped.reach)
    batch, limit = made(database, 3, cost="0"), LIMIT
    database.sql("UPDATE batches SET max_cost = :limit WHERE id = :id", limit=limit, id=batch)
    database.jobs(3, batch=batch, lane=f"{WAITING}zhiqite.swap")
    database.sql("INSERT INTO pilots (batch_id, size) VALUES (:id, '50%')", id=batch)
    for what, which in steps:
        limit = step(database, capped, terms, what, which, limit)
        spend = database.spend()
        assert spend.get(f"batch:{batch}", 0) <= limit
        assert spend.get("account:main", 0) <= DAY
        paid = database.one("SELECT coalesce(sum(cost), 0) FROM attempts WHERE state NOT IN ('refused', 'not_sent')")
        assert paid == spend.get(f"batch:{batch}", 0), "the books are what the attempts cost"
        database.counts(batch)
        lost = database.sql(
            "SELECT id FROM jobs WHERE id < 'job-00003' AND NOT (state = 'succeeded' OR kept_attempt IS NOT NULL)"
        )
        assert not lost, "no job ever loses its picture"


def test_an_approved_picture_costs_what_its_redos_cost_as_well(
    database: Database, runtime: Runtime, terms: Terms
) -> None:
    batch = made(database, 2, cost="0")
    for state in (JobState.FAILED, JobState.SUCCEEDED):
        again(database, terms, ids=["job-00000"])
        finish(database, runtime, state)
    say(database, results(database, batch)[-1])
    (found,) = database.run(summed, VerdictsBy.BATCH, batch)
    assert (found.spent, found.made, found.approved, found.per_approved) == (2 * PRICE, 2, 1, 2 * PRICE)
