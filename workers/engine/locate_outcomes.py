"""The effects of each outcome of a search for a submission whose answer was lost. Pure."""

from __future__ import annotations

from models.states import AttemptState, JobState, Reason
from providers.outcomes import Absent, Found, LocateOutcome, NotYetKnown
from workers.accounts.intervals import next_look, silent_look
from workers.config.accounts import Account
from workers.config.settings import Tries
from workers.engine.due import Due
from workers.engine.effects import Effects, held_back
from workers.jobs.state_changes import AttemptMove, JobMove

WRITE_SECONDS = 5.0  # the bytes of a submission are written within this time of its commit, or never
JUDGE_MARGIN_SECONDS = 10.0  # on top of a call's time-out, before any process but the sender decides about a submission
ABSENCES_THAT_COUNT = 2
LOCATE_FIRST_SECONDS = 2.0  # before the provider is asked about a submission without an answer for the first time


def after_locate(due: Due, account: Account, outcome: LocateOutcome, *, provable: bool, tries: Tries) -> Effects:
    """What a search for an unclear submission changes; `provable`: a search or a callback may still find it."""
    effects = _after_locate(due, account, outcome, provable=provable, tries=tries)
    return held_back(effects, account, outcome) if isinstance(outcome, NotYetKnown) else effects


def _after_locate(due: Due, account: Account, outcome: LocateOutcome, *, provable: bool, tries: Tries) -> Effects:
    if isinstance(outcome, Found):
        return Effects(
            AttemptMove(
                due.id, AttemptState.RUNNING, _UNKNOWN, handle=outcome.handle, accepted=True, polled=True,
                poll_in=account.poll_every, requested_at=due.requested_at,
            ),
            JobMove(due.job_id, JobState.RUNNING, expected=frozenset({JobState.HELD})),
        )  # fmt: skip
    judged = due.age > WRITE_SECONDS + account.submit_timeout + JUDGE_MARGIN_SECONDS
    absent = isinstance(outcome, Absent) and judged
    if absent and due.absences + 1 >= ABSENCES_THAT_COUNT:
        note = "the provider never received it"
        return Effects(
            AttemptMove(due.id, AttemptState.NOT_SENT, _UNKNOWN, Reason.LOST, note, absent=True),
            JobMove(due.job_id, JobState.QUEUED, Reason.LOST, note, _OPEN),
            release=True,
        )
    message = outcome.message if isinstance(outcome, NotYetKnown) else "the provider does not know the submission (yet)"
    wait = _next_search(due, account, outcome) if provable else None
    if wait is not None:
        return Effects(
            AttemptMove(
                due.id, AttemptState.UNKNOWN, _UNKNOWN, error=message, poll_in=wait, polled=True, absent=absent,
                requested_at=due.requested_at,
            )
        )  # fmt: skip
    return _unlocatable(due, account, message, tries)


def _next_search(due: Due, account: Account, outcome: Absent | NotYetKnown) -> float | None:
    """Seconds until the next search; None if there is no use in one."""
    if due.left > 0:
        pace = max(account.poll_every, LOCATE_FIRST_SECONDS)
        return next_look(due.polls, interval=pace, poll_every=pace, left=due.left)
    if isinstance(outcome, NotYetKnown) and not outcome.asked:
        return None  # what was waited for was a callback
    return silent_look(due.polls, deadline=account.deadline)


_UNKNOWN = frozenset({AttemptState.UNKNOWN})
_RUNNING = frozenset({JobState.RUNNING})
_OPEN = frozenset({JobState.RUNNING, JobState.HELD})


def _unlocatable(due: Due, account: Account, message: str, tries: Tries) -> Effects:
    if account.on_unknown == "resubmit":
        note = f"{message}; submitted again (on_unknown = resubmit); it may be charged twice"
        return Effects(
            AttemptMove(due.id, AttemptState.EXPIRED, _UNKNOWN, Reason.UNCLEAR_SUBMIT, note, polled=True),
            JobMove(due.job_id, JobState.QUEUED, Reason.UNCLEAR_SUBMIT, note, _RUNNING, paid_limit=tries.paid),
        )
    held = "it is not known whether the provider accepted the job, and its API has no search; a person has to decide"
    # The in-flight place is kept until the deadline: if the provider accepted it, it is working on it.
    state = AttemptState.UNKNOWN if due.left > 0 else AttemptState.EXPIRED
    attempt = AttemptMove(
        due.id, state, _UNKNOWN, Reason.UNCLEAR_SUBMIT, message, polled=True,
        poll_in=due.left if due.left > 0 else None, requested_at=due.requested_at,
    )  # fmt: skip
    return Effects(attempt, JobMove(due.job_id, JobState.HELD, Reason.UNCLEAR_SUBMIT, held, _RUNNING))
