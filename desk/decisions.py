"""Decisions about held jobs: what a person or a program says of submissions whose outcome is not known.

That a provider accepted a job, or that it is given up, costs nothing more. That it did not accept it queues the job
again, which pays; programs need a quote for that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby

from sqlalchemy.orm import Session

from desk import quotes
from desk.actors import Actor
from desk.audit import note
from desk.levers import at_most_of
from desk.quotes import Quote, StaleQuoteError
from models.people import Role
from models.states import Reason
from recast.errors import InvalidJobError
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, submit_pump, wake
from workers.jobs.filters import Filter
from workers.messaging.publish import announce
from workers.operations.estimate import lanes_of, unpriced
from workers.operations.resolve import Held, Verdict, held, resolve
from workers.restore import reconcile


def waiting(runtime: Runtime, which: Filter) -> list[Held]:
    """The held jobs that match, with those that a restore held."""
    return runtime.db(held, which) + runtime.db(reconcile.waiting, runtime.accounts, which)


def apply(runtime: Runtime, found: Sequence[Held], verdict: Verdict, handle: str | None) -> None:
    """Apply a verdict to jobs that `waiting` found; whatever has moved since is left alone."""
    for (restored, account), group in groupby(found, key=lambda job: (job.state == Reason.RESTORED, job.account)):
        if restored:
            ended = runtime.db(reconcile.record_decision, runtime.accounts, account, list(group), verdict, handle)
        else:
            ended = runtime.db(resolve, account, list(group), verdict, handle).announce
        announce(ended)
        wake(runtime, submit_pump(account), poll_pump(account))


def decide(runtime: Runtime, actor: Actor, which: Filter, verdict: Verdict, handle: str | None) -> list[Held]:
    """Say of held jobs that they were accepted, or that they are given up.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: the verdict is not possible for these jobs.
    """
    actor.need(Role.OPERATOR, "decide about held jobs")
    found = waiting(runtime, which)
    _check(found, verdict, handle)
    apply(runtime, found, verdict, handle)
    runtime.db(note, actor, "resolve", _subject(which.batch), verdict=verdict.value, jobs=len(found))
    return found


def offer(
    runtime: Runtime, actor: Actor, token_id: int, which: Filter, seconds: float
) -> tuple[list[Held], Quote | None]:
    """Held jobs of which the provider has none, with a quote for queuing them again; None where there are none.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: the provider called back about one, or an operation has no price.
    """
    actor.need(Role.OPERATOR, "ask for a quote")
    found = waiting(runtime, which)
    _check(found, Verdict.NOT_ACCEPTED, None)
    ids = _ids(found)
    if not ids:
        return found, None
    if missing := unpriced(runtime.db(lanes_of, Filter(ids=ids)), runtime.accounts):
        raise InvalidJobError("filter", f"there is no price for {', '.join(missing)}; add prices to the accounts file")
    content = json.dumps(ids).encode()
    return found, runtime.db(
        quotes.offer, token_id, "resolve", which.batch, {}, content, _ceiling(runtime, ids), seconds
    )


def take(runtime: Runtime, actor: Actor, token_id: int, quote_id: str) -> list[Held]:
    """Take a quote: queue those of its jobs again that are still held.

    Raises:
        ForbiddenError, QuoteError, SpendLimitError, InvalidJobError: nothing was queued.
    """
    actor.need(Role.OPERATOR, "decide about held jobs")
    quote = runtime.db(quotes.find, token_id, "resolve", quote_id)
    found = waiting(runtime, Filter(ids=json.loads(quote.content)))
    _check(found, Verdict.NOT_ACCEPTED, None)
    if not found or _ceiling(runtime, _ids(found)) > quote.ceiling:
        raise StaleQuoteError("prices or the jobs have changed since the quote was made; ask for a new one")

    def begin(session: Session) -> None:
        quotes.take(session, token_id, quote, runtime.settings.currency)
        note(session, actor, "resolve", _subject(quote.batch), verdict="not_accepted", quote=quote.id, jobs=len(found))

    # Taken first: if this process dies here, nothing was queued, and nothing can be queued twice.
    runtime.db(begin)
    apply(runtime, found, Verdict.NOT_ACCEPTED, None)
    return found


def _check(found: Sequence[Held], verdict: Verdict, handle: str | None) -> None:
    if (verdict is Verdict.ACCEPTED) is (handle is None):
        raise InvalidJobError("handle", "is the provider's id of a job that it accepted; allowed: with accepted only")
    if verdict is Verdict.ACCEPTED and len(found) != 1:
        raise InvalidJobError("filter", f"accepted is said of one job, and {len(found)} held jobs fit; name the job")
    called_back = [job for job in found if job.callback_at]
    if verdict is Verdict.NOT_ACCEPTED and called_back:
        raise InvalidJobError(
            "verdict", f"the provider called back about {len(called_back)} of the jobs, so it accepted them: "
            f"{called_back[0].job_id}; allowed for those: accepted, give_up",
        )  # fmt: skip


def _ids(found: Sequence[Held]) -> list[str]:
    return sorted({job.job_id for job in found})


def _ceiling(runtime: Runtime, ids: Sequence[str]) -> Decimal:
    return sum((line.cost for line in at_most_of(runtime, ids)), Decimal(0))


def _subject(batch: str | None) -> str:
    return "jobs" if batch is None else f"batch {batch}"
