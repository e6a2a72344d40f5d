"""Paid work by quote: a catalog is planned and priced, and then run exactly as it was quoted, or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.enqueue import Enqueued, enqueue
from catalog.errors import SamePictureError
from catalog.intake import Intake, take_in
from catalog.plan import Plan, plan, which_rows
from catalog.rows import FileRows, open_rows
from desk import bulk_operations, quotes
from desk.actors import Actor
from desk.audit import jobs_of, note
from desk.prices import require_prices
from desk.quotes import Quote, StaleQuoteError
from models.people import Role
from models.spend import spent_by
from models.states import OPEN_JOB_STATES
from recast.errors import InvalidJobError
from recast.money import DECIMALS
from workers.accounts.overrides import in_force
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.images.roots import EVERYWHERE
from workers.jobs.filters import Filter
from workers.jobs.lanes import lane_operation
from workers.jobs.run_options import RunOptions
from workers.operations import bulk
from workers.operations.costs import at_most, lanes_of

MAX_RETRIED = 100_000  # jobs of one quote: their ids are kept with it
LEAST = Decimal(1).scaleb(-DECIMALS)  # the limit of a batch whose operations cost nothing

_BATCH = text(f"SELECT max_cost, {spent_by('b.id')} AS spent FROM batches b WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Order:
    """A catalog that a program sent, and how it is to be run."""

    #: Its bytes, and the name of its file, whose ending tells the format.
    content: bytes
    file: str
    #: The batch's name; by default the file's name without its ending.
    name: str | None
    options: RunOptions
    #: Whether a source's own picture is done too, if it is among the targets.
    same_picture: bool = False

    @property
    def terms(self) -> dict[str, Any]:
        """What is kept of it with a quote, beside its bytes."""
        return {
            "file": self.file, "name": self.name, "options": self.options.document(), "same_picture": self.same_picture
        }  # fmt: skip

    @classmethod
    def of(cls, quote: Quote) -> Order:
        """The order that was quoted."""
        kept = quote.terms["order"]
        return cls(quote.content, kept["file"], kept["name"], RunOptions.read(kept["options"]), kept["same_picture"])


@dataclass(frozen=True, slots=True)
class Price:
    """What one job by one operation costs at one account, with the options that it has by default."""

    operation: str
    account: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Offer:
    """A plan with its quote; None where nothing would be queued."""

    intake: Intake
    plan: Plan
    likely: Decimal
    prices: Sequence[Price]
    quote: Quote | None


def offer(runtime: Runtime, actor: Actor, token_id: int, order: Order, seconds: float) -> Offer:
    """What the order would do and cost, with a quote that can be taken for so many seconds.

    Raises:
        ForbiddenError: `actor` is not an operator.
        CatalogError: the catalog or a row of it is wrong, or an operation has no price.
        SamePictureError: rows would put a picture onto itself, and the order does not say that this is meant.
    """
    actor.need(Role.OPERATOR, "ask for a quote")
    with _taken_in(runtime, order) as intake:
        # A quote is a limit, and what has no price cannot be limited.
        intake.require_prices(replace(order.options, max_cost=order.options.max_cost or Decimal(1)))
        found = plan(runtime, intake, order.options)
        if found.same:
            raise SamePictureError(intake.name, found.same)
        quote = None
        if found.queued:
            most = {"at_most": str(found.at_most), "sent_at_most": str(found.sent_at_most)}
            terms = {"order": order.terms, "which": found.which, **most}
            quote = runtime.db(
                quotes.offer, token_id, "run", intake.name, terms, order.content, ceiling_of(found), seconds
            )
        return Offer(intake, found, likely_of(found), prices_of(found), quote)


def run(runtime: Runtime, actor: Actor, token_id: int, quote_id: str) -> Enqueued:
    """Take a quote: enqueue exactly what it says, with its ceiling as the batch's spending limit.

    Raises:
        ForbiddenError: `actor` is not an operator.
        QuoteError: there is no such quote, it was taken or has expired, or it no longer says what would be done.
        SpendLimitError: the token may not commit so much today.
        CatalogError: what the catalog's rows name has changed, so that they cannot be run.
    """
    actor.need(Role.OPERATOR, "start runs")
    currency = runtime.settings.currency
    quote = runtime.db(quotes.find, token_id, "run", quote_id)
    order, others = Order.of(quote), Decimal(0)

    def first(session: Session, _: int) -> None:
        nonlocal others
        quotes.take(session, token_id, quote, currency)
        waiting = Filter(batch=quote.batch, states=sorted(OPEN_JOB_STATES))
        lines = at_most(session, waiting, runtime.accounts, runtime.settings.tries.paid)
        others = sum((line.cost for line in lines), Decimal(0))

    def last(session: Session, done: Enqueued) -> None:
        _agrees(session, quote, done)
        # What waits for the decision about a pilot is not paid by this quote, but is not to be paused for want of it.
        more = quote.ceiling + others + done.at_most - done.sent_at_most
        bulk.raise_limit(session, done.name, _limit(session, done, order.options, more))
        note(session, actor, "run", f"batch {done.name}", quote=quote.id, ceiling=str(quote.ceiling), jobs=done.queued)

    with _taken_in(runtime, order) as intake:
        intake.require_prices(replace(order.options, max_cost=quote.ceiling or LEAST))
        # Without its own limit: that is set at the end, with what the batch has spent by then.
        return enqueue(runtime, intake, replace(order.options, max_cost=None), first=first, last=last)


def offer_retry(
    runtime: Runtime, actor: Actor, token_id: int, which: Filter, seconds: float
) -> tuple[bulk_operations.Impact, Quote | None]:
    """What queuing jobs again would cost, with a quote; None where there is no such job.

    Raises:
        ForbiddenError: `actor` is not an operator.
        InvalidJobError: a state cannot be retried, there are too many jobs, or an operation has no price.
    """
    actor.need(Role.OPERATOR, "ask for a quote")
    found = bulk_operations.retryable(runtime, which)
    if len(found.ids) > MAX_RETRIED:
        raise InvalidJobError("filter", f"{len(found.ids):,} jobs fit; allowed: up to {MAX_RETRIED:,}; narrow it")
    if not found.ids:
        return found, None
    require_prices(runtime, runtime.db(lanes_of, Filter(ids=found.ids)))
    content = json.dumps([[job_id, at and at.isoformat()] for job_id, at in found.ended.items()]).encode()
    quote = runtime.db(quotes.offer, token_id, "retry", which.batch, {}, content, found.cost, seconds)
    return found, quote


def retry(runtime: Runtime, actor: Actor, token_id: int, quote_id: str) -> tuple[bulk_operations.Impact, int]:
    """Take a quote: queue those of its jobs again that can be, and have not moved since it was made.

    Raises:
        ForbiddenError, QuoteError, SpendLimitError: as `run`.
        InvalidJobError: an operation has no price any more.
    """
    actor.need(Role.OPERATOR, "retry jobs")
    quote = runtime.db(quotes.find, token_id, "retry", quote_id)
    ended = {job_id: at and datetime.fromisoformat(at) for job_id, at in json.loads(quote.content)}
    found = bulk_operations.retryable(runtime, Filter(ids=list(ended), states=list(bulk.RETRYABLE)), ended)
    if not found.ids:
        raise StaleQuoteError("each job of the quote was queued again or changed since; ask for a new one")
    require_prices(runtime, runtime.db(lanes_of, Filter(ids=found.ids)), "quote")
    if found.cost > quote.ceiling:
        raise StaleQuoteError("prices have risen since the quote was made; ask for a new one")

    def take(session: Session) -> None:
        quotes.take(session, token_id, quote, runtime.settings.currency)
        said = {"quote": quote.id, "ceiling": str(quote.ceiling), "jobs": len(found.ids)}
        note(session, actor, "retry", jobs_of(quote.batch), **said)

    # Taken first: if this process dies here, nothing was queued, and nothing can be queued twice.
    runtime.db(take)
    return found, bulk.retry(runtime, found.ended)


def ceiling_of(found: Plan) -> Decimal:
    """The most that what a planned run sends may cost: every attempt that may be paid, within the batch's limit.

    Of a pilot that is its sample: the rest is sent by a quote of its own.
    """
    if found.limit is None:
        return found.sent_at_most
    return max(Decimal(0), min(found.sent_at_most, found.limit.amount - found.limit.spent))


def likely_of(found: Plan) -> Decimal:
    """What a planned run costs if each job needs one attempt and goes where the forecast expects it."""
    cost = Decimal(0)
    for (name, lane), jobs in found.forecast.shares.items():
        account = found.statuses[name].account
        operation, share = lane_operation(lane, account), found.lanes[lane]
        price = account.cost(account.operations[operation], {}) if operation else Decimal(0)
        # Options can make a job dearer than this, but not than the dearest of its lane.
        each = min(max(price, share.cheapest / share.rows), share.dearest / share.rows)
        cost += each * Decimal(str(round(jobs, 3)))
    stranded = (found.lanes[lane].dearest for lane in found.forecast.stranded if lane in found.lanes)
    cost += sum(stranded, Decimal(0))
    return min(max(cost, found.cheapest), found.dearest).quantize(LEAST)


def prices_of(found: Plan) -> list[Price]:
    """The prices of the operations that a planned run may use, by operation and account."""
    prices = {
        (operation, name): account.cost(account.operations[operation], {})
        for lane in found.lanes
        for name, status in found.statuses.items()
        if (operation := lane_operation(lane, account := status.account)) is not None
    }
    return [Price(operation, account, price) for (operation, account), price in sorted(prices.items())]


@contextmanager
def _taken_in(runtime: Runtime, order: Order) -> Iterator[Intake]:
    """The order's catalog, checked."""
    endings = "".join(PurePosixPath(order.file).suffixes[-2:])
    with tempfile.TemporaryDirectory(prefix="recast-") as folder:
        path = Path(folder) / f"catalog{''.join(sign for sign in endings if sign.isalnum() or sign == '.')}"
        path.write_bytes(order.content)
        rows = open_rows(path, EVERYWHERE, order.options)
        assert isinstance(rows, FileRows)
        rows.come_from(order.file)
        with take_in(rows, runtime.accounts, runtime.reach, name=order.name, options=order.options) as intake:
            if order.same_picture:
                intake.same.clear()
            intake.price_at(runtime.db(in_force, runtime.accounts))
            yield intake


def _agrees(session: Session, quote: Quote, done: Enqueued) -> None:
    """Undo the run if other rows were queued than were quoted, or at another price."""
    terms = quote.terms
    # A quote of a version before does not say which rows it is for.
    if (
        which_rows(session) != terms.get("which")
        or done.at_most > Decimal(terms["at_most"])
        or done.sent_at_most > Decimal(terms["sent_at_most"])
    ):
        raise StaleQuoteError(
            f"the batch, its jobs or the prices have changed since the quote was made: now "
            f"{counted(done.queued, 'row')} would be queued; nothing was; ask for a new one"
        )


def _limit(session: Session, done: Enqueued, options: RunOptions, more: Decimal) -> Decimal:
    """The batch's spending limit: what it has spent, and what may be spent now, but no more than was agreed before."""
    batch = session.execute(_BATCH, {"id": done.batch_id}).one()
    agreed = options.max_cost if options.max_cost is not None else batch.max_cost
    limit: Decimal = max(batch.spent + more, LEAST)
    return limit if agreed is None else min(limit, agreed)
