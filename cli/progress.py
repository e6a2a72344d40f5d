"""Progress of batches as tables, text and JSON, with why they do not continue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from cli.late import load
from cli.output import STATE_STYLES, Style, ago, console, drawn, paused, say, why
from models.states import JobState
from recast.hints import hint
from recast.money import Money
from reports import batch
from reports.batch import BatchReport, Ending
from workers.config.deployment import Deployment
from workers.counted import counted

LISTED_BATCHES = 20
LISTED_ENDINGS = 10

#: By the name of a batch, why it does not continue.
Stops = Mapping[str, Sequence[str]]


def stops_of(deployment: Deployment, reports: Sequence[BatchReport]) -> Stops:
    """What keeps each of the batches from continuing; the accounts are read only if it can be one of them."""
    stopped = (JobState.QUEUED, JobState.HELD)
    waiting = [report for report in reports if report.archived_at or any(report.counts[state] for state in stopped)]
    if not waiting:
        return {}
    settings = deployment.settings
    accounts = load("reports.obstacles:accounts_for_obstacles")(settings.accounts_file)
    obstacles = load("reports.obstacles:obstacles")
    return {report.name: deployment.db(obstacles, report, accounts, settings.currency) for report in waiting}


def document(report: BatchReport, currency: str, stops: Stops) -> dict[str, Any]:
    """A batch for programs."""
    return batch.document(report, currency, stops.get(report.name, ()))


def list_batches(reports: Sequence[BatchReport], currency: str, stops: Stops, label: str | None = None) -> None:
    """Print batches, those with a label if one is asked for, as a table, and below it why some do not continue."""
    if not reports:
        made = hint("run", "CATALOG", label=label)
        say(f"there are no batches{f' with the label {label!r}' if label else ''}; {made} makes one")
        return
    console().print(listing(reports, currency), soft_wrap=False)
    for name, sentences in stops.items():
        for sentence in sentences:
            say(f"{name}: {sentence}", style=Style.BAD)


def listing(reports: Sequence[BatchReport], currency: str) -> Table:
    """A table of batches that fits a terminal of 80 columns."""
    now = datetime.now(UTC)
    return drawn(
        ("batch", "label", "begun", "jobs", "states", "spent"),
        [
            (
                report.name, report.label, ago(report.created_at, now), f"{report.total:,}", _states(report),
                Money(report.spent, currency),
            )
            for report in reports
        ],
        right=("jobs", "spent"),
    )  # fmt: skip


def _states(report: BatchReport) -> str:
    counts = [f"{number:,} {state}" for state, number in report.counts.items() if number]
    return ", ".join([*counts, *([paused(report.paused_reason)] if report.paused_reason else [])])


def print_batch(report: BatchReport, bad: Sequence[Ending], currency: str, stops: Stops) -> None:
    """Print one batch, what keeps it from continuing, and its latest failures."""
    limit = f" of at most {Money(report.max_cost, currency)}" if report.max_cost is not None else ""
    say(f"{report.name}: {counted(report.total, 'job')}; {Money(report.spent, currency)}{limit} spent", style="bold")
    for state, number in report.counts.items():
        if number:
            say(f"  {number:>9,}  {state}", style=STATE_STYLES[state])
    if report.paused_reason:
        say(paused(report.paused_reason), style=STATE_STYLES[JobState.HELD])
    for sentence in stops.get(report.name, ()):
        say(sentence, style=STATE_STYLES[JobState.HELD])
    if bad:
        say("the latest that did not succeed:")
    for ending in bad:
        say(f"  {ending.key}: {ending.state}: {why(ending.reason, ending.error)}", style=STATE_STYLES[ending.state])
