"""What a run would do and cost, told before anything is paid; and the question that a dear one asks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import typer

from catalog.enqueue import QUEUED
from catalog.errors import Mistake
from catalog.intake import Intake
from catalog.plan import LOOKED_AT, Plan, plan, plan_of_new, preflight
from cli.environment import accounts_of, has_run, working
from cli.output import Code, Style, complain, duration, emit, say
from cli.stack import Parts
from cli.summary import Words, rows_of
from recast.money import Money
from workers.config.settings import Settings
from workers.engine.runtime import Runtime
from workers.images.inputs import Inputs
from workers.images.storage import Storage
from workers.jobs.run_options import RunOptions

LISTED_REFUSALS = 20

#: What becomes of rows, in words.
WORDS: Mapping[str, str] = {
    "new": "new", "changed": "changed", "retried": "failed before, tried again", "unchanged": "done or on their way",
    "left": "ended before, left so", "in_work": "changed while in work, left so", "left_out": "left out by --only",
}  # fmt: skip


def tell_plan(settings: Settings, intake: Intake, options: RunOptions, *, sandbox: bool, as_json: bool) -> None:
    """Say what a run would do now; where nothing has run yet, nothing is started for it."""
    accounts = accounts_of(settings, sandbox=sandbox)
    if has_run(settings, sandbox=sandbox):
        with working(settings, Parts(worker=False, web=False), sandbox=sandbox, sends=False) as (runtime, _):
            found = plan(runtime, intake, options)
    else:
        found = plan_of_new(intake, accounts, options)
    refused = preflight(Inputs(settings, Storage(settings.storage)), intake, accounts) if found.queued else iter(())
    if as_json:
        emit(_document(intake, found, refused, settings.currency))
        return
    say(f"{intake.name}: all {rows_of(intake.rows)} are in order; nothing was enqueued")
    _say_plan(found, settings.currency)
    _say_refusals(refused, intake)


def confirm(runtime: Runtime, intake: Intake, options: RunOptions, words: Words) -> None:
    """Ask whether to go on, where the run may cost more than RECAST_CONFIRM_ABOVE, or nobody knows how much.

    Raises:
        typer.Exit: the answer is no, or nobody is there to ask.
    """
    limit = runtime.settings.confirm_above
    estimate = intake.estimate
    if limit is None or (estimate.dearest <= limit and not estimate.unpriced):
        return
    found = plan(runtime, intake, options)
    if not found.queued or (found.dearest <= limit and not found.unpriced):
        return
    currency = runtime.settings.currency
    _say_plan(found, currency, say=complain)
    least = str(Money(found.dearest, currency)) + (" and what has no price" if found.unpriced else "")
    question = f"{found.queued:,} jobs may cost {least}, above RECAST_CONFIRM_ABOVE={Money(limit, currency)}"
    if sys.stdin.isatty() and typer.confirm(f"{question}. Go on?", err=True):
        return
    complain(f"{question}; nothing was enqueued: `{words.again('--yes')}` goes on", style=Style.BAD)
    raise typer.Exit(Code.PERSON)


def _say_plan(found: Plan, currency: str, say: Any = say) -> None:
    for verdict, number in found.verdicts.items():
        say(f"  {number:>9,}  {WORDS[verdict]}", style=None if verdict in QUEUED else Style.QUIET)
    if not found.queued:
        say("  nothing would be queued")
        return
    say("by operation and account:")
    shared = {lane for _, lane in found.forecast.shares}
    about = "about " if len(shared) < len(found.forecast.shares) else ""
    for operation, account, jobs in found.parts:
        bound = found.forecast.bounds.get(account)
        say(
            f"  {about}{round(jobs):>9,}  {operation} at {account}"
            + (f", as fast as its {bound} allows" if bound else "")
        )
    least, most = Money(found.cheapest, currency), Money(found.dearest, currency)
    cost = str(most) if least == most else f"{least} to {most}, depending on the account"
    say(f"  cost if each is done once: {cost}")
    if found.unpriced:
        say(f"  without a price, and counted as nothing: {', '.join(sorted(found.unpriced))}", style=Style.WAITING)
    if found.forecast.seconds is not None:
        say(f"  time, if nothing else waits and nothing fails: about {duration(found.forecast.seconds)}")
    for lane in found.forecast.stranded:
        closed = ", ".join(f"{name} ({each.closed})" for name, each in found.statuses.items() if each.closed)
        say(f"  waiting: no open account takes {lane}; closed: {closed or 'none'}", style=Style.WAITING)


def _say_refusals(refused: Iterable[Mistake], intake: Intake) -> None:
    looked = iter(refused)
    shown = list(islice(looked, LISTED_REFUSALS))
    for mistake in shown:
        say(
            f"  would be refused: line {mistake.line}: {mistake.key}: {mistake.column}: {mistake.message}",
            style=Style.BAD,
        )
    more = sum(1 for _ in looked)
    if more:
        say(f"  ... and {more:,} more")
    if intake.rows > LOOKED_AT:
        say(f"  the pictures of the first {LOOKED_AT:,} rows were decoded; the workers look at all, before they pay")


def _document(intake: Intake, found: Plan, refused: Iterable[Mistake], currency: str) -> dict[str, Any]:
    return {
        "batch": intake.name,
        "rows": intake.rows,
        "verdicts": dict(found.verdicts),
        "queued": found.queued,
        "lanes": {lane: share.rows for lane, share in found.lanes.items()},
        "parts": [
            {"operation": operation, "account": account, "jobs": round(jobs, 1)}
            for operation, account, jobs in found.parts
        ],
        "cost": {"cheapest": Money(found.cheapest, currency), "dearest": Money(found.dearest, currency)},
        "unpriced": sorted(found.unpriced),
        "seconds": None if found.forecast.seconds is None else round(found.forecast.seconds, 1),
        "bounds": dict(found.forecast.bounds),
        "waiting": sorted(found.forecast.stranded),
        "closed": {name: each.closed for name, each in found.statuses.items() if each.closed},
        "refused": [
            {"line": each.line, "key": each.key, "column": each.column, "message": each.message} for each in refused
        ],
    }
