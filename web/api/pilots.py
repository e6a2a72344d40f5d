"""Pilots for programs: what the sample of a batch says, and the decision about the rest."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from desk import pilot, pilot_quotes
from desk.pilot import PilotChoice
from reports.batch import BatchReport, find
from reports.pilot import document
from web.api.changes import QuoteShape
from web.api.endpoints import Call, Service
from web.api.paying import quote_document
from web.api.problems import unprocessable
from web.api.shapes import Money, Shape


class RestShape(Shape):
    """What the waiting jobs would cost."""

    low: Money
    likely: Money
    at_most: Money
    priced: bool


class AcceptedShape(Shape):
    """How many of the waiting jobs people would accept, with 95 % confidence, of what was decided in the sample."""

    decided: int
    low: int
    likely: int | None
    high: int


class PilotShape(Shape):
    """The sample of a batch by what became of it, and the rest, which waits."""

    batch: str
    size: str
    decision: str | None
    decided_at: datetime | None
    decided_by: str | None
    sample: int
    made: int
    failed: int
    held: int
    open: int
    approved: int
    needs_work: int
    unreviewed: int
    spent: Money
    waiting: int
    rest: RestShape
    accepted: AcceptedShape


class PilotDecidedShape(PilotShape):
    """The pilot as it stands now, and how many waiting jobs were sent or canceled."""

    dry_run: bool
    done: int
    quote: QuoteShape | None = None


def read(service: Service, call: Call) -> dict[str, Any]:
    """A pilot as it stands."""
    batch = service.runtime.db(find, call.path["name"])
    return document(batch.name, pilot_quotes.read(service.runtime, batch), service.currency)


def decide(service: Service, call: Call) -> dict[str, Any]:
    """Stop a pilot, which costs nothing; or say what its rest would cost, with a quote; or take that quote."""
    asked, runtime = call.body, service.runtime
    batch = runtime.db(find, call.path["name"])
    if asked.quote is not None:
        if asked.decision is not None or asked.dry_run:
            raise unprocessable("quote: it says what is decided", "quote", asked.quote, "a quote alone")
        done = pilot_quotes.take(runtime, call.actor, call.token_id, asked.quote, batch)
        return _decided(service, batch, done)
    if asked.decision is None:
        raise unprocessable("decision: it is missing", "decision", allowed=", ".join(PilotChoice))
    if asked.decision is PilotChoice.STOP:
        done = 0 if asked.dry_run else pilot.stop(runtime, call.actor, batch)
        return _decided(service, batch, done, dry_run=asked.dry_run)
    if not asked.dry_run:
        raise unprocessable(
            "quote: it costs money, so it needs a quote; go_on with dry_run gives one", "quote", None, "a quote"
        )
    found, quote = pilot_quotes.offer(runtime, call.actor, call.token_id, batch, service.quote_seconds)
    said = document(batch.name, found, service.currency)
    return {**said, "dry_run": True, "done": 0, "quote": quote_document(quote, service.currency)}


def _decided(service: Service, batch: BatchReport, done: int, *, dry_run: bool = False) -> dict[str, Any]:
    found = pilot_quotes.read(service.runtime, batch)
    return {**document(batch.name, found, service.currency), "dry_run": dry_run, "done": done}
