"""Quotes for held jobs of which the provider has none: they are queued again, which pays.

That a provider accepted a job, or that it is given up, costs nothing more, and needs no quote (`desk.deciding`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy.orm import Session

from desk import quotes
from desk.actors import Actor
from desk.audit import jobs_of, note
from desk.bulk_operations import at_most_of
from desk.deciding import apply, check
from desk.prices import require_prices
from desk.quotes import Quote, StaleQuoteError
from models.people import Role
from reports import held
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter
from workers.operations.costs import lanes_of
from workers.operations.resolve import Held, Verdict


def offer(
    runtime: Runtime, actor: Actor, token_id: int, which: Filter, seconds: float
) -> tuple[list[Held], Quote | None]:
    """Held jobs of which the provider has none, with a quote for queuing them again; None where there are none.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: the provider called back about one, or an operation has no price.
    """
    actor.need(Role.OPERATOR, "ask for a quote")
    found = runtime.db(held.of, runtime.accounts, which)
    if not found:
        return found, None
    check(found, Verdict.NOT_ACCEPTED, None)
    ids = _ids(found)
    require_prices(runtime, runtime.db(lanes_of, Filter(ids=ids)))
    # With the submissions that were looked for: one that is sent later may be held, too, and accepted.
    content = json.dumps([[job.job_id, str(job.id)] for job in found]).encode()
    return found, runtime.db(
        quotes.offer, token_id, "resolve", which.batch, {}, content, _ceiling(runtime, ids), seconds
    )


def take(runtime: Runtime, actor: Actor, token_id: int, quote_id: str) -> list[Held]:
    """Take a quote: queue those of its jobs again that are still held, for the same submission.

    Raises:
        ForbiddenError, QuoteError, SpendLimitError, InvalidJobError: nothing was queued.
    """
    actor.need(Role.OPERATOR, "decide about held jobs")
    quote = runtime.db(quotes.find, token_id, "resolve", quote_id)
    quoted = json.loads(quote.content)
    waiting = runtime.db(held.of, runtime.accounts, Filter(ids=sorted({job_id for job_id, _ in quoted})))
    submissions = {submission for _, submission in quoted}
    found = [job for job in waiting if str(job.id) in submissions]
    if found:
        check(found, Verdict.NOT_ACCEPTED, None)
        require_prices(runtime, runtime.db(lanes_of, Filter(ids=_ids(found))), "quote")
    if not found or _ceiling(runtime, _ids(found)) > quote.ceiling:
        raise StaleQuoteError("prices or the jobs have changed since the quote was made; ask for a new one")

    def begin(session: Session) -> None:
        quotes.take(session, token_id, quote, runtime.settings.currency)
        note(session, actor, "resolve", jobs_of(quote.batch), verdict="not_accepted", quote=quote.id, jobs=len(found))

    # Taken first: if this process dies here, nothing was queued, and nothing can be queued twice.
    runtime.db(begin)
    apply(runtime, found, Verdict.NOT_ACCEPTED, None)
    return found


def _ids(found: Sequence[Held]) -> list[str]:
    return sorted({job.job_id for job in found})


def _ceiling(runtime: Runtime, ids: Sequence[str]) -> Decimal:
    return sum((line.cost for line in at_most_of(runtime, ids)), Decimal(0))
