"""Decisions about held jobs: applied account by account, the same for the command and the page."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby

from desk.actors import Actor
from desk.audit import about, note
from models.people import Role
from models.states import Reason
from recast.errors import InvalidJobError
from recast.money import Money
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, submit_pump, wake
from workers.messaging.publish import announce
from workers.operations.resolve import Held, Verdict, resolve
from workers.restore import reconcile

MAX_HANDLE_CHARS = 500  # of a provider's id: those of today have about 40


def apply(runtime: Runtime, found: Sequence[Held], verdict: Verdict, handle: str | None) -> None:
    """Record what is known of held jobs, and have them continued."""
    for (restored, account), group in groupby(found, key=lambda job: (job.state == Reason.RESTORED, job.account)):
        if restored:
            ended = runtime.db(reconcile.record_decision, runtime.accounts, account, list(group), verdict, handle)
        else:
            ended = runtime.db(resolve, account, list(group), verdict, handle).announce
        announce(ended)
        wake(runtime, submit_pump(account), poll_pump(account))


def check(found: Sequence[Held], verdict: Verdict, handle: str | None) -> None:
    """Refuse a decision that cannot be meant.

    Raises:
        InvalidJobError: several jobs cannot have one id at the provider; what was called back about was accepted.
    """
    if not found:
        raise InvalidJobError("jobs", "none of these jobs waits for a decision any more")
    if verdict is Verdict.ACCEPTED:
        if not handle or len(handle) > MAX_HANDLE_CHARS or not handle.isprintable():
            raise InvalidJobError(
                "handle",
                f"{(handle or '')[:MAX_HANDLE_CHARS]!r} is not possible; allowed: the provider's id of the job, 1 to "
                f"{MAX_HANDLE_CHARS} printable signs",
            )
        if len(found) != 1:
            raise InvalidJobError("jobs", f"accepted is said of one job, and {len(found):,} are selected; name the job")
    elif handle is not None:
        raise InvalidJobError(
            "handle",
            f"{handle[:MAX_HANDLE_CHARS]!r} is the id of a job that a provider accepted; allowed: with accepted",
        )
    called_back = [job for job in found if job.callback_at]
    if verdict is Verdict.NOT_ACCEPTED and called_back:
        raise InvalidJobError(
            "verdict",
            f"not accepted would pay again for {counted(len(called_back), 'job')} that the provider called back about, "
            f"and so accepted, such as {called_back[0].job_id}; allowed for those: accepted, give_up",
        )


def decide(runtime: Runtime, actor: Actor, found: Sequence[Held], verdict: Verdict, handle: str | None = None) -> None:
    """Record what an operator found out about held jobs.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: the decision cannot be meant.
    """
    actor.need(Role.OPERATOR, "decide about held jobs")
    check(found, verdict, handle)
    apply(runtime, found, verdict, handle)
    subject = about({job.job_id: job.batch for job in found})
    cost = Money(sum((job.cost for job in found), Decimal(0)), runtime.settings.currency)
    runtime.db(note, actor, "resolve", subject, verdict=verdict.value, jobs=len(found), cost=str(cost))
