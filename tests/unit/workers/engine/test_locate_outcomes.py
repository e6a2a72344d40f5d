"""What a search for a lost submission changes: found, absent, or not to be told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.states import JobState, Reason
from providers.outcomes import Absent, Found, LocateOutcome, NotYetKnown
from tests.unit.workers.engine.effects_of import JUDGED, TRIES, UNKNOWN, attempt_of, located
from workers.accounts.intervals import ANOTHER_LOOK_SECONDS, SILENT_LOOKS
from workers.engine.locate_outcomes import ABSENCES_THAT_COUNT


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
