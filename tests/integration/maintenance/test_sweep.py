"""The sweep finds what a crash, a flushed broker or a lost message left behind; when all is well it does nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from models.states import Closure, JobState
from tests.words import unsaid
from workers.accounts import admission
from workers.engine import leases
from workers.engine.locate_outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs
from workers.maintenance.sweep import OVERDUE_SECONDS, UNANNOUNCED_SECONDS, sweep

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """A process that sweeps, with one account."""
    return make_runtime()


def swept(runtime: Runtime) -> dict[str, int]:
    """What a sweep found."""
    return {rule: number for rule, number in sweep(runtime).items() if number}


def asleep(database: Database, name: str, seconds: float) -> None:
    """A pump whose next message is in the broker."""
    lease = database.run(leases.acquire, name, "worker", None)
    assert lease is not None
    database.run(leases.release, lease, seconds)


def test_when_all_is_well_nothing_happens(database: Database, runtime: Runtime, messages: Messages) -> None:
    batch = database.batch()
    for state in ("running", "succeeded", "held"):
        (job,) = database.jobs(1, batch=batch, state=state)
        database.attempt(job, "running" if state == "running" else "done", next_poll_at="now() + interval '1 min'")
    asleep(database, "poll:main", 60.0)
    database.sql(
        "INSERT INTO announcements (task_id, job_id, canvas, announced_at) VALUES ('t', 'job-00001', '', now())"
    )

    assert swept(runtime) == {}
    assert messages == []


@pytest.mark.parametrize("early", [True, False])
def test_a_submission_whose_sender_died_is_judged_when_its_time_is_over(
    database: Database, runtime: Runtime, messages: Messages, early: bool
) -> None:
    judged = WRITE_SECONDS + runtime.account("main").submit_timeout + JUDGE_MARGIN_SECONDS
    age = judged - 1 if early else judged + 1
    database.attempt(
        database.jobs(1, state="running")[0], "sending", sent_at=f"clock_timestamp() - {age} * interval '1 second'"
    )

    assert swept(runtime) == ({} if early else {"judged_unknown": 1, "poll_woken": 1})
    (attempt,) = database.sql("SELECT state, reason, error, next_poll_at <= now() AS due FROM attempts")
    if early:
        assert attempt.state == "sending"
    else:
        assert (attempt.state, attempt.reason, attempt.due) == ("unknown", "unclear_submit", True)
        assert unsaid(attempt.error, "recorded") == []
        assert messages.pumps == ["poll:main"]


@pytest.mark.parametrize(("slow", "state"), [("main", "unknown"), ("slow", "sending")])
def test_each_account_has_its_own_patience(
    database: Database, make_runtime: RuntimeFactory, slow: str, state: str
) -> None:
    runtime = make_runtime(main={}, slow={"submit_timeout": "5min"})
    (job,) = database.jobs(1, state="running")
    database.attempt(job, "sending", account=f"'{slow}'", sent_at="now() - interval '1 min'")
    swept(runtime)

    assert database.one("SELECT state FROM attempts") == state


def test_queued_work_that_nobody_was_woken_for(database: Database, runtime: Runtime, messages: Messages) -> None:
    database.jobs(3)

    assert swept(runtime) == {"submit_woken": 1}
    assert messages.pumps == ["submit:main"]
    assert swept(runtime) == {}, "the message is out"


@pytest.mark.parametrize(
    "why",
    [
        "UPDATE accounts SET closed_until = 'infinity', closed_reason = 'paused'",
        "UPDATE jobs SET not_before = now() + interval '1 min'",
        "UPDATE jobs SET claimed_until = now() + interval '1 min'",
        "UPDATE jobs SET lane = 'piktid.swap'",
        "UPDATE batches SET paused_at = now()",
    ],
)
def test_work_that_cannot_be_done_now_wakes_nobody(
    database: Database, runtime: Runtime, messages: Messages, why: str
) -> None:
    assert runtime.accounts
    database.jobs(1)
    database.sql(why)

    assert swept(runtime) == {}
    assert messages == []


def test_a_full_account_is_not_woken(database: Database, make_runtime: RuntimeFactory, messages: Messages) -> None:
    runtime = make_runtime(main={"max_in_flight": 1})
    database.attempt(database.jobs(1, state="running")[0], next_poll_at="now() + interval '1 min'")
    database.jobs(1)

    assert swept(runtime) == {}
    assert messages == []


def test_polls_and_savings_that_are_due(database: Database, runtime: Runtime, messages: Messages) -> None:
    database.attempt(database.jobs(1, state="running")[0], next_poll_at="now() - interval '1 s'")
    database.jobs(1, state="saving")

    assert swept(runtime) == {"poll_woken": 1, "store_woken": 1}
    assert messages.pumps == ["poll:main", "store:0"]


def test_a_pump_whose_message_was_lost_or_whose_worker_died(
    database: Database, runtime: Runtime, messages: Messages
) -> None:
    database.sql(
        "INSERT INTO leases (name, until, wake_at) VALUES"
        " ('submit:main', NULL, now() - :seconds * interval '1 second'), ('poll:main', NULL, now()),"
        " ('store:1', now() - interval '1 ms', NULL)",
        seconds=OVERDUE_SECONDS + 1,
    )

    assert swept(runtime) == {"overdue": 2}
    assert sorted(messages.pumps) == ["store:1", "submit:main"]


def test_the_broker_lost_everything(database: Database, runtime: Runtime, messages: Messages) -> None:
    # Given that every pump slept with a message in the broker, and the broker was flushed
    for name in ("submit:main", "poll:main", "store:0"):
        asleep(database, name, 5.0)
    database.jobs(1)
    database.attempt(database.jobs(1, state="running")[0], next_poll_at="now()")
    database.jobs(1, state="saving")
    # When their time has come and gone
    database.sql("UPDATE leases SET wake_at = now() - interval '10 s'")
    sweep(runtime)

    assert sorted(set(messages.pumps)) == ["poll:main", "store:0", "submit:main"]


def test_jobs_expire_in_the_queue(database: Database, runtime: Runtime, messages: Messages) -> None:
    batch = database.batch()
    past: dict[str, Any] = {"expires_at": "2026-01-31T00:00:00Z"}
    (single,), _ = database.jobs(1, **past), database.jobs(2, batch=batch, **past)
    running, waiting = database.jobs(1, state="running", **past), database.jobs(1, expires_at="2999-01-01T00:00:00Z")
    database.sql("INSERT INTO announcements (task_id, job_id, canvas) VALUES ('task', :id, '')", id=single)
    sweep(runtime)

    assert messages.announced == [single]
    assert database.counts(batch) == {"canceled": 2}
    states = {row.id: (row.state, row.reason) for row in database.sql("SELECT id, state, reason FROM jobs")}
    assert states[single] == ("canceled", "expired")
    assert (states[running[0]], states[waiting[0]]) == (("running", None), ("queued", None))


@pytest.mark.parametrize(
    ("state", "age", "announced", "found"),
    [
        ("succeeded", UNANNOUNCED_SECONDS + 1, "NULL", True),
        ("canceled", UNANNOUNCED_SECONDS + 1, "NULL", True),
        ("succeeded", UNANNOUNCED_SECONDS - 1, "NULL", False),
        ("succeeded", UNANNOUNCED_SECONDS + 1, "now()", False),
        ("held", UNANNOUNCED_SECONDS + 1, "NULL", False),
        ("running", UNANNOUNCED_SECONDS + 1, "NULL", False),
    ],
)
def test_ends_that_were_not_announced(
    database: Database, runtime: Runtime, messages: Messages, state: str, age: float, announced: str, found: bool
) -> None:
    (job,) = database.jobs(1, state=state)
    when = f"now() - {age} * interval '1 second'"
    database.sql(f"UPDATE jobs SET finished_at = {when}")  # noqa: S608
    database.sql(
        "INSERT INTO announcements (task_id, job_id, canvas, created_at, announced_at)"  # noqa: S608
        f" VALUES ('task', '{job}', '', {when}, {announced})"
    )

    assert swept(runtime) == ({"unannounced": 1} if found else {})
    assert messages.announced == ([job] if found else [])


def test_a_batchs_counts_are_verified_at_its_end(database: Database, runtime: Runtime) -> None:
    right, wrong, at_work = database.batch("right"), database.batch("wrong"), database.batch("at work")
    for batch in (right, wrong):
        database.jobs(2, batch=batch, state="succeeded")
    database.jobs(2, batch=at_work, state="running")
    database.sql("UPDATE batches SET succeeded = 5, failed = -1 WHERE id = :id", id=wrong)
    database.sql("UPDATE batches SET failed = 7 WHERE id = :id", id=at_work)

    assert swept(runtime) == {"counts_corrected": 1}
    assert database.counts(wrong) == {"succeeded": 2}
    assert database.one("SELECT failed FROM batches WHERE id = :id", id=at_work) == 7, (
        "counting those would cost too much"
    )


def test_an_ended_batch_is_verified_once_until_its_counts_change(database: Database, runtime: Runtime) -> None:
    batch = database.batch("ended")
    (job, *_) = database.jobs(2, batch=batch, state="failed")
    database.sql("UPDATE batches SET failed = 2 WHERE id = :id", id=batch)
    assert swept(runtime) == {}
    database.sql("UPDATE batches SET succeeded = 3 WHERE id = :id", id=batch)  # unknown to the counts' own time
    assert swept(runtime) == {}, "reading a million jobs in each sweep would cost too much"
    database.run(move_jobs, [JobMove(job, JobState.QUEUED)])
    database.run(move_jobs, [JobMove(job, JobState.CANCELED)])
    assert swept(runtime) == {"counts_corrected": 1}
    assert database.counts(batch) == {"failed": 1, "canceled": 1}
    database.sql("UPDATE batches SET held = 1, counted_at = now() - interval '2 hours' WHERE id = :id", id=batch)
    assert swept(runtime) == {"counts_corrected": 1}


def test_any_number_of_sweeps_may_run_side_by_side(database: Database, runtime: Runtime, messages: Messages) -> None:
    database.jobs(30)
    database.jobs(20, expires_at="2026-01-31T00:00:00Z")
    for job in database.jobs(20, state="running"):
        database.attempt(job, "sending", sent_at="now() - interval '1 h'")
    assert runtime.accounts
    with ThreadPoolExecutor(6) as pool:
        found = [future.result(60) for future in [pool.submit(sweep, runtime) for _ in range(6)]]

    assert sum(item["judged_unknown"] for item in found) == 20
    assert database.one("SELECT count(*) FROM jobs WHERE state = 'canceled'") == 20
    assert messages.pumps.count("submit:main") == 1
    assert messages.pumps.count("poll:main") == 1


def test_a_sweep_leaves_money_and_accounts_alone(database: Database, runtime: Runtime) -> None:
    account = runtime.account("main")
    database.jobs(1)
    database.start(account, cost="1")
    database.run(admission.stop_for, "main", Closure.OUTAGE, 60.0)
    database.sql("UPDATE attempts SET sent_at = now() - interval '1 h'")
    before = database.spend(), database.one("SELECT closed_until FROM accounts")
    sweep(runtime)

    assert (database.spend(), database.one("SELECT closed_until FROM accounts")) == before
