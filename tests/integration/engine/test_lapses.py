"""Jobs that workers do not survive: claimed one at a time, and failed for a reason of their own at the third time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.states import Reason
from tests.words import unsaid
from workers.config.accounts import Account
from workers.engine import claims, saving
from workers.engine.leases import MAX_LAPSES
from workers.engine.runner import run
from workers.engine.store import StorePump
from workers.engine.submit import SubmitPump

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def main(database: Database) -> Account:
    """An account at Zhiqite."""
    return database.account("main")


def killed(database: Database) -> None:
    """Let every claim run out, as after a worker was killed."""
    database.sql(
        "UPDATE jobs SET claimed_until = clock_timestamp() - interval '1 s' WHERE claimed_until IS NOT NULL RETURNING 1"
    )


def lapses(database: Database) -> dict[str, int]:
    return {row.id: row.lapses for row in database.sql("SELECT id, lapses FROM jobs")}


def saving_jobs(database: Database, number: int) -> list[str]:
    jobs = database.jobs(number, state="saving")
    for job in jobs:
        database.attempt(job, "done", account="'main'", outputs="'[]'", finished_at="clock_timestamp()")
    return jobs


def test_after_a_kill_the_same_jobs_are_not_claimed_together_again(database: Database, main: Account) -> None:
    jobs = database.jobs(4)
    assert len(database.run(claims.claim, main, 10)) == len(jobs)
    killed(database)
    fresh = database.jobs(2)

    first = {claim.job_id for claim in database.run(claims.claim, main, 10)}
    second = {claim.job_id for claim in database.run(claims.claim, main, 10)}

    assert (len(first & set(jobs)), first - set(jobs)) == (1, set(fresh))
    assert (len(second), first & second) == (1, set())


def test_a_claim_that_ends_in_any_way_counts_no_lapse(database: Database, main: Account) -> None:
    job, other = database.jobs(2)
    for _ in range(MAX_LAPSES + 1):
        claimed = [claim.job_id for claim in database.run(claims.claim, main, 10)]
        database.run(claims.unclaim, claimed)
    database.run(claims.claim, main, 10)
    database.run(claims.postpone, [claims.Wait(job, 0.0, "later"), claims.Wait(other, 0.0, None)])
    assert lapses(database) == {job: 0, other: 0}


def test_a_job_that_no_worker_survives_while_preparing_it_fails(
    database: Database, make_runtime: RuntimeFactory, main: Account
) -> None:
    runtime = make_runtime(main={"allow_hosts": ["127.0.0.1"]})
    (job,) = database.jobs(1)
    for _ in range(MAX_LAPSES):
        database.run(claims.claim, main, 10)
        killed(database)
    run(runtime, SubmitPump(runtime, "main"), None)

    (row,) = database.sql("SELECT state, reason, error FROM jobs")
    assert (row.state, row.reason) == ("failed", Reason.WORKER_LOST)
    assert unsaid(row.error, str(MAX_LAPSES), "nothing was sent") == []
    assert database.sql("SELECT 1 FROM attempts") == []
    assert lapses(database) == {job: 0}


def test_a_job_that_no_worker_survives_while_saving_it_fails_and_can_be_saved_later(
    database: Database, make_runtime: RuntimeFactory
) -> None:
    runtime = make_runtime(main={})
    saving_jobs(database, 1)
    for _ in range(MAX_LAPSES):
        assert len(database.run(saving.claim, 10)) == 1
        killed(database)
    run(runtime, StorePump(runtime, 0), None)

    (row,) = database.sql("SELECT state, reason, error FROM jobs")
    assert (row.state, row.reason) == ("failed", Reason.WORKER_LOST)
    assert unsaid(row.error, "paid", str(MAX_LAPSES)) == []
    assert database.one("SELECT state FROM attempts") == "done"


def test_of_those_that_a_worker_did_not_survive_only_one_is_saved_at_a_time(database: Database) -> None:
    saving_jobs(database, 4)
    database.run(saving.claim, 10)
    killed(database)
    saving_jobs(database, 2)

    assert sorted(item.lapses for item in database.run(saving.claim, 10)) == [0, 0, 1]
    assert database.run(saving.claim, 10, risky=False) == []
    assert [item.lapses for item in database.run(saving.claim, 10)] == [1]


def test_a_job_that_waits_to_be_saved_was_not_given_up_by_its_worker(database: Database) -> None:
    (job,) = saving_jobs(database, 1)
    (item,) = database.run(saving.claim, 10)
    database.run(saving.write, [], [saving.Postponed(item.job_id, 0.0, "the storage is full")], [job])
    (again,) = database.run(saving.claim, 10)
    assert again.lapses == 0
