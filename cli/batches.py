"""`recast status`: progress of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import STATE_STYLES, emit, moment, paused, priced, say, table, waiting_for_decision, why
from cli.review import print_verdicts
from models.states import JobState
from recast.hints import hint
from recast.money import Money
from reports.batch import BAD_STATES, BatchReport, Ending, endings, find, recent
from reports.reviews import verdicts_of

LISTED_BATCHES = 20
LISTED_ENDINGS = 10

BatchArgument = Annotated[str | None, typer.Argument(help="Name of a batch. Default: list the latest.")]


def status(
    batch: BatchArgument = None,
    *,
    label: Annotated[str | None, typer.Option(help="List only batches with this label.")] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show batch progress. With a name, show one batch and its latest failures."""
    with open_database(sandbox=sandbox) as deployment:
        currency = deployment.settings.currency
        if batch is None:
            reports = deployment.db(recent, LISTED_BATCHES, label)
            if as_json:
                emit([_document(report, currency) for report in reports])
            else:
                _list_batches(reports, currency)
            return
        report = deployment.db(find, batch)
        bad = deployment.db(endings, report.id, BAD_STATES, LISTED_ENDINGS, latest=True)
        reviewed = deployment.db(verdicts_of, report)
    if as_json:
        review = priced(asdict(reviewed), currency)
        emit({**_document(report, currency), "review": review, "latest_bad": [asdict(ending) for ending in bad]})
    else:
        _print_batch(report, bad, currency)
        if reviewed.approved or reviewed.needs_work:
            print_verdicts(reviewed, currency)


def _document(report: BatchReport, currency: str) -> dict[str, Any]:
    return {
        "batch": report.name,
        "label": report.label,
        "states": dict(report.counts),
        "settled": report.settled,
        "spent": Money(report.spent, currency),
        "max_cost": Money(report.max_cost, currency) if report.max_cost is not None else None,
        "max_in_flight": report.max_in_flight,
        "paused": report.paused_reason,
        "created_at": report.created_at,
    }


def _list_batches(reports: Sequence[BatchReport], currency: str) -> None:
    if not reports:
        say(f"there are no batches; {hint('run', 'CATALOG')} makes one")
        return
    table(
        ("batch", "label", "since", "jobs", *JobState, "spent", ""),
        [
            (
                report.name, report.label, moment(report.created_at), f"{report.total:,}",
                *(f"{report.counts[state]:,}" if report.counts[state] else "" for state in JobState),
                Money(report.spent, currency), paused(report.paused_reason) if report.paused_reason else "",
            )
            for report in reports
        ],
        right=("jobs", *JobState, "spent"),
    )  # fmt: skip


def _print_batch(report: BatchReport, bad: Sequence[Ending], currency: str) -> None:
    limit = f" of at most {Money(report.max_cost, currency)}" if report.max_cost is not None else ""
    say(f"{report.name}: {report.total:,} jobs; {Money(report.spent, currency)}{limit} spent", style="bold")
    for state, number in report.counts.items():
        if number:
            say(f"  {number:>9,}  {state}", style=STATE_STYLES[state])
    if report.paused_reason:
        say(paused(report.paused_reason), style=STATE_STYLES[JobState.HELD])
    if held := report.counts[JobState.HELD]:
        resolve = hint("resolve", batch=report.name)
        say(f"{waiting_for_decision(held)}: {resolve}", style=STATE_STYLES[JobState.HELD])
    if bad:
        say("the latest that did not succeed:")
    for ending in bad:
        say(f"  {ending.key}: {ending.state}: {why(ending.reason, ending.error)}", style=STATE_STYLES[ending.state])
