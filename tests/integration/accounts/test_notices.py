"""Warnings of the log: one for each change of an account, a batch or a job, however many transactions meet it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from models.states import AttemptState, Closure, JobState, Reason
from workers.accounts import admission
from workers.engine.effects import Effects
from workers.engine.record import record
from workers.jobs.state_changes import AttemptMove, JobMove

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def notices(happens: Callable[[], object]) -> list[MutableMapping[str, Any]]:
    """The notices that are logged meanwhile, without what debug lines say."""
    with capture_logs() as lines:
        happens()
    return [line for line in lines if line["log_level"] in {"info", "warning"}]


def test_a_stop_is_told_with_its_reason_and_its_end(database: Database) -> None:
    database.account()
    (line,) = notices(lambda: database.run(admission.failed, "main", Closure.THROTTLED, "slow down", 42.0))

    assert (line["event"], line["log_level"]) == ("account_stopped", "warning")
    assert (line["account"], line["reason"], line["note"]) == ("main", "throttled", "slow down")
    assert line["until"] == database.one("SELECT closed_until FROM accounts").isoformat(timespec="seconds")


def test_a_stop_that_goes_on_is_told_once(database: Database) -> None:
    database.account()

    def happens() -> None:
        for seconds in (2.0, 20.0, 200.0):
            database.run(admission.failed, "main", Closure.OUTAGE, "no answer", seconds)

    assert [line["reason"] for line in notices(happens)] == ["outage"]


def test_of_many_that_meet_an_outage_one_tells(database: Database) -> None:
    database.account()
    failed = partial(admission.failed, name="main", reason=Closure.OUTAGE, note="no answer", retry_after=30.0)
    assert len(notices(lambda: database.together([failed] * 12))) == 1


def test_another_reason_is_another_stop(database: Database) -> None:
    database.account()

    def happens() -> None:
        database.run(admission.failed, "main", Closure.OUTAGE, "no answer", 30.0)
        database.run(admission.stop, "main", Closure.AUTH, "401")
        database.run(admission.stop, "main", Closure.AUTH, "401 again")

    told = notices(happens)
    assert [(line["reason"], line["until"] is None) for line in told] == [("outage", False), ("auth", True)]


def test_going_on_is_told_too(database: Database) -> None:
    database.account()
    database.run(admission.stop, "main", Closure.CREDIT, "402")

    told = notices(lambda: [database.run(admission.resume, "main") for _ in range(2)])
    assert [(line["event"], line["reason"]) for line in told] == [("account_resumed", "credit")]


def test_a_person_who_pauses_an_account_is_not_warned(database: Database) -> None:
    database.account()
    told = notices(lambda: database.run(admission.stop, "main", Closure.PAUSED, "holidays"))
    assert [(line["log_level"], line["event"], line["reason"]) for line in told] == [
        ("info", "account_stopped", "paused")
    ]


def test_what_is_rolled_back_is_not_told(database: Database) -> None:
    database.account()

    def rolled_back() -> None:
        with database.sessions() as session:
            admission.stop(session, "main", Closure.CREDIT, "402")
            session.rollback()

    assert notices(rolled_back) == []
    assert len(notices(lambda: database.run(admission.stop, "main", Closure.CREDIT, "402"))) == 1


def test_a_spent_budget_is_told_once(database: Database) -> None:
    account = database.account(
        operations=["swap"], prices={"swap": "1 USD"}, budget={"day": "2 USD"}, max_in_flight=100
    )
    database.jobs(5)

    told = notices(lambda: [database.start(account, 5, "1") for _ in range(3)])
    (line,) = [line for line in told if line["event"] == "account_stopped"]
    assert (line["account"], line["reason"]) == ("main", "budget")
    assert line["until"] is not None


def test_a_batch_out_of_money_is_told_once(database: Database) -> None:
    account = database.account(prices={"swap": "1 USD"}, max_in_flight=100)
    database.jobs(5, batch=database.batch("spring", max_cost="2"))

    told = notices(lambda: [database.start(account, 5, "1") for _ in range(3)])
    assert [(line["event"], line["batch"], line["reason"]) for line in told] == [("batch_paused", "spring", "budget")]


@pytest.mark.parametrize("times", [1, 2])
def test_a_held_job_is_told_once(database: Database, times: int) -> None:
    database.account()
    (job,) = database.jobs(1, state="running")
    reference = database.attempt(job, "unknown")
    effects = Effects(
        AttemptMove(reference, AttemptState.EXPIRED, frozenset({AttemptState.UNKNOWN})),
        JobMove(job, JobState.HELD, Reason.UNCLEAR_SUBMIT, "nobody can tell"),
    )
    told = notices(lambda: [database.run(record, "main", [effects]) for _ in range(times)])
    assert [(line["event"], line["job"], line["account"], line["reason"]) for line in told] == [
        ("job_held", job, "main", "unclear_submit")
    ]
