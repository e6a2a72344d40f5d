"""`recast status`, `jobs` and `export`: progress of batches, lists of jobs, results as tables and pictures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.environment import JsonOption, SandboxOption, open_deployment
from cli.filters import JobSelection, takes_selection
from cli.output import STATE_STYLES, complain, emit, moment, paused, priced, say, table, waiting_for_decision, why
from cli.outputs import require_file, require_folder
from cli.review import print_verdicts
from models.states import JobState
from models.verdicts import Verdict
from recast.hints import hint
from recast.money import Money
from reports.batch import BAD_STATES, BatchReport, Ending, endings, find, recent
from reports.export import jobs_of, metadata_of, write_json_lines
from reports.job import listed
from reports.pictures import TEMPLATE, write_pictures
from reports.reviews import verdicts_of
from reports.writing import write_table, writer_for

LISTED_BATCHES = 20
LISTED_ENDINGS = 10
ID_CHARACTERS = 8  # of a job's id in lists; `recast show` accepts the beginning of an id

BatchArgument = Annotated[str | None, typer.Argument(help="Name of a batch. Default: list the latest.")]


def status(
    batch: BatchArgument = None,
    *,
    label: Annotated[str | None, typer.Option(help="List only batches with this label.")] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show batch progress. With a name, show one batch and its latest failures."""
    with open_deployment(sandbox=sandbox) as runtime:
        currency = runtime.settings.currency
        if batch is None:
            reports = runtime.db(recent, LISTED_BATCHES, label)
            if as_json:
                emit([_document(report, currency) for report in reports])
            else:
                _list_batches(reports, currency)
            return
        report = runtime.db(find, batch)
        bad = runtime.db(endings, report.id, BAD_STATES, LISTED_ENDINGS, latest=True)
        reviewed = runtime.db(verdicts_of, report)
    if as_json:
        review = priced(asdict(reviewed), currency)
        emit({**_document(report, currency), "review": review, "latest_bad": [asdict(ending) for ending in bad]})
    else:
        _print_batch(report, bad, currency)
        if reviewed.approved or reviewed.needs_work:
            print_verdicts(reviewed, currency)


@takes_selection("words", "everything")
def jobs(
    selection: JobSelection,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 50,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = runtime.db(listed, selection.resolve(runtime), limit)
    if as_json:
        emit([asdict(job) for job in found])
        return
    table(
        ("job", "batch", "key", "state", "account", "operation", "finished", "why"),
        [
            (
                job.id[:ID_CHARACTERS], job.batch, job.key, job.state, job.account, job.operation,
                moment(job.finished_at), why(job.reason, job.error) if job.reason or job.error else "",
            )
            for job in found
        ],
    )  # fmt: skip
    if len(found) == limit:
        complain(f"only {limit:,} are listed; there may be more: raise --limit")


def export(
    batch: Annotated[str, typer.Argument(help="Name of the batch.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="Table to write: .csv, .jsonl (also .gz) or .parquet; a path or s3://. Default: print JSON Lines.",
        ),
    ] = None,
    *,
    pictures: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write the pictures to this folder: a path or s3://.")
    ] = None,
    template: Annotated[
        str,
        typer.Option(
            help="File names of the pictures, from {key}, {index}, {ext}, {batch}, {sha256} and {YOUR COLUMN}."
        ),
    ] = TEMPLATE,
    approved: Annotated[
        bool, typer.Option("--approved", help="Only approved pictures: of each job the one that is used.")
    ] = False,
    verdict: Annotated[Verdict | None, typer.Option(help="Only jobs with a picture and this verdict.")] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="Begin a .csv with the mark by which Excel knows UTF-8.")
    ] = False,
    sandbox: SandboxOption = False,
) -> None:
    """Write a batch as a table, and its pictures as files.

    The table includes the catalog's metadata columns. The files are named by key, or by --template.

    Run it again to continue an interrupted export: existing pictures are skipped.
    """
    if approved:
        if verdict not in (None, Verdict.APPROVED):
            raise typer.BadParameter(f"{verdict} and --approved exclude each other; use one", param_hint="--verdict")
        verdict = Verdict.APPROVED
    if to is not None:
        writer_for(to, excel=excel)  # reports a wrong name before anything starts
        if "://" not in to:
            require_file(Path(to), "--to")
    if pictures is not None and "://" not in pictures:
        require_folder(Path(pictures), "--pictures")
    with open_deployment(sandbox=sandbox) as runtime:
        report, currency = runtime.db(find, batch), runtime.settings.currency
        if pictures is not None:
            jobs = jobs_of(runtime, report.id, runtime.storage, currency, verdict)
            made = write_pictures(jobs, runtime.storage, pictures, template, report.name)
            complain(f"{made.folder}: {made.files:,} pictures, {made.written:,} of them new")
        if to is None and pictures is not None:
            return
        jobs = jobs_of(runtime, report.id, runtime.storage, currency, verdict)
        if to is None:
            write_json_lines(sys.stdout, jobs, ())
        else:
            write_table(to, jobs, runtime.db(metadata_of, report.id), excel=excel)
            number = report.total if verdict is None else runtime.db(verdicts_of, report).counts[verdict]
            complain(f"{to}: {number:,} jobs")


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
