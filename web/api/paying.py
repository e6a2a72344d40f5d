"""What costs money, by quote: a catalog's run, queuing jobs again, redos, and single jobs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from desk import redo_quotes, runs, singles
from desk.quotes import Quote
from desk.redo_plan import Change
from desk.runs import Order
from desk.selecting import require_reason
from desk.singles import Made, Single
from recast.money import Money
from reports.documents import of_plan
from reports.selection import resolved
from reports.written import priced
from web.api.asks import OptionsAsk, PlanAsk
from web.api.endpoints import Call, Service
from web.api.problems import unprocessable


def plan(service: Service, call: Call) -> dict[str, Any]:
    """Check a catalog, and say what it would do and cost, with a quote."""
    currency = service.currency
    found = runs.offer(service.runtime, call.actor, call.token_id, _order(call, currency), service.quote_seconds)
    document = of_plan(found.intake, found.plan, (), currency)
    document["cost"]["likely"] = Money(found.likely, currency)
    prices = [
        {"operation": each.operation, "account": each.account, "price": Money(each.price, currency)}
        for each in found.prices
    ]
    return {**document, "prices": prices, "quote": quote_document(found.quote, currency)}


def run(service: Service, call: Call) -> dict[str, Any]:
    """Take a quote of a plan: enqueue what it says."""
    done, currency = runs.run(service.runtime, call.actor, call.token_id, call.body.quote), service.currency
    numbers = ("queued", "new", "retried", "changed", "unchanged", "left", "in_work", "left_out", "held")
    return {
        "batch": done.name, **{name: getattr(done, name) for name in numbers}, "downloadable": done.free,
        "pilot": done.sampled and {"sample": done.sampled.sample, "waiting": done.sampled.waiting},
        "cost": Money(done.cost, currency), "at_most": Money(done.at_most, currency),
    }  # fmt: skip


def retry(service: Service, call: Call) -> dict[str, Any]:
    """Say what queuing jobs again would cost, with a quote; or take that quote."""
    asked, runtime, currency = call.body, service.runtime, service.currency
    quote_id = taken(asked, "filter")
    if quote_id is not None:
        found, done = runs.retry(runtime, call.actor, call.token_id, quote_id)
        return found.document("retry", currency, dry_run=False, done=done)
    chosen = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
    found, quote = runs.offer_retry(runtime, call.actor, call.token_id, chosen, service.quote_seconds)
    return found.document("retry", currency, dry_run=True, done=0, quote=quote_document(quote, currency))


def redo(service: Service, call: Call) -> dict[str, Any]:
    """Say what a redo would cost, with a quote; or take that quote."""
    asked, runtime, currency = call.body, service.runtime, service.currency
    quote_id = taken(asked, "filter")
    if quote_id is not None:
        found, done = redo_quotes.take(runtime, call.actor, call.token_id, quote_id)
        return found.document(currency, done, dry_run=False)
    chosen = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
    said = asked.change
    change = Change(said.seed, said.options, said.to, said.to_operation)
    found, quote = redo_quotes.offer(runtime, call.actor, call.token_id, chosen, change, service.quote_seconds)
    require_reason("fault", chosen.fault, runtime.settings.review_reasons, found=bool(found.jobs or found.left_out))
    return {**found.document(currency, 0, dry_run=True), "quote": quote_document(quote, currency)}


def single(service: Service, call: Call) -> dict[str, Any]:
    """Send a job, paid by the token's limit of a day; or price it, with a quote; or take that quote."""
    asked, runtime, currency = call.body, service.runtime, service.currency
    if asked.quote is not None:
        if asked.dry_run or asked.kind is not None or asked.named:
            raise unprocessable("quote: the job was said when it was quoted", "quote", asked.quote, "a quote alone")
        return _made(singles.take(runtime, call.actor, call.token_id, asked.quote), currency)
    if asked.kind is None:
        raise unprocessable("kind: it is missing", "kind", allowed="swap, generate")
    if not asked.dry_run:
        done = singles.send(runtime, call.actor, call.token_id, asked.kind, asked.named, call.once)
        return _made(done, currency)
    found, quote = singles.offer(
        runtime, call.actor, call.token_id, asked.kind, asked.named, service.quote_seconds
    )  # fmt: skip
    return {**_single(found, currency), "dry_run": True, "quote": quote_document(quote, currency)}


def _single(found: Single, currency: str) -> dict[str, Any]:
    return {
        "dry_run": False, "job": None, "new": False, "kind": found.checked.values["kind"],
        "cost": Money(found.cost, currency), "at_most": Money(found.at_most, currency),
        "lines": priced([asdict(line) for line in found.lines], currency),
    }  # fmt: skip


def _made(done: Made, currency: str) -> dict[str, Any]:
    return {**_single(done.single, currency), "job": done.job_id, "new": done.new}


def taken(asked: Any, what: str) -> str | None:
    """The quote that is taken; None where one is asked for, by `what` and `dry_run`.

    Raises:
        ProblemError: neither or both are said, or it would be done without a quote.
    """
    given = getattr(asked, what)
    if (asked.quote is None) is (given is None):
        raise unprocessable(f"quote: send a quote, or {what} to get one", "quote", asked.quote, f"quote or {what}")
    if asked.quote is not None and asked.dry_run:
        raise unprocessable("dry_run: a quote is taken or not", "dry_run", True, "false with a quote")
    if asked.quote is None and not asked.dry_run:
        raise unprocessable(
            f"quote: it costs money, so it needs a quote; {what} with dry_run gives one", "quote", None, "a quote"
        )
    quote: str | None = asked.quote
    return quote


def _order(call: Call, currency: str) -> Order:
    if isinstance(call.body, PlanAsk):
        content, file = "\n".join(map(json.dumps, call.body.rows)).encode(), "rows.jsonl"
    elif call.upload is None:
        raise unprocessable("catalog: the form has no file of this name", "catalog", allowed="a file")
    else:
        content, file = call.upload.content, call.upload.name
    asked: OptionsAsk = call.body.options
    return Order(content, file, call.body.name, asked.resolve(currency), asked.same_picture)


def quote_document(quote: Quote | None, currency: str) -> dict[str, Any] | None:
    """A quote, for JSON."""
    if quote is None:
        return None
    return {"quote": quote.id, "ceiling": Money(quote.ceiling, currency), "expires_at": quote.expires_at}
