"""What a bulk operation is about to change: shown, asked about where it is much, made, and reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cli.answers import agree
from cli.output import Style, emit, say, table
from desk.bulk_operations import Impact
from recast.money import Money
from workers.config.settings import Settings
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.operations.costs import Line

CONFIRM_ABOVE_JOBS = 1_000  # more than this at once may be a mistake

#: What each operation reports when it is done.
DONE = {
    "cancel": "canceled", "retry": "queued again", "pause": "paused", "resume": "resumed", "reroute": "rerouted",
    "set-priority": "set the priority of", "redownload": "downloading again",
}  # fmt: skip


def execute(
    runtime: Runtime,
    verb: str,
    impact: Impact,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    apply: Callable[[], tuple[int, dict[str, Any]]],
    batch: str | None = None,
    instead: str = "",
) -> dict[str, Any]:
    """Show what is about to change, ask before a large change, make it with `apply`, and report it.

    Args:
        runtime: the deployment.
        verb: the command.
        impact: what is about to change.
        dry_run: stop after showing it.
        yes: do not ask.
        as_json: print one JSON document.
        apply: makes the change; returns the number of jobs, and more fields for JSON.
        batch: name of the batch, where one was selected.
        instead: the command that downloads again, at no cost, those of the jobs that were paid for.

    Returns:
        What `apply` reports besides the number of jobs.
    """
    currency = runtime.settings.currency
    if not as_json:
        _show(impact, currency, instead)
    _confirm(verb, impact, runtime.settings, instead, yes=yes or dry_run)
    done, more = (0, {}) if dry_run else apply()
    if as_json:
        emit(impact.document(verb, currency, dry_run=dry_run, done=done, **more))
    elif dry_run:
        say(f"{verb}: {_much(impact, currency)}; nothing was changed")
    else:
        say(f"{DONE[verb]} {_changed(done, batch, more.get('batches'))}", style=Style.GOOD)
    return more


def _show(impact: Impact, currency: str, instead: str) -> None:
    rows = [(line.account, line.operation, f"{line.jobs:,}", _price(line, currency)) for line in impact.lines]
    if rows:
        table(("account", "operation", "jobs", "at most"), rows, right=("jobs", "at most"))
    for line in impact.paid:
        say(f"at {line.account}: {counted(line.jobs, 'job')}, {Money(line.cost, currency)} already committed")
    if impact.free:
        say(for_nothing(impact.free, instead), style=Style.WAITING)


def for_nothing(number: int, instead: str) -> str:
    """How many of the jobs that are queued again were paid for, and the command that needs no second payment."""
    return f"{number:,} of them were paid for: {instead} downloads these again at no cost"


def _changed(jobs: int, batch: str | None, batches: int | None) -> str:
    """The jobs that were changed, and the whole batches, where those were."""
    if batches is None:
        return counted(jobs, "job")
    whole = f"batch {batch}" if batch is not None else f"whole batches: {batches}"
    return f"{whole}; {counted(jobs, 'queued job')}"


def _much(impact: Impact, currency: str) -> str:
    return f"{counted(len(impact.ids), 'job')}, {Money(impact.cost, currency)} at most"


def _price(line: Line, currency: str) -> str:
    return str(Money(line.cost, currency)) if line.priced else "no price"


def _confirm(verb: str, impact: Impact, settings: Settings, instead: str = "", *, yes: bool) -> None:
    costly = settings.confirm_above is not None and impact.cost > settings.confirm_above
    if yes or not (costly or len(impact.ids) > CONFIRM_ABOVE_JOBS):
        return
    much = f"{verb} {_much(impact, settings.currency)}"
    if impact.free:
        much += f" ({for_nothing(impact.free, instead)})"
    agree(much, ", or --dry-run to only count")
