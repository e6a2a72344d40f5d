"""The state machines of a job and of an attempt as data, and the reasons for ends, closures and pauses.

    job:      queued -> running -> saving -> succeeded
              and from there, or on the way: failed, rejected, canceled, held

    attempt:  sending -> running -> done
              sending -> refused | not_sent | unknown | done
              unknown -> running | not_sent | expired          (found, proven absent, given up)
              running -> expired -> done                       (past its deadline, a late answer)

Only `workers.restore.hold` and `workers.restore.reconcile` write what the machines do not know: what happened after a
backup.

A job whose redo failed is what it was before, with its picture (`workers.jobs.redone`).

Every move in the code is an ``UPDATE ... WHERE state = expected`` whose pair is in `JOB_MOVES` or `ATTEMPT_MOVES`;
the database's check constraints are made from the same enums.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """The state of a job; the last five are ends, although a person or a late answer may move some of them again."""

    QUEUED = "queued"
    RUNNING = "running"
    SAVING = "saving"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELED = "canceled"
    HELD = "held"


class AttemptState(StrEnum):
    """The state of one paid submission."""

    SENDING = "sending"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    EXPIRED = "expired"


class Reason(StrEnum):
    """Why a job or an attempt ended as it did; the words that filters, metrics and people use."""

    BAD_INPUT = "bad_input"
    INPUT_UNAVAILABLE = "input_unavailable"
    WORKER_LOST = "worker_lost"
    NO_FACE = "no_face"
    CONTENT = "content"
    PROVIDER_ERROR = "provider_error"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    AUTH = "auth"
    CREDIT = "credit"
    THROTTLED = "throttled"
    OUTAGE = "outage"
    BAD_OUTPUT = "bad_output"
    UNCLEAR_SUBMIT = "unclear_submit"
    CANCELED = "canceled"
    EXPIRED = "expired"
    RESTORED = "restored"
    SUPERSEDED = "superseded"
    CONSENT = "consent"


class Closure(StrEnum):
    """Why an account takes no submissions."""

    THROTTLED = "throttled"
    OUTAGE = "outage"
    CREDIT = "credit"
    AUTH = "auth"
    BUDGET = "budget"
    PAUSED = "paused"


class PauseReason(StrEnum):
    """Why a batch is paused: its money is spent, or a person paused it."""

    BUDGET = "budget"
    PERSON = "person"


J, A = JobState, AttemptState

JOB_MOVES: Mapping[JobState, frozenset[JobState]] = {
    J.QUEUED: frozenset({J.RUNNING, J.FAILED, J.REJECTED, J.CANCELED, J.HELD}),
    J.RUNNING: frozenset({J.QUEUED, J.SAVING, J.SUCCEEDED, J.FAILED, J.REJECTED, J.CANCELED, J.HELD}),
    J.SAVING: frozenset({J.SUCCEEDED, J.RUNNING, J.FAILED}),
    J.SUCCEEDED: frozenset(),
    J.FAILED: frozenset({J.SAVING, J.SUCCEEDED, J.QUEUED}),
    J.REJECTED: frozenset({J.QUEUED}),
    J.CANCELED: frozenset({J.QUEUED}),
    J.HELD: frozenset({J.QUEUED, J.RUNNING, J.SAVING, J.SUCCEEDED, J.FAILED, J.REJECTED, J.CANCELED}),
}

ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    A.SENDING: frozenset({A.RUNNING, A.DONE, A.REFUSED, A.NOT_SENT, A.UNKNOWN}),
    A.RUNNING: frozenset({A.DONE, A.EXPIRED}),
    A.UNKNOWN: frozenset({A.RUNNING, A.DONE, A.REFUSED, A.NOT_SENT, A.EXPIRED}),
    A.NOT_SENT: frozenset({A.SENDING}),
    A.EXPIRED: frozenset({A.DONE, A.RUNNING, A.NOT_SENT}),  # a late answer, or a person who knows
    A.DONE: frozenset({A.RUNNING}),  # a result that cannot be downloaded is asked for anew
    A.REFUSED: frozenset(),
}

#: States in which a job needs nothing more from a worker.
FINAL_JOB_STATES = frozenset({J.SUCCEEDED, J.FAILED, J.REJECTED, J.CANCELED, J.HELD})

#: The others: a batch is done when it has no job in them.
OPEN_JOB_STATES = tuple(state for state in JobState if state not in FINAL_JOB_STATES)

#: Final states that are announced to waiting producers; a held job has not ended, so its producer still waits.
ANNOUNCED_JOB_STATES = FINAL_JOB_STATES - {J.HELD}

#: Attempts that hold one of the account's in-flight places.
OPEN_ATTEMPT_STATES = frozenset({A.SENDING, A.RUNNING, A.UNKNOWN})

#: Attempts that the provider did not take: they cost nothing.
UNPAID_ATTEMPT_STATES = frozenset({A.REFUSED, A.NOT_SENT})

#: Reasons that say the picture or the request is at fault: the job is rejected; sending it elsewhere would not help.
REJECTING_REASONS = frozenset({Reason.BAD_INPUT, Reason.NO_FACE, Reason.CONTENT})

#: Reasons that say the account is at fault: it stops and the job is queued again.
ACCOUNT_REASONS = frozenset({Reason.AUTH, Reason.CREDIT})

#: Closures that end by themselves, soon, or with the next submission that gets through.
PASSING_CLOSURES = frozenset({Closure.THROTTLED, Closure.OUTAGE})

#: Closures that a person must end, or that last too long to wait for.
LASTING_CLOSURES = frozenset(Closure) - PASSING_CLOSURES
