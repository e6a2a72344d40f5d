"""Grouped moves: fenced by the expected state, counted and paid for in the same transaction, told to admission."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from models.states import FINAL_JOB_STATES, JOB_MOVES, AttemptState, Closure, JobState, Reason
from providers.outcomes import Accepted, Done, NotSent, Output, Refused, SubmitOutcome, Throttled, Unclear
from workers.accounts import admission
from workers.accounts.admission import OUTAGE, THROTTLE
from workers.config.settings import Tries
from workers.engine.effects import Effects
from workers.engine.outcomes import Sent, after_submit
from workers.engine.record import Recorded, record
from workers.jobs.state_changes import AttemptMove, JobMove
from workers.jobs.transitions import MAX_ERROR_CHARS, MAX_RAW_BYTES, move_attempts, move_jobs

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PICTURE = Output("https://cdn.example/a.jpg")


def effects_of(database: Database, *outcomes: SubmitOutcome, number: int = 1) -> list[Effects]:
    """What these outcomes of the open submissions mean, in the order of their jobs."""
    operation = database.account().operations["zhiqite.swap"]
    rows = database.sql("SELECT id, job_id, sent_at FROM attempts WHERE state = 'sending' ORDER BY job_id")
    return [
        after_submit(Sent(row.id, row.job_id, number, operation, row.sent_at), outcome, 5.0, Tries(3, 2))
        for row, outcome in zip(rows, outcomes, strict=True)
    ]


def answered(database: Database, *outcomes: SubmitOutcome, opened: bool = False, **columns: Any) -> Recorded:
    """Submit a job for each of `outcomes`, and record them as one group."""
    account = database.account(prices={"swap": "1 USD"})
    database.jobs(len(outcomes), **columns)
    assert len(database.start(account, len(outcomes), "1").started) == len(outcomes)
    return database.run(record, "main", effects_of(database, *outcomes), opened=opened)


def account_row(database: Database) -> Any:
    """The admission of the account; `left` in seconds, None when open."""
    (row,) = database.sql(
        "SELECT failures, closed_reason AS reason, closed_note AS note, closed_until = 'infinity' AS lasting,"
        " CASE WHEN closed_until = 'infinity' THEN NULL"
        " ELSE extract(epoch FROM closed_until - clock_timestamp())::float8 END AS left FROM accounts"
    )
    return row


# --- Moves ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", list(JobState))
def test_a_job_moves_only_from_where_the_machine_allows(database: Database, to: JobState) -> None:
    batch = database.batch()
    ids = {state: database.jobs(1, batch=batch, state=state.value)[0] for state in JobState}
    moved = database.run(move_jobs, [JobMove(job_id, to) for job_id in ids.values()])

    expected = {state for state, nexts in JOB_MOVES.items() if to in nexts}
    assert {move.was for move in moved} == expected
    assert {move.job_id for move in moved} == {ids[state] for state in expected}
    assert database.counts(batch)[to.value] == len(expected) + 1
    finished = {row.id for row in database.sql("SELECT id FROM jobs WHERE finished_at IS NOT NULL")}
    assert finished == ({ids[state] for state in expected} if to in FINAL_JOB_STATES else set())


def test_expected_states_narrow_a_move(database: Database) -> None:
    running, held = database.jobs(1, state="running")[0], database.jobs(1, state="held")[0]
    moves = [JobMove(job, JobState.FAILED, expected=frozenset({JobState.HELD})) for job in (running, held)]

    assert [move.job_id for move in database.run(move_jobs, moves)] == [held]


def test_of_two_that_move_a_job_one_does(database: Database) -> None:
    batch = database.batch()
    (job,) = database.jobs(1, batch=batch, state="running")
    ends = (JobState.SAVING, JobState.REJECTED, JobState.CANCELED, JobState.HELD) * 4
    moved = database.together(
        [partial(move_jobs, moves=[JobMove(job, end, expected=frozenset({JobState.RUNNING}))]) for end in ends]
    )

    assert sum(len(item) for item in moved) == 1
    assert sum(database.counts(batch).values()) == 1


def test_groups_in_any_order_do_not_deadlock(database: Database) -> None:
    batches = [database.batch(name) for name in "abc"]
    ids = [job for batch in batches for job in database.jobs(20, batch=batch, state="running")]
    groups = [ids, ids[::-1], ids[::2] + ids[1::2], ids[30:] + ids[:30]] * 3
    moved = database.together(
        [partial(move_jobs, moves=[JobMove(job, JobState.SUCCEEDED) for job in group]) for group in groups]
    )

    assert sum(len(item) for item in moved) == len(ids)
    assert [database.counts(batch) for batch in batches] == [{"succeeded": 20}] * 3


def test_a_chunk_of_a_thousand_with_stale_rows(database: Database) -> None:
    batch = database.batch()
    ids = database.jobs(1_000, batch=batch, state="running")
    database.sql("UPDATE jobs SET state = 'canceled' WHERE seq % 3 = 0")
    stale = database.one("SELECT count(*) FROM jobs WHERE state = 'canceled'")
    database.sql("UPDATE batches SET running = :left, canceled = :stale", left=1_000 - stale, stale=stale)
    moved = database.run(move_jobs, [JobMove(job, JobState.SAVING) for job in [*ids, "no-such-job"]])

    assert len(moved) == 1_000 - stale
    assert database.counts(batch) == {"saving": 1_000 - stale, "canceled": stale}


def test_single_jobs_are_not_counted(database: Database) -> None:
    (job,) = database.jobs(1, state="running")
    database.run(move_jobs, [JobMove(job, JobState.SUCCEEDED)])

    assert database.one("SELECT running + succeeded FROM batches WHERE id = 0") == 0


def test_a_job_back_in_the_queue_is_as_new(database: Database) -> None:
    (job,) = database.jobs(1, state="running")
    database.sql("UPDATE jobs SET claimed_until = now(), finished_at = now(), started_at = now()")
    database.run(move_jobs, [JobMove(job, JobState.QUEUED, Reason.OUTAGE, "x\0y" * 2_000, wait=30.0)])

    (row,) = database.sql("SELECT *, extract(epoch FROM not_before - clock_timestamp())::float8 AS waits FROM jobs")
    assert (row.claimed_until, row.finished_at, row.reason) == (None, None, "outage")
    assert row.waits == pytest.approx(30, abs=5)
    assert len(row.error) == MAX_ERROR_CHARS
    assert "\0" not in row.error


def test_an_attempt_keeps_what_a_later_word_does_not_tell(database: Database) -> None:
    reference = database.attempt(database.jobs(1, state="running")[0], "sending")
    database.run(
        move_attempts,
        [AttemptMove(reference, AttemptState.RUNNING, handle="h", accepted=True, poll_in=5.0, raw=b"\0" * 10**5)],
    )
    first = database.one("SELECT accepted_at FROM attempts")
    database.run(move_attempts, [AttemptMove(reference, AttemptState.RUNNING, polled=True, pending=True, poll_in=3.0)])
    (moved,) = database.run(move_attempts, [AttemptMove(reference, AttemptState.DONE, accepted=True)]).values()

    (row,) = database.sql("SELECT * FROM attempts")
    assert (row.handle, row.accepted_at, row.polls, row.next_poll_at) == ("h", first, 1, None)
    assert row.pending_at is not None
    assert row.finished_at is not None
    assert len(row.raw) == MAX_RAW_BYTES
    assert moved.accepted_at == first


def test_times_count_from_the_answer_and_not_from_its_record(database: Database) -> None:
    """What waited long before it was written is not looked at later for that, nor does it seem to have been quick."""
    reference = database.attempt(
        database.jobs(1, state="running")[0], "sending", sent_at="clock_timestamp() - interval '9 s'"
    )
    move = AttemptMove(reference, AttemptState.RUNNING, handle="h", accepted=True, ago=3.0, poll_in=5.0)
    database.run(move_attempts, [move])

    (row,) = database.sql(
        "SELECT extract(epoch FROM clock_timestamp() - accepted_at)::float8 AS age,"
        " extract(epoch FROM next_poll_at - accepted_at)::float8 AS look FROM attempts"
    )
    assert row.age == pytest.approx(3.0, abs=1.5)
    assert row.look == pytest.approx(5.0, abs=0.1)


def test_attempts_are_fenced_too(database: Database) -> None:
    references = [
        database.attempt(database.jobs(1, state="running")[0], state)
        for state in ("sending", "running", "done", "refused")
    ]
    moves = [AttemptMove(item, AttemptState.EXPIRED) for item in [*references, uuid.uuid4()]]

    assert set(database.run(move_attempts, moves)) == {references[1]}


@pytest.mark.parametrize(
    ("asked", "at_once"), [("12:00:00", True), ("12:00:02", False)], ids=["came while asking", "came before"]
)
def test_a_callback_that_overtook_the_answer_makes_the_poll_due(database: Database, asked: str, at_once: bool) -> None:
    reference = database.attempt(
        database.jobs(1, state="running")[0], "sending", callback_at="'2026-01-31 12:00:01+00'"
    )
    requested_at = datetime.fromisoformat(f"2026-01-31T{asked}").replace(tzinfo=UTC)
    database.run(move_attempts, [AttemptMove(reference, AttemptState.RUNNING, poll_in=60.0, requested_at=requested_at)])

    waits = database.one("SELECT extract(epoch FROM next_poll_at - clock_timestamp())::float8 FROM attempts")
    assert waits == pytest.approx(0 if at_once else 60, abs=5)


# --- Groups of outcomes --------------------------------------------------------------------------------------------


def test_a_group_of_every_outcome(database: Database) -> None:
    batch = database.batch()
    recorded = answered(
        database,
        Accepted("handle-1"),
        Done((PICTURE,)),
        Refused(Reason.NO_FACE, "no face"),
        Refused(Reason.PROVIDER_ERROR, "crashed"),
        Unclear("reset"),
        batch=batch,
    )

    states = [row.state for row in database.sql("SELECT state FROM attempts ORDER BY job_id")]
    assert states == ["running", "done", "refused", "refused", "unknown"]
    jobs = [row.state for row in database.sql("SELECT state FROM jobs ORDER BY id")]
    assert jobs == ["running", "saving", "rejected", "queued", "running"]
    assert database.counts(batch) == {"running": 2, "saving": 1, "rejected": 1, "queued": 1}
    assert database.spend() == {"account:main": Decimal(3), f"batch:{batch}": Decimal(3)}
    assert (recorded.saving, recorded.requeued, recorded.freed) == (True, True, True)
    assert recorded.poll_in == pytest.approx(2.0), "the unclear one is searched for first"
    assert [move.now for move in recorded.ended] == [JobState.REJECTED]
    assert recorded.announce == (), "nobody waits for a catalog's job"


def test_who_waits_for_a_single_job_is_told(database: Database) -> None:
    account = database.account()
    told, _, over = database.jobs(3)
    for task, job, announced in [("task-1", told, "NULL"), ("task-2", told, "NULL"), ("task-3", over, "now()")]:
        database.sql(
            f"INSERT INTO announcements (task_id, job_id, canvas, announced_at) VALUES (:task, :job, '', {announced})",  # noqa: S608
            task=task,
            job=job,
        )
    database.start(account, 3)
    recorded = database.run(record, "main", effects_of(database, *[Refused(Reason.CONTENT, "no")] * 3))

    assert recorded.announce == (told,)
    assert len(recorded.ended) == 3


@pytest.mark.parametrize(
    ("outcome", "attempt", "job", "spent"),
    [
        (Throttled(30.0), "not_sent", "queued", 0),
        (NotSent("refused"), "not_sent", "queued", 0),
        (Refused(Reason.AUTH, "bad key"), "refused", "queued", 0),
        (Refused(Reason.BAD_INPUT, "bad url"), "refused", "rejected", 0),
        (Unclear("time-out"), "unknown", "running", 1),
        (Accepted("handle"), "running", "running", 1),
    ],
)
def test_money_stays_promised_for_what_may_have_been_taken(
    database: Database, outcome: SubmitOutcome, attempt: str, job: str, spent: int
) -> None:
    answered(database, outcome)

    assert database.one("SELECT state FROM attempts") == attempt
    assert database.one("SELECT state FROM jobs") == job
    assert database.spend() == {"account:main": spent}


def test_a_late_word_about_a_judged_submission_is_welcome_and_a_second_one_is_not(database: Database) -> None:
    database.jobs(1)
    database.start(database.account(), cost="1")
    effects = effects_of(database, NotSent("refused"))
    database.sql("UPDATE attempts SET state = 'unknown'")
    database.sql("UPDATE jobs SET state = 'held'")

    assert database.run(record, "main", effects).requeued
    assert not database.run(record, "main", effects).requeued
    assert database.spend() == {"account:main": 0}


@pytest.mark.parametrize(
    "outcome", [Throttled(1.0), NotSent("refused"), Refused(Reason.AUTH, "no"), Refused(Reason.PROVIDER_ERROR, "no")]
)
def test_a_job_canceled_while_it_was_sent_stays_canceled(database: Database, outcome: SubmitOutcome) -> None:
    (job,) = database.jobs(1)
    database.start(database.account())
    database.run(move_jobs, [JobMove(job, JobState.CANCELED)])
    database.run(record, "main", effects_of(database, outcome))

    assert database.one("SELECT state FROM jobs") == "canceled"


def test_an_attempt_that_did_not_move_leaves_its_job_alone(database: Database) -> None:
    database.jobs(1)
    database.start(database.account(), cost="1")
    effects = effects_of(database, Refused(Reason.NO_FACE, "no"))
    database.sql("UPDATE attempts SET state = 'running'")

    assert database.run(record, "main", effects).ended == ()
    assert database.one("SELECT state FROM jobs") == "running"
    assert database.spend() == {"account:main": 1}


# --- Admission -----------------------------------------------------------------------------------------------------


def test_retry_after_stops_the_account_for_as_long(database: Database) -> None:
    answered(database, Throttled(42.0, "slow down"))

    row = account_row(database)
    assert (row.reason, row.note, row.failures) == ("throttled", "slow down", 1)
    assert row.left == pytest.approx(42, abs=5)


@pytest.mark.parametrize(
    ("outcome", "reason", "first"),
    [
        (Throttled(), Closure.THROTTLED, THROTTLE.first),
        (NotSent("refused"), Closure.OUTAGE, OUTAGE.first),
        (Unclear("time-out"), Closure.OUTAGE, OUTAGE.first),
    ],
)
def test_a_groups_troubles_count_once_and_close_for_a_growing_time(
    database: Database, outcome: SubmitOutcome, reason: Closure, first: float
) -> None:
    answered(database, *[outcome] * 5)
    row = account_row(database)
    assert (row.reason, row.failures) == (reason, 1)
    assert row.left <= 1.25 * first

    database.sql("UPDATE accounts SET closed_until = clock_timestamp()")
    database.run(
        admission.failed, "main", reason, "went out before it closed", None, datetime.now(UTC) - timedelta(hours=1)
    )
    assert account_row(database).failures == 1

    for failures in (2, 3, 4, 5):
        # (what fails while the account is stopped was under way when it stopped, and is the same failure)
        database.run(admission.failed, "main", reason, "under way")
        assert account_row(database).failures == failures - 1
        database.sql("UPDATE accounts SET closed_until = clock_timestamp()")
        database.run(admission.failed, "main", reason, "again")
        row = account_row(database)
        assert row.failures == failures
        assert row.left > 0.75 * first * 2 ** (failures - 1) - 2


def test_the_longest_wait_of_a_group_counts(database: Database) -> None:
    answered(database, Throttled(3.0), Unclear("reset"), Throttled(90.0), Throttled(None))

    assert account_row(database).left == pytest.approx(90, abs=5)


@pytest.mark.parametrize(("reason", "note"), [(Reason.AUTH, "bad key"), (Reason.CREDIT, "no credit")])
def test_an_account_at_fault_is_closed_until_something_changes(database: Database, reason: Reason, note: str) -> None:
    answered(database, Throttled(5.0), Refused(reason, note), Throttled(5.0))

    row = account_row(database)
    assert (row.lasting, row.reason, row.note) == (True, reason.value, note)
    assert database.run(admission.read, "main").closed_for == float("inf")
    database.run(admission.failed, "main", Closure.OUTAGE, "later")
    assert account_row(database).reason == reason.value, "a shorter closure does not replace a longer one"
    assert database.run(admission.resume, "main")
    assert database.run(admission.read, "main").closed_for is None
    assert not database.run(admission.resume, "nobody")


def test_a_probe_that_got_through_ends_the_stop(database: Database) -> None:
    answered(database, Accepted("handle"))
    database.sql("UPDATE accounts SET failures = 3, closed_reason = 'outage', closed_until = now() - interval '1 s'")
    answered(database, Accepted("another"), opened=True)

    row = account_row(database)
    assert (row.failures, row.reason, row.left) == (0, None, None)


@pytest.mark.parametrize("reason", [Closure.PAUSED, Closure.BUDGET])
def test_a_probe_does_not_open_what_a_person_or_a_budget_closed(database: Database, reason: Closure) -> None:
    database.jobs(1)
    database.start(database.account())
    effects = effects_of(database, Accepted("handle"))
    database.sql("UPDATE accounts SET failures = 3")
    database.run(admission.stop, "main", reason)
    database.run(record, "main", effects, opened=True)

    assert account_row(database).reason == reason


def test_what_was_learned_is_kept_for_the_next_slice(database: Database) -> None:
    database.account()
    learned = database.run(admission.latencies, "main")
    learned.learn("zhiqite.swap", since=4.5, age=5.0)
    database.run(admission.keep_latencies, "main", learned)

    assert database.run(admission.latencies, "main").as_document() == learned.as_document() != {}
