"""The effects of each outcome of a submission or a poll on the attempt, the job, the account and the money. Pure.

It decides on what providers answered; `providers.outcomes` has the types of the answers. A deadline gives nothing up
by a look that got no answer: the job may be done, and is paid for. There is another look soon, and a dead provider gets
a number of them.

submission                        attempt     job                                account
Accepted                          running     running                            accepts
Done                              done        saving (succeeded without files)   accepts
Failed                            done        rejected | queued | failed         accepts
Refused: picture or text          refused     rejected                           accepts
Refused: credentials or credit    refused     queued                             stops until resumed
Refused: anything else            refused     queued, after max_attempts failed  accepts
Throttled                         not_sent    queued                             stops for Retry-After or back-off
NotSent                           not_sent    queued                             stops for back-off
Unclear                           unknown     running                            stops for back-off

poll                              attempt     job
Pending, Unanswered               running     running; past the deadline expired and failed (timed_out)
Done                              done        saving (succeeded without files)
Failed                            done        rejected | queued (may help, may be paid for again) | failed

Words about the account in a final failure stop it as a refusal does, and queue the job. What is refused in words that
nobody knows, and what a wrong key is answered with, is also counted in a row (`workers.engine.streaks`).

A result that is asked for anew (`workers.engine.refetch`) is one that was reported: whatever the answer is but Done,
the attempt is done again and the job saving, with the URLs that are known.
"""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from models.states import ACCOUNT_REASONS, REJECTING_REASONS, AttemptState, Closure, JobState, Reason
from providers.outcomes import (
    Accepted,
    Done,
    Failed,
    NotSent,
    Pending,
    PollOutcome,
    Refused,
    SubmitOutcome,
    Throttled,
    Unanswered,
)
from providers.spec import Operation
from workers.accounts.intervals import LATE_LOOKS, silent_look
from workers.backoff import Backoff
from workers.config.accounts import Account
from workers.config.settings import Tries
from workers.engine.due import Due
from workers.engine.effects import Effects, Evidence, Trouble, held_back
from workers.engine.locate_outcomes import LOCATE_FIRST_SECONDS
from workers.jobs.state_changes import AttemptMove, JobMove

AGAIN = Backoff(first=5.0, cap=300.0)  # before a job's next attempt; longer faults seldom end by themselves


@dataclass(frozen=True, slots=True)
class Sent:
    """A submission that was sent."""

    reference: uuid.UUID
    job_id: str
    number: int
    operation: Operation
    sent_at: datetime
    #: Handles of earlier uploads that it used.
    reused: tuple[str, ...] = ()


def after_submit(sent: Sent, outcome: SubmitOutcome, first_look: float, tries: Tries, *, ago: float = 0.0) -> Effects:
    """What a submission's outcome changes that came `ago` seconds ago; `first_look` is in seconds from then."""
    taken = Evidence(sent.job_id, sent.reference, sent.sent_at)
    if isinstance(outcome, Accepted):
        return Effects(
            AttemptMove(
                sent.reference, AttemptState.RUNNING, _WAS_SENT, handle=outcome.handle, parts=outcome.parts,
                accepted=True, ago=ago, poll_in=first_look, raw=outcome.raw, requested_at=sent.sent_at,
            ),
            evidence=taken,
        )  # fmt: skip
    if isinstance(outcome, Done):
        return replace(_done(sent.reference, sent.job_id, sent.operation, outcome, polled=False), evidence=taken)
    if isinstance(outcome, Failed):
        move = AttemptMove(sent.reference, AttemptState.DONE, _WAS_SENT, accepted=True)
        return replace(_failed(move, sent.job_id, sent.number, sent.operation, outcome, tries), evidence=taken)
    if isinstance(outcome, Refused):
        return _refused(sent, outcome, tries)
    if isinstance(outcome, Throttled):
        return _not_sent(sent, Reason.THROTTLED, outcome.message, outcome.retry_after)
    if isinstance(outcome, NotSent):
        return _not_sent(sent, Reason.OUTAGE, outcome.message, None)
    return Effects(
        AttemptMove(
            sent.reference, AttemptState.UNKNOWN, _WAS_SENDING, Reason.UNCLEAR_SUBMIT, outcome.message,
            poll_in=LOCATE_FIRST_SECONDS, raw=outcome.raw, requested_at=sent.sent_at,
        ),
        trouble=Trouble(Closure.OUTAGE, outcome.message, sent_at=sent.sent_at),
        evidence=replace(taken, kind=WRONG_KEY, note=outcome.message, as_of_a_wrong_key=True)
        if outcome.as_of_a_wrong_key else None,
    )  # fmt: skip


WRONG_KEY = "wrong key"  # the kind of all answers that a wrong key is given
_WAS_SENDING = frozenset({AttemptState.SENDING})
# The sender may still record the outcome of a submission that the sweep has set to unknown meanwhile.
_WAS_SENT = frozenset({AttemptState.SENDING, AttemptState.UNKNOWN})


def _refused(sent: Sent, outcome: Refused, tries: Tries) -> Effects:
    attempt = AttemptMove(
        sent.reference, AttemptState.REFUSED, _WAS_SENT, outcome.reason, outcome.message, raw=outcome.raw
    )
    if outcome.reason in ACCOUNT_REASONS:
        job = JobMove(sent.job_id, JobState.QUEUED, outcome.reason, outcome.message, _OPEN)
        trouble = Trouble(Closure(outcome.reason), outcome.message, lasting=True)
        return Effects(attempt, job, release=True, trouble=trouble)
    if sent.reused and outcome.reason in _OF_AN_UPLOAD:
        return _uploaded_anew(sent, outcome)
    again = sent.number < tries.attempts
    unknown = Evidence(sent.job_id, sent.reference, sent.sent_at, outcome.unknown, outcome.message)
    return Effects(
        attempt,
        _unsuccessful(sent.job_id, sent.number, outcome.reason, outcome.message, again, None),
        release=True,
        evidence=unknown if outcome.unknown else None,
    )


#: Reasons of a refusal behind which an upload may be that the provider has forgotten.
_OF_AN_UPLOAD = frozenset({Reason.BAD_INPUT, Reason.NO_FACE, Reason.PROVIDER_ERROR})


def _uploaded_anew(sent: Sent, outcome: Refused) -> Effects:
    # Sent again as the same attempt: that our own cache was out of date costs the job no try.
    message = f"refused with a picture that was uploaded for an earlier job, and is uploaded anew: {outcome.message}"
    return Effects(
        AttemptMove(sent.reference, AttemptState.NOT_SENT, _WAS_SENT, outcome.reason, message, raw=outcome.raw),
        JobMove(sent.job_id, JobState.QUEUED, outcome.reason, message, _OPEN),
        release=True,
        forgotten=sent.reused,
    )


def _not_sent(sent: Sent, reason: Reason, message: str, retry_after: float | None) -> Effects:
    return Effects(
        AttemptMove(sent.reference, AttemptState.NOT_SENT, _WAS_SENT, reason, message),
        JobMove(sent.job_id, JobState.QUEUED, reason, message, _OPEN),
        release=True,
        trouble=Trouble(Closure(reason), message, retry_after, sent_at=sent.sent_at),
    )


def _failed(
    attempt: AttemptMove, job_id: str, number: int, operation: Operation, outcome: Failed, tries: Tries
) -> Effects:
    """What a final failure changes. It was paid for, unless the provider's pages say that it bills none such."""
    free = outcome.reason in operation.free
    attempt = replace(attempt, reason=outcome.reason, error=outcome.message, raw=outcome.raw, free=free)
    limit = None if free else tries.paid
    if outcome.reason in ACCOUNT_REASONS:
        job = JobMove(job_id, JobState.QUEUED, outcome.reason, outcome.message, _IN_WORK, paid_limit=limit)
        return Effects(
            attempt, job, release=free, trouble=Trouble(Closure(outcome.reason), outcome.message, lasting=True)
        )
    again = outcome.again and (not free or number < tries.attempts)
    return Effects(attempt, _unsuccessful(job_id, number, outcome.reason, outcome.message, again, limit), release=free)


def _unsuccessful(
    job_id: str, number: int, reason: Reason, message: str, again: bool, paid_limit: int | None
) -> JobMove:
    if reason in REJECTING_REASONS:
        return JobMove(job_id, JobState.REJECTED, reason, message, _OPEN)
    if again:
        wait = AGAIN.delay(number - 1)
        return JobMove(job_id, JobState.QUEUED, reason, message, _IN_WORK, wait=wait, paid_limit=paid_limit)
    return JobMove(job_id, JobState.FAILED, reason, message, _OPEN)


_IN_WORK = frozenset({JobState.RUNNING})
_OPEN = frozenset({JobState.RUNNING, JobState.HELD})


def _done(
    reference: uuid.UUID, job_id: str, operation: Operation, outcome: Done, *, polled: bool, late: bool = False
) -> Effects:
    outputs = [{"url": output.url, "facts": _plain(output.facts)} for output in outcome.outputs]
    message = None if outputs or not operation.pictures else "the provider reported success without a picture"
    attempt = AttemptMove(
        reference, AttemptState.DONE, accepted=True, handle=outcome.handle, polled=polled, raw=outcome.raw,
        outputs=json.dumps(outputs), reason=Reason.BAD_OUTPUT if message else None, error=message or outcome.missing,
    )  # fmt: skip
    # A job that was given up may have another attempt in flight; a late result counts only if it has none.
    expected = _GIVEN_UP if late else None
    if message:
        return Effects(attempt, JobMove(job_id, JobState.FAILED, Reason.BAD_OUTPUT, message, _IN_WORK))
    return Effects(attempt, JobMove(job_id, JobState.SAVING if outputs else JobState.SUCCEEDED, expected=expected))


_GIVEN_UP = frozenset({JobState.FAILED, JobState.HELD})


def _plain(facts: Any) -> Any:
    """Facts of a provider as something that JSONB takes: no NUL, no NaN."""
    if isinstance(facts, str):
        return facts.replace("\x00", "")
    if isinstance(facts, float) and not math.isfinite(facts):
        return None
    if isinstance(facts, dict) or hasattr(facts, "items"):
        return {str(key).replace("\x00", ""): _plain(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_plain(value) for value in facts]
    return facts


def after_poll(
    due: Due, operation: Operation, account: Account, outcome: PollOutcome, *, next_look: float, tries: Tries
) -> Effects:
    """What a poll's outcome changes; where nothing is known yet, the next poll comes in `next_look` seconds."""
    effects = _after_poll(due, operation, account, outcome, next_look=next_look, tries=tries)
    return held_back(effects, account, outcome) if isinstance(outcome, Unanswered) else effects


def _after_poll(
    due: Due, operation: Operation, account: Account, outcome: PollOutcome, *, next_look: float, tries: Tries
) -> Effects:
    if due.refetches and due.state is AttemptState.RUNNING and not (isinstance(outcome, Done) and outcome.outputs):
        return _asked_in_vain(due, outcome)
    if isinstance(outcome, Done):
        return _done(due.id, due.job_id, operation, outcome, polled=True, late=due.state is AttemptState.EXPIRED)
    if isinstance(outcome, Failed):
        move = AttemptMove(due.id, AttemptState.DONE, polled=True)
        effects = _failed(move, due.job_id, due.number, operation, outcome, tries)
        return replace(effects, job=None) if due.state is AttemptState.EXPIRED else effects
    return _not_yet(due, account, outcome, next_look)


def _not_yet(due: Due, account: Account, outcome: Pending | Unanswered, next_look: float) -> Effects:
    message, silent = outcome.message if isinstance(outcome, Unanswered) else None, False
    if due.left > 0:
        wait = min(next_look, due.left)
        if isinstance(outcome, Unanswered) and outcome.retry_after is not None:
            wait = min(max(wait, outcome.retry_after), due.left)
        if isinstance(outcome, Pending) and outcome.look_in is not None:
            wait = min(wait, max(account.poll_every, outcome.look_in), due.left)
    elif isinstance(outcome, Unanswered) and (soon := _another_look(due, account, outcome)) is not None:
        wait, silent = soon, True
    else:
        return _timed_out(due, account, message, outcome.raw)
    return Effects(
        AttemptMove(
            due.id, due.state, error=message, poll_in=wait, polled=True, pending=isinstance(outcome, Pending),
            absent=silent, raw=outcome.raw, requested_at=due.requested_at,
        )
    )  # fmt: skip


def _another_look(due: Due, account: Account, outcome: Unanswered) -> float | None:
    """Seconds until another look past a deadline; None if the job is given up."""
    if due.state is not AttemptState.RUNNING or (outcome.answered and due.absences):
        return None
    return silent_look(due.absences, deadline=account.deadline)


def _asked_in_vain(due: Due, outcome: PollOutcome) -> Effects:
    """The provider reported a result before, and names none now: what it said then still holds."""
    message = getattr(outcome, "message", None)
    return Effects(
        AttemptMove(due.id, AttemptState.DONE, _IS_RUNNING, error=message, polled=True),
        JobMove(due.job_id, JobState.SAVING, error=message, expected=_IN_WORK),
    )


_IS_RUNNING = frozenset({AttemptState.RUNNING})


def _timed_out(due: Due, account: Account, message: str | None, raw: bytes) -> Effects:
    # A result that was paid for may still come, and a few late polls are cheap.
    late, is_first = int(-due.left // account.deadline), due.state is AttemptState.RUNNING
    attempt = AttemptMove(
        due.id, AttemptState.EXPIRED, _LATE, Reason.TIMED_OUT, message, polled=True, raw=raw,
        poll_in=account.deadline if is_first or late < LATE_LOOKS else None, requested_at=due.requested_at,
    )  # fmt: skip
    if not is_first:
        return Effects(attempt)
    text = f"no result within {account.deadline:g} s" + (f"; the last answer was: {message}" if message else "")
    return Effects(attempt, JobMove(due.job_id, JobState.FAILED, Reason.TIMED_OUT, text, _IN_WORK))


_LATE = frozenset({AttemptState.RUNNING, AttemptState.EXPIRED})
