"""Redos of programs, by quote: planned and priced, and then begun as they were quoted, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy.orm import Session

from desk import quotes
from desk.actors import Actor
from desk.prices import require_prices
from desk.quotes import Quote, StaleQuoteError
from desk.redo import redo_all
from desk.redo_plan import MOST_REDONE, Change, Plan, Terms, plan, redoable, require_few
from models.people import Role
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.filters import Filter, some_ids

_MOVED = "no job of the quote is as it was: each was sent again or changed since; ask for a new one"


def offer(
    runtime: Runtime, actor: Actor, token_id: int, which: Filter, change: Change, seconds: float
) -> tuple[Plan, Quote | None]:
    """What a redo would do and cost, with a quote; None where no job can be redone.

    Raises:
        ForbiddenError: `actor` is neither an operator nor a reviewer.
        InvalidJobError: a state cannot be redone, there are too many jobs, or an operation has no price.
    """
    actor.need(Role.REVIEWER, "ask for a quote")
    ids = runtime.db(some_ids, redoable(which), MOST_REDONE + 1)
    require_few(len(ids))
    found = runtime.db(plan, ids, change, _terms(runtime))
    require_prices(runtime, {job.lane for job in found.jobs})
    if not found.jobs:
        return found, None
    kept = {"jobs": {job.job_id: job.version for job in found.jobs}, "change": asdict(change)}
    content = json.dumps(kept, ensure_ascii=False).encode()
    quote = runtime.db(quotes.offer, token_id, "redo", which.batch, {}, content, found.at_most, seconds)
    return found, quote


def take(runtime: Runtime, actor: Actor, token_id: int, quote_id: str) -> tuple[Plan, int]:
    """Take a quote: redo those of its jobs that nobody has sent again since.

    Raises:
        ForbiddenError: `actor` may not, or has spent what a reviewer may spend on redos in a day.
        QuoteError: there is no such quote, it was taken or has expired, prices have risen, or no job is as it was.
        SpendLimitError: the token may not commit so much today.
        InvalidJobError: an operation has no price any more.
    """
    actor.need(Role.REVIEWER, "redo pictures")
    quote = runtime.db(quotes.find, token_id, "redo", quote_id)
    kept, terms = json.loads(quote.content), _terms(runtime)
    change, versions = Change(**kept["change"]), kept["jobs"]
    found = _as_quoted(runtime.db(plan, list(versions), change, terms), versions)
    if not found.jobs:
        raise StaleQuoteError(_MOVED)
    require_prices(runtime, {job.lane for job in found.jobs}, "quote")
    if found.at_most > quote.ceiling:
        raise StaleQuoteError("prices have risen since the quote was made; ask for a new one")

    def begin(session: Session) -> int:
        quotes.take(session, token_id, quote, terms.currency)
        done = redo_all(session, actor, found, change, terms)
        if not done:
            raise StaleQuoteError(_MOVED)
        return done

    done = runtime.db(begin)
    wake(runtime, *map(submit_pump, runtime.accounts))
    return found, done


def _as_quoted(found: Plan, versions: Mapping[str, Any]) -> Plan:
    """The plan for those jobs whose version is the one that was quoted."""
    jobs = tuple(job for job in found.jobs if versions[job.job_id] == job.version)
    moved = len(found.jobs) - len(jobs)
    left_out = {**found.left_out, **({"it was sent again or changed since the quote was made": moved} if moved else {})}
    return replace(found, jobs=jobs, left_out=left_out)


def _terms(runtime: Runtime) -> Terms:
    return Terms.of(runtime.settings, runtime.accounts, runtime.reach)
