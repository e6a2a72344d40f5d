"""Answers of one kind in a row, over all workers, and how often a job may be paid for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from models.states import AttemptState, JobState, Reason
from providers.outcomes import Accepted, Failed, Refused, SubmitOutcome, Unclear
from tests.words import unsaid
from workers.accounts import admission
from workers.config.settings import Tries
from workers.engine.effects import Effects
from workers.engine.outcomes import Sent, after_submit
from workers.engine.record import record
from workers.engine.streaks import JOBS_IN_A_ROW, PATIENT_PROBES
from workers.jobs.state_changes import AttemptMove, JobMove

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

UNKNOWN = Refused(Reason.PROVIDER_ERROR, "Zhiqite: step 7 did not converge", unknown="500 step did not converge")
OTHER = Refused(Reason.PROVIDER_ERROR, "Zhiqite: the moon is full", unknown="500 the moon is full")
PICTURE = Refused(Reason.NO_FACE, "no face")
WRONG_KEY = Unclear("HTTP 500 Internal Error", as_of_a_wrong_key=True)
TRIES = Tries(attempts=1, paid=2)  # a refusal fails its job at once, unless something keeps it


def effects(database: Database, outcomes: Sequence[SubmitOutcome]) -> list[Effects]:
    """What these outcomes of new submissions mean, one job each."""
    account = database.account(prices={"swap": "1 USD"})
    database.sql("UPDATE accounts SET closed_until = NULL, failures = 0")
    database.jobs(len(outcomes))
    database.start(account, len(outcomes), "1")
    operation = account.operations["zhiqite.swap"]
    rows = database.sql(
        "SELECT id, job_id, number, sent_at FROM attempts WHERE state = 'sending' ORDER BY job_id DESC LIMIT :n",
        n=len(outcomes),
    )
    return [
        after_submit(Sent(row.id, row.job_id, row.number, operation, row.sent_at), outcome, 5.0, TRIES)
        for row, outcome in zip(reversed(rows), outcomes, strict=True)
    ]


def answered(database: Database, *outcomes: SubmitOutcome, key: str | None = "key") -> None:
    database.run(record, "main", effects(database, outcomes), key=key)


def admission_of(database: Database) -> Any:
    (row,) = database.sql(
        "SELECT failures, closed_reason AS reason, closed_note AS note, closed_until = 'infinity' AS lasting,"
        " coalesce(closed_until > clock_timestamp(), false) AS stopped, streak FROM accounts"
    )
    return row


def states(database: Database) -> dict[str, int]:
    return {row.state: row.n for row in database.sql("SELECT state, count(*) AS n FROM jobs GROUP BY state")}


def test_one_unknown_refusal_concerns_its_job_alone(database: Database) -> None:
    answered(database, *[UNKNOWN] * (JOBS_IN_A_ROW - 1))

    assert not admission_of(database).stopped
    assert states(database) == {"failed": JOBS_IN_A_ROW - 1}


@pytest.mark.parametrize("together", [True, False])
def test_several_in_a_row_stop_the_account_for_a_while_and_keep_the_jobs(database: Database, together: bool) -> None:
    for group in [[UNKNOWN] * 6] if together else [[UNKNOWN]] * 6:
        answered(database, *group)

    stopped = admission_of(database)
    assert (stopped.reason, stopped.lasting, stopped.stopped) == ("outage", False, True)
    assert unsaid(stopped.note, UNKNOWN.message, str(JOBS_IN_A_ROW)) == []
    assert states(database).get("queued", 0) >= 1, "the burst fails no job"
    if together:
        assert states(database) == {"queued": 6}
    assert not any(database.spend().values())


def probe(database: Database, effect: Effects) -> None:
    """Write an answer that came after the account's stop was over."""
    database.sql("UPDATE accounts SET closed_until = clock_timestamp() - interval '1 second'")
    database.run(record, "main", [effect])


def test_the_first_probes_lose_no_job_and_later_ones_end_a_catalog_of_bad_rows(database: Database) -> None:
    first, *later = effects(database, [UNKNOWN] * (JOBS_IN_A_ROW + PATIENT_PROBES + 1))
    burst, probes = [first, *later[: JOBS_IN_A_ROW - 1]], later[JOBS_IN_A_ROW - 1 :]
    database.run(record, "main", burst)
    for effect in probes[:-1]:
        probe(database, effect)

    assert states(database) == {"queued": JOBS_IN_A_ROW + PATIENT_PROBES, "running": 1}
    assert database.one("SELECT count(*) FROM jobs WHERE not_before > clock_timestamp()") > 0, "others are sent first"
    probe(database, probes[-1])
    assert states(database) == {"queued": JOBS_IN_A_ROW + PATIENT_PROBES, "failed": 1}


@pytest.mark.parametrize("between", [Accepted("handle"), OTHER])
def test_a_success_or_another_kind_between_begins_anew(database: Database, between: SubmitOutcome) -> None:
    answered(database, *[UNKNOWN] * (JOBS_IN_A_ROW - 1))
    answered(database, between)
    answered(database, UNKNOWN)

    assert not admission_of(database).stopped


def test_refusals_of_pictures_are_no_row(database: Database) -> None:
    answered(database, *[PICTURE] * 10)

    assert not admission_of(database).stopped
    assert states(database) == {"rejected": 10}


def test_one_job_again_and_again_is_no_row(database: Database) -> None:
    (effect,) = effects(database, [UNKNOWN])
    for _ in range(2 * JOBS_IN_A_ROW):
        database.run(record, "main", [effect])

    assert not admission_of(database).stopped


def test_workers_count_one_row_together(database: Database) -> None:
    each = [[effect] for effect in effects(database, [UNKNOWN] * 4)]
    database.together([partial(record, account="main", effects=group) for group in each])

    assert admission_of(database).stopped
    assert len(admission_of(database).streak["jobs"]) == JOBS_IN_A_ROW


def test_a_person_who_starts_the_account_begins_anew(database: Database) -> None:
    answered(database, *[UNKNOWN] * JOBS_IN_A_ROW)
    database.run(admission.resume, "main")
    answered(database, UNKNOWN)

    assert not admission_of(database).stopped


# --- A wrong key ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [[JOBS_IN_A_ROW], [1] * JOBS_IN_A_ROW, [2, 8]])
def test_a_wrong_key_stops_the_account_and_keeps_its_jobs(database: Database, groups: list[int]) -> None:
    for number in groups:
        answered(database, *[WRONG_KEY] * number)

    stopped = admission_of(database)
    assert (stopped.reason, stopped.lasting) == ("auth", True)
    assert states(database) == {"queued": sum(groups)}, "also those that were unclear before"
    assert {row.state for row in database.sql("SELECT state FROM attempts")} == {"refused"}
    assert not any(database.spend().values()), "nothing was taken"


def test_a_held_job_of_the_row_is_queued_again(database: Database) -> None:
    answered(database, *[WRONG_KEY] * (JOBS_IN_A_ROW - 1))
    database.sql("UPDATE jobs SET state = 'held'")
    answered(database, WRONG_KEY)

    assert states(database) == {"queued": JOBS_IN_A_ROW}


def test_a_key_that_worked_is_not_wrong(database: Database) -> None:
    answered(database, Accepted("handle"))
    answered(database, *[WRONG_KEY] * 5)

    assert admission_of(database).reason == "outage"
    assert states(database) == {"running": 6}, "unclear: nobody knows what became of them"


def test_a_changed_key_has_to_work_first(database: Database) -> None:
    answered(database, Accepted("handle"), key="old")
    answered(database, *[WRONG_KEY] * JOBS_IN_A_ROW, key="new")

    assert admission_of(database).reason == "auth"


# --- Paid attempts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("earlier", "to"),
    [
        ([], "queued"),
        (["done"], "failed"),
        (["expired"], "failed"),
        (["unknown"], "failed"),
        (["refused", "not_sent", "refused"], "queued"),
    ],
)
def test_a_job_is_queued_only_while_it_may_be_paid_for(database: Database, earlier: list[str], to: str) -> None:
    database.account()
    (job,) = database.jobs(1, state="running")
    for number, state in enumerate([*earlier, "done"], start=1):
        database.attempt(job, state, number=number)
    move = JobMove(job, JobState.QUEUED, Reason.PROVIDER_ERROR, "it broke", paid_limit=2)
    database.run(record, None, [Effects(job=move)])

    (row,) = database.sql("SELECT state, error, finished_at IS NOT NULL AS ended FROM jobs")
    assert (row.state, row.ended) == (to, to == "failed")
    assert (unsaid(row.error, "RECAST_MAX_PAID_ATTEMPTS") == []) is (to == "failed")


def test_attempts_of_a_former_version_are_not_counted(database: Database) -> None:
    database.account()
    (job,) = database.jobs(1, state="running", former_attempts=2)
    for number in (1, 2, 3):
        database.attempt(job, "done", number=number)
    database.run(record, None, [Effects(job=JobMove(job, JobState.QUEUED, paid_limit=2))])

    assert states(database) == {"queued": 1}


def test_a_failure_that_is_not_billed_gives_its_money_back(database: Database) -> None:
    (effect,) = effects(database, [Accepted("handle")])
    database.run(record, "main", [effect])
    assert effect.attempt is not None
    free = AttemptMove(effect.attempt.id, AttemptState.DONE, reason=Reason.TIMED_OUT, free=True)
    database.run(record, "main", [Effects(free, release=True)])

    assert not any(database.spend().values())
    assert [row.cost for row in database.sql("SELECT cost FROM attempts")] == [0]


def test_a_failure_at_submission_is_paid_for(database: Database) -> None:
    answered(database, Failed(Reason.CONTENT, "no picture passed"))

    assert states(database) == {"rejected": 1}
    assert set(database.spend().values()) == {1}
