"""What every outcome changes, held against the table in the module's docstring and the state machines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.states import ACCOUNT_REASONS, ATTEMPT_MOVES, JOB_MOVES, REJECTING_REASONS, AttemptState, JobState, Reason
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
from providers.spec import Operation
from tests.unit.workers.engine.effects_of import (
    AT,
    DATA,
    DUE,
    MAX_ATTEMPTS,
    OPERATION,
    PICTURE,
    SENT,
    TRIES,
    UNKNOWN,
    attempt_of,
    located,
    polled,
    submitted,
)
from workers.engine import outcomes
from workers.engine.effects import Effects
from workers.engine.outcomes import AGAIN, after_submit


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
def test_a_throttled_account_waits_as_long_as_it_was_told(retry_after: float | None) -> None:
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
