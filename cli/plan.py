"""The plan that `recast run --dry-run` prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice
from typing import Any

from catalog.addresses import dead_addresses, settled
from catalog.enqueue import QUEUED
from catalog.errors import Mistake, SamePictureError
from catalog.intake import Intake
from catalog.plan import LOOKED_AT, Plan, plan, plan_of_new, preflight, unlisted
from cli.deployment import running_deployment
from cli.environment import has_run
from cli.impact import for_nothing
from cli.output import Style, complain, duration, emit, say, stopped
from cli.reach import accounts_of
from cli.stack import Parts
from recast.hints import hint
from recast.money import Money
from reports.documents import of_plan
from workers.config.settings import Settings
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.images.inputs import Inputs
from workers.images.storage import Storage
from workers.jobs.run_options import RunOptions

LISTED_REJECTIONS = 20

#: What a run does with rows.
WORDS: Mapping[str, str] = {
    "new": "new", "changed": "changed", "retried": "failed before, queued again",
    "unchanged": "done or in progress", "left": "not retried (already ended)",
    "in_work": "changed, but their jobs are in progress; not queued", "left_out": "left out by --only",
}  # fmt: skip


def print_plan(settings: Settings, intake: Intake, options: RunOptions, *, sandbox: bool, as_json: bool) -> None:
    """Print what a run would do now. Where no database exists yet, none is started for this."""
    accounts, options_refused = accounts_of(settings, sandbox=sandbox), list[Mistake]()
    if has_run(settings, sandbox=sandbox):
        with running_deployment(settings, Parts(worker=False, web=False), sandbox=sandbox, sends=False) as (runtime, _):
            found = plan(runtime, intake, options)
            options_refused = list(unlisted(runtime, intake)) if found.queued else []
    else:
        found = plan_of_new(intake, accounts, options, paid_attempts=settings.tries.paid)
    refused: Iterable[Mistake] = ()
    if found.queued:
        addresses = dead_addresses(intake, accounts) if settings.check_addresses else []
        pictures = preflight(Inputs(settings, Storage(settings.storage)), intake, accounts)
        refused = chain(addresses, options_refused, pictures)
    if as_json:
        emit(of_plan(intake, found, refused, settings.currency))
        return
    say(f"{intake.name}: {counted(intake.rows, 'row')} checked, all valid; nothing was enqueued")
    print_found(found, intake.name, settings.currency)
    _print_questions(found)
    _print_rejections(refused, intake)


def warn_of_addresses(runtime: Runtime, intake: Intake) -> None:
    """Name the rows that are about to be queued with an address that leads to nothing."""
    if not runtime.settings.check_addresses:
        return
    dead = dead_addresses(intake, runtime.accounts, runtime.db(settled, intake))
    for mistake in dead[:LISTED_REJECTIONS]:
        complain(f"will be rejected: {mistake.key}: {mistake}", style=Style.BAD)
    if len(dead) > LISTED_REJECTIONS:
        complain(f"... and {len(dead) - LISTED_REJECTIONS:,} more", style=Style.BAD)


def print_found(found: Plan, name: str, currency: str, say: Any = say) -> None:
    """Print what a run would do and cost."""
    for verdict, number in found.verdicts.items():
        say(f"  {number:>9,}  {WORDS[verdict]}", style=None if verdict in QUEUED else Style.QUIET)
    if found.free:
        say(f"  {for_nothing(found.free, hint('redownload', batch=name))}", style=Style.WAITING)
    if not found.queued:
        say("  nothing would be queued")
        return
    say(_heading(found, currency))
    shared = {lane for _, lane in found.forecast.shares}
    about = "about " if len(shared) < len(found.forecast.shares) else ""
    for operation, account, jobs in found.parts:
        bound = found.forecast.bounds.get(account)
        say(f"  {about}{round(jobs):>9,}  {operation} at {account}" + (f", limited by {bound}" if bound else ""))
    least, most = Money(found.cheapest, currency), Money(found.dearest, currency)
    cost = str(most) if least == most else f"{least} to {most}, depending on the account"
    say(f"  cost if each job needs one attempt: {cost}")
    if found.at_most > found.dearest:
        attempts = counted(found.paid_attempts, "paid attempt")
        times = f"{'up to ' if found.paid_attempts > 1 else ''}{attempts} of each (RECAST_MAX_PAID_ATTEMPTS)"
        redos = f" and {Money(found.redo_cap, currency)} for redos of flagged pictures" if found.redo_cap else ""
        say(f"  at most {Money(found.at_most, currency)}, with {times}{redos}")
    if found.limit is not None:
        spent = f", of which {Money(found.limit.spent, currency)} are spent," if found.limit.spent else ""
        pays = f"--max-cost {Money(found.limit.amount, currency)}{spent} pays for {found.limit.rows:,}"
        style = Style.WAITING if found.limit.rows < found.queued else None
        say(f"  {pays} of {counted(found.queued, 'row')} if each needs one attempt", style=style)
    if found.unpriced:
        say(f"  without a price, counted as 0: {', '.join(sorted(found.unpriced))}", style=Style.WAITING)
    if found.forecast.seconds is not None:
        say(f"  time, if no other jobs wait and none fail: about {duration(found.forecast.seconds)}")
    for lane in found.forecast.stranded:
        states = "; ".join(f"{name} {stopped(each.closed)}" for name, each in found.statuses.items() if each.closed)
        say(f"  waiting: no account accepts {lane} now: {states or 'none is configured'}", style=Style.WAITING)


def _heading(found: Plan, currency: str) -> str:
    if found.pilot is None:
        return "by operation and account:"
    most = Money(found.sent_at_most, currency)
    sent = f"  a pilot: {found.pilot.rows:,} of {counted(found.queued, 'row')} to queue are sent, for {most} at most"
    return f"{sent}; the others wait, unsent\nall of them, by operation and account:"


def _print_questions(found: Plan) -> None:
    """Print what a run would ask about."""
    if found.places is not None:
        say(
            f"  a run would ask: the batch was made from {found.places.before}, and this is {found.places.now}; use "
            "--name to keep them apart, or --moved to continue the same batch",
            style=Style.WAITING,
        )
    if found.same:
        error = SamePictureError("", found.same)
        say(f"  a run would ask: {error.what}; use --same-picture to pay for it", style=Style.WAITING)


def _print_rejections(refused: Iterable[Mistake], intake: Intake) -> None:
    rejections = iter(refused)
    shown = list(islice(rejections, LISTED_REJECTIONS))
    for mistake in shown:
        say(
            f"  would be rejected: line {mistake.line}: {mistake.key}: {mistake.column}: {mistake.message}",
            style=Style.BAD,
        )
    more = sum(1 for _ in rejections)
    if more:
        say(f"  ... and {more:,} more")
    if intake.rows > LOOKED_AT:
        say(f"  only the pictures of the first {LOOKED_AT:,} rows were checked; workers check all before paying")
