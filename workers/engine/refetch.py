"""Results that were paid for and could not be downloaded: what is tried next, and when a job is given up. Pure.

A result is fetched a few times, and then the provider is asked for it anew. Its answer may name another URL; any other
answer leads back to the URL that is known (`outcomes.after_poll`). So a job goes around, with growing waits, until the
file is there or the rounds are used up.

    saving --(file damaged, URL dead)--> running --(poll)--> saving ... --(no rounds left)--> failed
"""

from __future__ import annotations

from models.states import AttemptState, JobState, Reason
from workers.backoff import Backoff
from workers.engine.effects import Effects
from workers.engine.saving import Saving
from workers.jobs.state_changes import AttemptMove, JobMove

ASK_AGAIN = Backoff(first=1.0, cap=120.0)  # before the provider is asked anew; a CDN needs seconds, a storage minutes
#: How often a provider is asked anew before the job fails.
ROUNDS = {
    Reason.BAD_OUTPUT: 5,  # half a minute: a file that is broken each time is broken at the provider
    Reason.LOST: 8,  # four minutes: a storage that was restarted or moved answers again by then
}


def asked_anew(saving: Saving, reason: Reason, message: str) -> Effects:
    """Ask the provider for the result anew, or fail the job with `reason` when that was done often enough."""
    if saving.refetches >= ROUNDS[reason]:
        return not_obtained(saving, reason, message)
    wait = ASK_AGAIN.delay(saving.refetches)
    return Effects(
        AttemptMove(saving.attempt_id, AttemptState.RUNNING, _DONE, error=message, poll_in=wait, refetch=True),
        JobMove(saving.job_id, JobState.RUNNING, error=message, expected=_SAVING),
    )


_DONE = frozenset({AttemptState.DONE})
_SAVING = frozenset({JobState.SAVING})


def not_obtained(saving: Saving, reason: Reason, message: str) -> Effects:
    """Fail the job; its attempt stays as it is, so that the result can be downloaded later."""
    said = f"the picture was paid for, but not obtained: {message}"
    return Effects(job=JobMove(saving.job_id, JobState.FAILED, reason, said, _SAVING))
