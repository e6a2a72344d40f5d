"""Decisions of people about held jobs: accepted by the provider, not accepted, or given up.

A held job's attempt was sent and no answer came, at a provider that cannot be asked. Each verdict moves the attempt,
the job and the money in one transaction, fenced by the states they were held in.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy.orm import Session

from models.fragments import quoted
from models.states import AttemptState, JobState, Reason
from workers.accounts import admission
from workers.engine.effects import Effects
from workers.engine.record import Recorded, record
from workers.jobs.filters import EVERY, JOBS, LAST, Filter, Filtered
from workers.jobs.state_changes import AttemptMove, JobMove


class Verdict(StrEnum):
    """What a person knows of a held submission."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Held:
    """A held job with its submission, whose outcome is unknown."""

    id: uuid.UUID
    job_id: str
    batch: str
    key: str | None
    account: str
    operation: str
    cost: Decimal
    sent_at: datetime
    state: str
    error: str | None
    #: When the provider called back about it, which proves that it accepted the submission.
    callback_at: datetime | None = None


_OPEN = frozenset({AttemptState.UNKNOWN, AttemptState.EXPIRED})
_HELD_ONLY = frozenset({JobState.HELD})

# Those that a restore held are `reconcile.waiting`'s.
_HELD = Filtered(
    lambda which: (
        f"""
        SELECT last.id, last.job_id, b.name AS batch, j.key, last.account, last.operation, last.cost, last.sent_at,
            last.state, last.error, last.callback_at
        FROM {JOBS} {LAST}
        WHERE j.state = 'held' AND j.reason IS DISTINCT FROM 'restored'
            AND last.state IN ({quoted(sorted(_OPEN))}) AND {which.where}
        ORDER BY last.account, last.sent_at
    """
    )
)


def held(session: Session, which: Filter = EVERY) -> list[Held]:
    """Held jobs that match the filter and whose submission has an unknown outcome."""
    return [Held(**row._mapping) for row in _HELD.execute(session, which)]


def resolve(session: Session, account: str, jobs: Sequence[Held], verdict: Verdict, handle: str | None) -> Recorded:
    """Apply a person's word to held jobs of one account.

    Args:
        session: a transaction.
        account: the account that the jobs were sent to.
        jobs: as `held` found them; whatever has moved since is left alone.
        verdict: what is known.
        handle: the provider's name for an accepted job; one job only.

    Raises:
        ValueError: a handle is missing, or meant for several jobs.
    """
    if verdict is Verdict.ACCEPTED and (not handle or len(jobs) != 1):
        raise ValueError("an accepted job needs the provider's handle for it, so resolve each such job by itself")
    if verdict is Verdict.ACCEPTED:
        admission.count_reopened(session, account, len(jobs))
    return record(session, account, [_effects(job, verdict, handle) for job in jobs])


def _effects(job: Held, verdict: Verdict, handle: str | None) -> Effects:
    if verdict is Verdict.ACCEPTED:
        return Effects(
            AttemptMove(job.id, AttemptState.RUNNING, _OPEN, handle=handle, accepted=True, poll_in=0.0),
            JobMove(job.job_id, JobState.RUNNING, expected=_HELD_ONLY),
        )
    if verdict is Verdict.NOT_ACCEPTED:
        note = "a person recorded that the provider did not accept it"
        return Effects(
            AttemptMove(job.id, AttemptState.NOT_SENT, _OPEN, Reason.LOST, note),
            JobMove(job.job_id, JobState.QUEUED, Reason.LOST, note, _HELD_ONLY),
            release=True,
        )
    note = "given up by a person; it may have been paid for"
    return Effects(
        AttemptMove(job.id, AttemptState.EXPIRED, _OPEN, Reason.UNCLEAR_SUBMIT, note),
        JobMove(job.job_id, JobState.FAILED, Reason.UNCLEAR_SUBMIT, note, _HELD_ONLY),
    )
