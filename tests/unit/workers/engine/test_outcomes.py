"""What every outcome changes, held against the table in the module's docstring and the state machines."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.states import (
    ACCOUNT_REASONS,
    ATTEMPT_MOVES,
    JOB_MOVES,
    REJECTING_REASONS,
    AttemptState,
    Closure,
    JobState,
    Reason,
)
from providers.outcomes import (
    Absent,
    Accepted,
    Done,
    Failed,
    Found,
    LocateOutcome,
    NotSent,
    NotYetKnown,
    Output,
    Pending,
    PollOutcome,
    Refused,
    SubmitOutcome,
    Throttled,
    Unanswered,
    Unclear,
)
from providers.spec import Operation, Options
from tests.unit.providers.cases import REPLICATE_SWAP
from tests.unit.providers.scripted import ScriptedHttp, always, reply, run
from tests.words import unsaid
from workers.accounts.admission import THROTTLE
from workers.accounts.intervals import ANOTHER_LOOK_SECONDS, LATE_LOOKS, SILENT_LOOKS
from workers.config.accounts import parse
from workers.config.settings import Tries
from workers.engine import outcomes
from workers.engine.due import Due
from workers.engine.effects import Effects
from workers.engine.locate_outcomes import ABSENCES_THAT_COUNT, JUDGE_MARGIN_SECONDS, WRITE_SECONDS, after_locate
from workers.engine.outcomes import AGAIN, Sent, after_poll, after_submit
from workers.jobs.moves import AttemptMove

AT = datetime(2026, 1, 31, tzinfo=UTC)
REFERENCE = uuid.UUID("5f0c8a52-6f0e-5b6c-9d3c-2f6a6a7d9b11")
OPERATION = Operation(name="zhiqite.swap", kind="swap", options=Options, needs={})
DATA = replace(OPERATION, pictures=False)
SENT = Sent(REFERENCE, "job", 1, OPERATION, AT)
ACCOUNT = parse(
    "main",
    {
        "provider": "zhiqite",
        "base_url": "http://127.0.0.1:9",
        "access_key_id": "id",
        "access_key_secret": "s",
        "deadline": "10min",
        "submit_timeout": "30s",
        "poll_every": "3s",
    },
)
RESUBMITTING = ACCOUNT.model_copy(update={"on_unknown": "resubmit"})
DUE = Due(
    id=REFERENCE,
    job_id="job",
    number=1,
    operation="zhiqite.swap",
    state=AttemptState.RUNNING,
    handle="handle",
    locator=None,
    polls=2,
    absences=0,
    callback_token=None,
    age=20.0,
    left=580.0,
    requested_at=AT,
)
UNKNOWN = replace(DUE, state=AttemptState.UNKNOWN, handle=None)
JUDGED = WRITE_SECONDS + ACCOUNT.submit_timeout + JUDGE_MARGIN_SECONDS
PICTURE = (Output("https://cdn.example/a.jpg", {"seed": 7}),)
MAX_ATTEMPTS = 3
TRIES = Tries(MAX_ATTEMPTS, 2)


def attempt_of(effects: Effects) -> AttemptMove:
    assert effects.attempt is not None
    return effects.attempt


def submitted(outcome: SubmitOutcome, sent: Sent = SENT) -> Effects:
    return after_submit(sent, outcome, 4.5, TRIES)


def polled(outcome: PollOutcome, due: Due = DUE, operation: Operation = OPERATION) -> Effects:
    return after_poll(due, operation, ACCOUNT, outcome, next_look=3.0, tries=TRIES)


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the docstring's table under `heading`, by their first cell."""
    _, _, rest = (outcomes.__doc__ or "").partition(f"\n{heading}")
    lines = rest.partition("\n\n")[0].splitlines()[1:]
    return {cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line.strip()) for line in lines) if cells[0]}


SUBMISSIONS: Mapping[str, list[SubmitOutcome]] = {
    "Accepted": [Accepted("handle")],
    "Done": [Done(PICTURE)],
    "Failed": [Failed(Reason.CONTENT, "no")],
    "Refused: picture or text": [Refused(reason, "no") for reason in sorted(REJECTING_REASONS)],
    "Refused: credentials or credit": [Refused(reason, "no") for reason in sorted(ACCOUNT_REASONS)],
    "Refused: anything else": [Refused(Reason.PROVIDER_ERROR, "no")],
    "Throttled": [Throttled(), Throttled(7.0)],
    "NotSent": [NotSent("refused")],
    "Unclear": [Unclear("reset")],
}


def test_the_docstring_lists_every_outcome() -> None:
    assert set(table("submission")) == set(SUBMISSIONS)
    assert set(table("poll")) == {"Pending, Unanswered", "Done", "Failed"}


@pytest.mark.parametrize(("row", "outcome"), [(row, item) for row, items in SUBMISSIONS.items() for item in items])
def test_a_submission_does_what_the_docstring_says(row: str, outcome: SubmitOutcome) -> None:
    attempt, job, account = table("submission")[row]
    effects = submitted(outcome)

    assert attempt_of(effects).to == attempt
    # A job that was sent is running already: only another state is a move.
    if job != "as for a poll":
        assert (effects.job.to if effects.job else "running") == re.split(r"\W", job)[0]
    assert (effects.trouble is None) is (account == "accepts")
    if effects.trouble is not None:
        assert effects.trouble.lasting is (account == "stops until resumed")
    assert effects.release is (attempt in ("refused", "not_sent")), "money comes back exactly for what was not taken"


@pytest.mark.parametrize("retry_after", [None, 0.0, 7.0])
def test_a_throttled_gate_waits_as_long_as_it_was_told(retry_after: float | None) -> None:
    trouble = submitted(Throttled(retry_after)).trouble

    assert trouble is not None
    assert (trouble.reason, trouble.seconds) == ("throttled", retry_after)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_refusal_without_a_cause_in_the_picture_is_tried_a_few_times(number: int) -> None:
    job = submitted(Refused(Reason.PROVIDER_ERROR, "no"), replace(SENT, number=number)).job

    assert job is not None
    assert job.to == ("queued" if number < MAX_ATTEMPTS else "failed")
    assert (0 < job.wait <= AGAIN.cap * (1 + AGAIN.jitter)) is (number < MAX_ATTEMPTS)


def test_the_first_look_is_counted_from_the_submission() -> None:
    move = attempt_of(submitted(Accepted("handle", b"raw")))

    assert (move.handle, move.accepted, move.poll_in, move.raw, move.requested_at) == ("handle", True, 4.5, b"raw", AT)


@pytest.mark.parametrize(
    ("outcome", "operation", "job", "reason"),
    [
        (Done(PICTURE), OPERATION, "saving", None),
        (Done(()), OPERATION, "failed", Reason.BAD_OUTPUT),
        (Done(()), DATA, "succeeded", None),
    ],
)
def test_a_result_is_saved_and_one_without_a_picture_is_none(
    outcome: Done, operation: Operation, job: str, reason: Reason | None
) -> None:
    for effects in (submitted(outcome, replace(SENT, operation=operation)), polled(outcome, DUE, operation)):
        assert attempt_of(effects).to == "done"
        assert attempt_of(effects).accepted, "a result proves that the provider took the job"
        assert not effects.release
        assert effects.job is not None
        assert (effects.job.to, effects.job.reason) == (job, reason)


@given(
    st.recursive(
        st.text() | st.floats() | st.none() | st.booleans() | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_providers_facts_can_be_stored(facts: Any) -> None:
    outputs = attempt_of(submitted(Done((Output("https://cdn.example/a.jpg", {"facts": facts}),)))).outputs

    assert outputs is not None
    assert "\\u0000" not in outputs
    json.loads(outputs, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


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


@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_with_an_earlier_upload_costs_the_job_no_try(reason: Reason) -> None:
    reusing = replace(SENT, number=3, reused=("identity",))
    effects = after_submit(reusing, Refused(reason, "unknown identity"), 1.0, tries=TRIES)
    anew = reason in {Reason.BAD_INPUT, Reason.NO_FACE, Reason.PROVIDER_ERROR}
    assert effects.forgotten == (("identity",) if anew else ())
    assert (attempt_of(effects).to == "not_sent") is anew
    assert effects.release
    assert effects.job is not None
    if anew:
        assert (effects.job.to, effects.trouble) == ("queued", None)
        assert after_submit(SENT, Refused(reason, "unknown identity"), 1.0, tries=TRIES).forgotten == ()


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


def located(outcome: LocateOutcome, due: Due = UNKNOWN, *, provable: bool = True, resubmit: bool = False) -> Effects:
    return after_locate(due, RESUBMITTING if resubmit else ACCOUNT, outcome, provable=provable, tries=TRIES)


def test_a_lost_submission_that_is_found_goes_on() -> None:
    effects = located(Found("handle"))

    assert (attempt_of(effects).to, attempt_of(effects).handle, attempt_of(effects).accepted) == (
        "running",
        "handle",
        True,
    )
    assert effects.job is not None
    assert effects.job.to == "running"
    assert effects.job.expected == frozenset({JobState.HELD}), "a held job is let go"
    assert not effects.release


@pytest.mark.parametrize(
    ("age", "absences", "to"),
    [
        (JUDGED - 1, 9, "unknown"),
        (JUDGED + 1, 0, "unknown"),
        (JUDGED + 1, ABSENCES_THAT_COUNT - 1, "not_sent"),
    ],
)
def test_absence_counts_when_repeated_after_the_sender_had_its_time(age: float, absences: int, to: str) -> None:
    effects = located(Absent(), replace(UNKNOWN, age=age, absences=absences))

    assert attempt_of(effects).to == to
    assert attempt_of(effects).absent is (age > JUDGED)
    assert effects.release is (to == "not_sent")
    assert (effects.job.to if effects.job else None) == ("queued" if to == "not_sent" else None)


@pytest.mark.parametrize("outcome", [Absent(), NotYetKnown("HTTP 502")])
@pytest.mark.parametrize("resubmit", [False, True])
@pytest.mark.parametrize(("left", "provable"), [(500.0, False), (-1.0, True), (-1.0, False)])
def test_what_cannot_be_told_is_held_or_sent_again_as_the_account_says(
    outcome: LocateOutcome, resubmit: bool, left: float, provable: bool
) -> None:
    due = replace(UNKNOWN, left=left, polls=SILENT_LOOKS if provable else 0)
    effects = located(outcome, due, provable=provable, resubmit=resubmit)

    assert effects.job is not None
    assert (effects.job.to, effects.job.reason) == ("queued" if resubmit else "held", Reason.UNCLEAR_SUBMIT)
    assert not effects.release, "the provider may have taken it"
    if resubmit:
        assert effects.job.paid_limit == TRIES.paid, "both may be billed"
        assert attempt_of(effects).to == "expired"
        assert "charged twice" in (attempt_of(effects).error or "")
    else:
        assert attempt_of(effects).to == ("unknown" if left > 0 else "expired"), "its place is held until the deadline"
        assert attempt_of(effects).poll_in == (left if left > 0 else None)


@pytest.mark.parametrize("left", [-0.1, -3_600.0, -1e6], ids=["at the deadline", "after hours", "after days"])
@pytest.mark.parametrize("outcome", [Absent(), NotYetKnown("HTTP 502")], ids=["absent once", "no answer"])
@pytest.mark.parametrize("resubmit", [False, True])
def test_a_search_gives_nothing_up_before_it_was_answered(left: float, outcome: LocateOutcome, resubmit: bool) -> None:
    """The workers were away for longer than the deadline: one look that tells nothing must not pay again."""
    due = replace(UNKNOWN, left=left, polls=0, age=1_000.0)
    effects = located(outcome, due, resubmit=resubmit)
    assert effects.job is None
    assert (attempt_of(effects).to, attempt_of(effects).poll_in) == ("unknown", ANOTHER_LOOK_SECONDS)
    again = located(Absent(), replace(due, polls=1, absences=1), resubmit=resubmit)
    assert attempt_of(again).to == "not_sent", "two absences are a proof, and the job is sent for nothing"


def test_where_nothing_can_be_asked_nothing_is_waited_for() -> None:
    effects = located(NotYetKnown("no search", asked=False), replace(UNKNOWN, left=-1.0, polls=0))
    assert effects.job is not None
    assert effects.job.to == "held"


POLLS: list[PollOutcome] = [
    Pending(),
    Done(PICTURE),
    Done(()),
    Unanswered("no"),
    Failed(Reason.PROVIDER_ERROR, "no", again=True),
]
SEARCHES: list[LocateOutcome] = [Found("handle"), Absent(), NotYetKnown("no")]
EVERYTHING: list[Effects] = [
    *(
        submitted(item, replace(SENT, number=number, operation=operation))
        for items in SUBMISSIONS.values()
        for item in [*items, Done(())]
        for number in (1, MAX_ATTEMPTS)
        for operation in (OPERATION, DATA)
    ),
    *(
        polled(item, replace(DUE, state=state, left=left), operation)
        for item in POLLS
        for state, left in [
            (AttemptState.RUNNING, 5.0),
            (AttemptState.RUNNING, -1.0),
            (AttemptState.EXPIRED, -1.0),
            (AttemptState.EXPIRED, -1e6),
        ]
        for operation in (OPERATION, DATA)
    ),
    *(
        located(item, replace(UNKNOWN, left=left, age=age, absences=1), provable=provable, resubmit=resubmit)
        for item in SEARCHES
        for left in (5.0, -1.0)
        for age in (1.0, 1_000.0)
        for provable in (True, False)
        for resubmit in (True, False)
    ),
]


@pytest.mark.parametrize("effects", EVERYTHING)
def test_every_move_is_one_that_the_state_machines_allow(effects: Effects) -> None:
    attempt, job = attempt_of(effects), effects.job
    if attempt.expected is not None:
        assert all(attempt.to is was or attempt.to in ATTEMPT_MOVES[was] for was in attempt.expected)
    if job is not None and job.expected is not None:
        assert all(job.to in JOB_MOVES[was] for was in job.expected)


@pytest.mark.parametrize("effects", EVERYTHING)
def test_no_outcome_queues_a_job_that_has_ended(effects: Effects) -> None:
    job = effects.job
    if job is not None and job.to is JobState.QUEUED:
        assert job.expected is not None
        assert job.expected <= {JobState.RUNNING, JobState.HELD}, "a canceled job would be sent again"


@pytest.mark.parametrize("effects", EVERYTHING)
def test_a_job_that_waits_for_an_attempt_has_it_polled(effects: Effects) -> None:
    waiting = effects.job is None or effects.job.to is JobState.RUNNING
    if waiting and attempt_of(effects).to in (AttemptState.RUNNING, AttemptState.UNKNOWN):
        assert attempt_of(effects).poll_in is not None


# --- Retry-After, and results that are asked for anew --------------------------------------------------------------


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
