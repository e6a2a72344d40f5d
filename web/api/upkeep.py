"""Held jobs, downloads of what was paid for, schedules and webhooks, as the commands show and change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from desk import deciding, held_quotes, operators, schedule_runs
from desk.audit import jobs_of, note
from desk.bulk_operations import Impact
from desk.operators import ScheduleAction
from recast.money import Money
from reports import documents
from reports import held as held_jobs
from reports.selection import resolved
from reports.written import priced
from web.api.endpoints import Call, Service, Work
from web.api.paying import quote_document, taken
from web.api.problems import unprocessable
from workers.jobs.filters import Filter
from workers.operations import redownload as downloads
from workers.operations.resolve import Held, Verdict
from workers.schedules import service as schedules
from workers.webhooks import service as webhooks

LISTED_RUNS = 10  # as `recast schedule show` lists


def held(service: Service, call: Call) -> dict[str, Any]:
    """The jobs that wait for a decision, with the money at stake."""
    found = _waiting(service, service.runtime.db(resolved, call.query.filter(), ()))
    return {"items": _held(found, service.currency), "cost": _at_stake(found, service.currency)}


def resolve(service: Service, call: Call) -> dict[str, Any]:
    """Decide about held jobs; what is not accepted is queued again by quote only."""
    asked, runtime = call.body, service.runtime
    if asked.verdict is None and asked.filter is not None:
        allowed = ", ".join(Verdict)
        raise unprocessable("verdict: it is missing", "verdict", None, allowed)
    if asked.quote is not None or asked.verdict is Verdict.NOT_ACCEPTED:
        quote_id = taken(asked, "filter")
        if quote_id is not None:
            found = held_quotes.take(runtime, call.actor, call.token_id, quote_id)
            return _decided(found, service.currency, done=True)
        found, quote = held_quotes.offer(
            runtime, call.actor, call.token_id, _chosen(service, call), service.quote_seconds
        )
        return {**_decided(found, service.currency, done=False), "quote": quote_document(quote, service.currency)}
    chosen = _chosen(service, call)
    found = _waiting(service, chosen)
    if asked.dry_run:
        deciding.check(found, asked.verdict, asked.handle)
        return _decided(found, service.currency, done=False)
    deciding.decide(runtime, call.actor, found, asked.verdict, asked.handle)
    return _decided(found, service.currency, done=True)


def redownload(service: Service, call: Call) -> dict[str, Any]:
    """Download again what was paid for and lost, at no cost."""
    asked, runtime = call.body, service.runtime
    which = runtime.db(resolved, asked.filter.named(), asked.filter.jobs or ())
    ids = runtime.db(downloads.downloadable, which)
    done, more = 0, {}
    if not asked.dry_run:
        made = downloads.redownload(runtime, ids)
        done, more = made.saving + made.polled, {"saving": made.saving, "polled": made.polled}
        runtime.db(note, call.actor, "redownload", jobs_of(which.batch), jobs=done)
    return Impact(ids, ()).document("redownload", service.currency, dry_run=asked.dry_run, done=done, **more)


def schedule(service: Service, call: Call) -> dict[str, Any]:
    """One schedule with its latest runs."""

    def read(session: Session) -> dict[str, Any]:
        found = schedules.find(session, call.path["name"])
        runs = [asdict(run) for run in schedules.history(session, found.name, LISTED_RUNS)]
        return {**documents.of_schedule(found, service.currency), "runs": priced(runs, service.currency)}

    return service.runtime.db(read)


def change_schedule(action: ScheduleAction) -> Work:
    """The work of pausing or resuming a schedule."""

    def work(service: Service, call: Call) -> dict[str, Any]:
        name = call.path["name"]
        operators.schedule(service.runtime, call.actor, name, action)
        return documents.of_schedule(service.runtime.db(schedules.find, name), service.currency)

    return work


def run_schedule(service: Service, call: Call) -> dict[str, Any]:
    """Run a schedule now, paid by the token's limit of a day: each run may cost the schedule's limit."""
    found = schedule_runs.run(service.runtime, call.actor, call.token_id, call.path["name"])
    return documents.of_schedule(found, service.currency)


def all_webhooks(service: Service, _: Call) -> dict[str, Any]:
    """All webhooks, without their secrets."""
    return {"items": [asdict(each) for each in service.runtime.db(webhooks.listed)]}


def deliveries(service: Service, call: Call) -> dict[str, Any]:
    """The latest deliveries, of one webhook or of all."""
    asked = call.query
    found = service.runtime.db(webhooks.deliveries, asked.webhook, asked.limit, dead=asked.dead)
    return {"items": [{**asdict(each), "id": str(each.id)} for each in found]}


def _chosen(service: Service, call: Call) -> Filter:
    asked = call.body.filter
    if asked is None or not (asked.jobs or asked.filter().named):
        raise unprocessable("filter: it selects no jobs", "filter", None, "jobs, batch, or another field")
    return service.runtime.db(resolved, asked.filter(), asked.jobs or ())


def _waiting(service: Service, which: Filter) -> list[Held]:
    return service.runtime.db(held_jobs.of, service.runtime.accounts, which)


def _decided(found: Sequence[Held], currency: str, *, done: bool) -> dict[str, Any]:
    return {"jobs": _held(found, currency), "cost": _at_stake(found, currency), "resolved": done}


def _held(found: Sequence[Held], currency: str) -> Any:
    return priced([{**asdict(job), "id": str(job.id)} for job in found], currency)


def _at_stake(found: Sequence[Held], currency: str) -> Money:
    return Money(sum((job.cost for job in found), Decimal(0)), currency)
