"""What costs money, by quote: a catalog's run, and queuing jobs again."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from desk import runs
from desk.quotes import Quote
from desk.runs import Order
from recast.money import Money
from reports.documents import of_plan
from reports.selection import resolved
from web.api.asks import OptionsAsk, PlanAsk
from web.api.endpoints import Call, Service
from web.api.problems import unprocessable
from workers.config.units import duration
from workers.jobs.run_options import RunOptions


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
    return {**document, "prices": prices, "quote": _quote(found.quote, currency)}


def run(service: Service, call: Call) -> dict[str, Any]:
    """Take a quote of a plan: enqueue what it says."""
    done, currency = runs.run(service.runtime, call.actor, call.token_id, call.body.quote), service.currency
    numbers = ("queued", "new", "retried", "changed", "unchanged", "left", "in_work", "left_out", "held")
    return {
        "batch": done.name, **{name: getattr(done, name) for name in numbers}, "downloadable": done.free,
        "cost": Money(done.cost, currency), "at_most": Money(done.at_most, currency),
    }  # fmt: skip


def retry(service: Service, call: Call) -> dict[str, Any]:
    """Say what queuing jobs again would cost, with a quote; or take that quote."""
    asked, runtime, currency = call.body, service.runtime, service.currency
    if (asked.quote is None) is (asked.filter is None):
        raise unprocessable("quote: send a quote, or a filter to get one", "quote", asked.quote, "quote or filter")
    if asked.quote is not None:
        if asked.dry_run:
            raise unprocessable("dry_run: a quote is taken or not", "dry_run", True, "false with a quote")
        found, done = runs.retry(runtime, call.actor, call.token_id, asked.quote)
        return found.document("retry", currency, dry_run=False, done=done)
    if not asked.dry_run:
        raise unprocessable(
            "quote: it costs money, so it needs a quote; the filter with dry_run gives one", "quote", None, "a quote"
        )
    chosen = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
    found, quote = runs.offer_retry(runtime, call.actor, call.token_id, chosen, service.quote_seconds)
    return found.document("retry", currency, dry_run=True, done=0, quote=_quote(quote, currency))


def _order(call: Call, currency: str) -> Order:
    if isinstance(call.body, PlanAsk):
        content, file = "\n".join(map(json.dumps, call.body.rows)).encode(), "rows.jsonl"
    elif call.upload is None:
        raise unprocessable("catalog: the form has no file of this name", "catalog", allowed="a file")
    else:
        content, file = call.upload.content, call.upload.name
    asked: OptionsAsk = call.body.options
    return Order(content, file, call.body.name, _options(asked, currency), asked.same_picture)


def _options(asked: OptionsAsk, currency: str) -> RunOptions:
    said = asked.model_dump(exclude={"same_picture", "deadline", "max_cost"})
    if asked.max_cost is not None:
        try:
            said["max_cost"] = Money.parse(asked.max_cost, currency).amount
        except ValueError as error:
            raise unprocessable(f"max_cost: {error}", "max_cost", asked.max_cost, "such as 12.50") from None
    if asked.deadline is not None:
        when = asked.deadline
        said["deadline"] = when.isoformat() if isinstance(when, datetime) else duration(when)
    return RunOptions.read(said)


def _quote(quote: Quote | None, currency: str) -> dict[str, Any] | None:
    if quote is None:
        return None
    return {"quote": quote.id, "ceiling": Money(quote.ceiling, currency), "expires_at": quote.expires_at}
