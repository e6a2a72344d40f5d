"""What an outcome changes: the attempt, the job, the account, the money, and what is known of the account."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from models.states import Closure
from providers.outcomes import NotYetKnown, Unanswered
from workers.accounts import admission
from workers.config.accounts import Account
from workers.engine.saving import Postponed, Stored
from workers.jobs.state_changes import AttemptMove, JobMove


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an account stops: for `seconds`, for a back-off (None), or until the reason is gone (`lasting`)."""

    reason: Closure
    note: str
    seconds: float | None = None
    lasting: bool = False
    #: The longest back-off.
    longest: float = admission.PAUSE_CAP_SECONDS
    #: When the submission went out that met it; None where it met none.
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the answer to one submission says of the account, for `workers.engine.streaks`."""

    job_id: str
    reference: uuid.UUID
    sent_at: datetime
    #: What was refused in unknown words, or answered as a wrong key is; "" for a submission that was taken.
    kind: str = ""
    note: str = ""
    #: Whether a wrong key is answered so.
    as_of_a_wrong_key: bool = False


@dataclass(frozen=True, slots=True)
class Effects:
    """Everything one outcome changes."""

    attempt: AttemptMove | None = None
    job: JobMove | None = None
    release: bool = False
    trouble: Trouble | None = None
    #: What a submission's answer says of the account.
    evidence: Evidence | None = None
    #: Handles of uploads that the provider no longer knows, it seems: the next job uploads anew.
    forgotten: tuple[str, ...] = ()
    #: Seconds for which the account's provider is not to be polled.
    hold: float = 0.0
    #: Pictures of the job that were stored.
    stored: tuple[Stored, ...] = ()
    #: That the job is not saved yet.
    postponed: Postponed | None = None


def held_back(effects: Effects, account: Account, outcome: Unanswered | NotYetKnown) -> Effects:
    """A provider that wants fewer requests means the account's, and not one job's."""
    wait = outcome.retry_after
    if outcome.throttled:
        trouble = Trouble(Closure.THROTTLED, outcome.message, wait)
        return replace(effects, hold=admission.THROTTLE.first if wait is None else wait, trouble=trouble)
    # Past the deadline there is nothing left to ask for.
    return effects if wait is None else replace(effects, hold=min(wait, account.deadline))
