"""What a poll's answer changes: looks that go on, results that are late or asked for anew, deadlines, failures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.states import ACCOUNT_REASONS, AttemptState, Closure, JobState, Reason
from providers.outcomes import Done, Failed, Pending, PollOutcome, Unanswered
from tests.unit.providers.cases import REPLICATE_SWAP
from tests.unit.providers.scripted import ScriptedHttp, always, reply, run
from tests.unit.workers.engine.effects_of import (
    ACCOUNT,
    DUE,
    MAX_ATTEMPTS,
    OPERATION,
    PICTURE,
    SENT,
    TRIES,
    attempt_of,
    polled,
    submitted,
)
from tests.words import unsaid
from workers.accounts.admission import THROTTLE
from workers.accounts.intervals import ANOTHER_LOOK_SECONDS, LATE_LOOKS, SILENT_LOOKS
from workers.engine.due import Due


@pytest.mark.parametrize("outcome", [Pending(), Unanswered("HTTP 502"), Unanswered("HTTP 429", 30.0)])
def test_a_poll_without_a_result_is_repeated_before_the_deadline(outcome: PollOutcome) -> None:
    effects = polled(outcome)

    assert effects.job is None
    assert (attempt_of(effects).to, attempt_of(effects).polled) == ("running", True)
    assert attempt_of(effects).pending is isinstance(outcome, Pending)
    poll_in = attempt_of(effects).poll_in
    assert poll_in is not None
    assert poll_in >= (30.0 if getattr(outcome, "retry_after", None) else ACCOUNT.poll_every)


@given(left=st.floats(0.001, 600), retry_after=st.none() | st.floats(0, 86_400), polls=st.integers(0, 500))
def test_no_poll_is_put_off_beyond_the_deadline(left: float, retry_after: float | None, polls: int) -> None:
    effects = polled(Unanswered("HTTP 429", retry_after), replace(DUE, left=left, polls=polls))

    poll_in = attempt_of(effects).poll_in
    assert poll_in is not None
    assert 0 <= poll_in <= left


def looks_past(due: Due, outcome: Unanswered) -> list[float]:
    """The waits between the looks past a deadline that all bring this, until the job is given up."""
    waits: list[float] = []
    while (effects := polled(outcome, due)).job is None:
        move = attempt_of(effects)
        assert (move.to, move.absent) == ("running", True)
        waits.append(move.poll_in or 0.0)
        due = replace(due, left=due.left - waits[-1], absences=due.absences + 1, polls=due.polls + 1)
    assert effects.job.reason == Reason.TIMED_OUT
    assert attempt_of(effects).poll_in, "it was paid for, and is looked for once more"
    return waits


@pytest.mark.parametrize("left", [-0.1, -3_600.0, -1e6], ids=["at the deadline", "after hours", "after days"])
def test_a_deadline_gives_nothing_up_while_nobody_answers(left: float) -> None:
    """The workers were away, the picture is there, and the provider is away for longer than they were back."""
    past = replace(DUE, left=left)
    for outcome in (Unanswered("nothing listens there"), Unanswered("HTTP 502")):
        waits = looks_past(past, outcome)
        assert waits[0] == ANOTHER_LOOK_SECONDS
        assert len(waits) == SILENT_LOOKS
        assert sum(waits) > 3 * ACCOUNT.deadline
        assert max(waits) <= ACCOUNT.deadline
    assert attempt_of(polled(Pending(), past)).to == "expired"
    done = polled(Done(PICTURE), replace(past, absences=SILENT_LOOKS))
    assert done.job is not None
    assert done.job.to == "saving"


def test_what_the_provider_says_of_the_job_itself_is_asked_once_more() -> None:
    gone = Unanswered("HTTP 404", answered=True)
    assert looks_past(replace(DUE, left=-3_600.0), gone) == [ANOTHER_LOOK_SECONDS]


@given(look_in=st.floats(0.001, 600), left=st.floats(0.001, 600))
def test_a_look_for_the_better_half_of_a_result_comes_in_time(look_in: float, left: float) -> None:
    poll_in = attempt_of(polled(Pending(look_in=look_in), replace(DUE, left=left, polls=50))).poll_in
    assert poll_in is not None
    assert poll_in <= min(left, max(look_in, ACCOUNT.poll_every))


@pytest.mark.parametrize("outcome", [Pending(), Unanswered("HTTP 502")])
def test_past_the_deadline_the_job_has_timed_out(outcome: PollOutcome) -> None:
    effects = polled(outcome, replace(DUE, left=-0.1, absences=SILENT_LOOKS))

    assert attempt_of(effects).to == "expired"
    assert effects.job is not None
    assert (effects.job.to, effects.job.reason) == ("failed", Reason.TIMED_OUT)
    assert unsaid(effects.job.error or "", "600 s") == []
    assert ("HTTP 502" in (effects.job.error or "")) is isinstance(outcome, Unanswered)


def test_a_late_result_is_looked_for_a_few_times() -> None:
    due, looks = replace(DUE, left=-0.1), 0
    while (wait := attempt_of(polled(Pending(), due)).poll_in) is not None:
        due = replace(due, state=AttemptState.EXPIRED, left=due.left - wait)
        looks += 1

    assert looks == LATE_LOOKS
    assert polled(Pending(), due).job is None, "the job ended long ago"
    assert attempt_of(polled(Done(PICTURE), due)).to == "done"


def test_a_late_word_leaves_a_job_alone_that_has_another_attempt_at_work() -> None:
    expired = replace(DUE, state=AttemptState.EXPIRED, left=-1.0)
    job = polled(Done(PICTURE), expired).job

    assert job is not None
    assert job.expected == frozenset({JobState.FAILED, JobState.HELD})
    assert polled(Failed(Reason.PROVIDER_ERROR, "no", again=True), expired).job is None


@pytest.mark.parametrize(
    ("reason", "again", "number", "job"),
    [
        (Reason.NO_FACE, False, 1, "rejected"),
        (Reason.NO_FACE, True, 1, "rejected"),
        (Reason.PROVIDER_ERROR, True, 1, "queued"),
        (
            Reason.PROVIDER_ERROR,
            True,
            MAX_ATTEMPTS,
            "queued",
        ),  # unless it was paid for too often, which the move counts
        (Reason.PROVIDER_ERROR, False, 1, "failed"),
        (Reason.CREDIT, False, 1, "queued"),
        (Reason.AUTH, False, 1, "queued"),
    ],
)
def test_a_failure_at_the_provider(reason: Reason, again: bool, number: int, job: str) -> None:
    effects = polled(Failed(reason, "no", again), replace(DUE, number=number))

    assert attempt_of(effects).to == "done"
    assert not effects.release, "the provider took the job, and bills it"
    assert effects.job is not None
    assert (effects.job.to, effects.job.reason) == (job, reason)
    assert (effects.job.to == "queued") is (effects.job.paid_limit == TRIES.paid)
    assert (effects.trouble is not None) is (reason in ACCOUNT_REASONS), "only words about the account stop it"
    assert submitted(Failed(reason, "no", again), replace(SENT, number=number)).job == replace(
        effects.job, wait=mock.ANY
    ), "a failure at once is the same failure"


@pytest.mark.parametrize("number", [1, MAX_ATTEMPTS])
def test_a_failure_that_is_not_billed_is_no_payment(number: int) -> None:
    free = replace(OPERATION, free=frozenset({Reason.TIMED_OUT}))
    effects = polled(Failed(Reason.TIMED_OUT, "never started", again=True), replace(DUE, number=number), free)

    assert effects.release
    assert attempt_of(effects).free
    assert effects.job is not None
    assert (effects.job.to, effects.job.paid_limit) == ("queued" if number < MAX_ATTEMPTS else "failed", None)


@pytest.mark.parametrize(
    ("said", "free"),
    [
        ({"status": "aborted"}, True),
        ({"status": "canceled"}, False),
        ({"status": "failed", "error": "the prediction timed out"}, False),
        ({"status": "failed", "error": "The prediction was aborted and never started."}, False),
        ({"status": "failed", "error": "list index out of range"}, False),
    ],
)
def test_only_what_replicate_says_it_never_ran_is_free(said: Mapping[str, str], free: bool) -> None:
    attempt = REPLICATE_SWAP.attempt()
    provider = REPLICATE_SWAP.build(ScriptedHttp(always(reply(200, {"id": attempt.handle, **said}))))
    effects = polled(run(provider.poll([attempt]))[attempt.reference], DUE, provider.OPERATIONS[attempt.operation])

    assert attempt_of(effects).to == "done"
    assert (effects.release, attempt_of(effects).free) == (free, free)


@pytest.mark.parametrize(
    ("answer", "hold", "stopped"),
    [
        (Unanswered("429", 60.0, throttled=True), 60.0, 60.0),
        (Unanswered("429", None, throttled=True), THROTTLE.first, None),
        (Unanswered("503", 60.0), 60.0, False),
        (Unanswered("503", 1e6), ACCOUNT.deadline, False),
        (Unanswered("reset"), 0.0, False),
    ],
)
def test_a_provider_that_wants_fewer_polls_is_left_alone(answer: Unanswered, hold: float, stopped: Any) -> None:
    effects = polled(answer)
    assert effects.hold == hold
    assert (effects.trouble is None) == (stopped is False)
    if effects.trouble:
        assert (effects.trouble.reason, effects.trouble.seconds) == (Closure.THROTTLED, stopped)


@pytest.mark.parametrize(
    "answer",
    [Pending(), Unanswered("?"), Done(()), *(Failed(reason, "no", again=True) for reason in sorted(Reason))],
    ids=str,
)
def test_a_result_that_was_reported_is_not_given_up_for_what_is_said_later(answer: PollOutcome) -> None:
    for left in (580.0, -1.0):
        effects = polled(answer, replace(DUE, refetches=1, left=left))
        attempt = attempt_of(effects)
        assert (attempt.to, attempt.outputs, attempt.poll_in) == (AttemptState.DONE, None, None)
        assert effects.job is not None
        assert (effects.job.to, effects.job.expected) == (JobState.SAVING, frozenset({JobState.RUNNING}))
        assert not effects.release


def test_another_address_replaces_the_one_that_was_reported() -> None:
    effects = polled(Done(PICTURE), replace(DUE, refetches=1))
    assert json.loads(attempt_of(effects).outputs or "")[0]["url"] == PICTURE[0].url
