"""`recast archive`: the move of jobs that ended long ago out of the database."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import completion
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.housekeeping import DryRunOption, age
from cli.output import Style, complain, emit, say
from recast.money import Money
from reports.batch import find
from workers.counted import counted
from workers.operations.archive import LEAST_DAYS, Archived
from workers.operations.archive import archive as archive_jobs

_DAY_SECONDS = 86_400.0


def archive(
    *,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Jobs that ended longer ago than this: 365d.")
    ],
    batch: Annotated[
        str | None, typer.Option(help="Only jobs of this batch.", autocompletion=completion.batches)
    ] = None,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move jobs that ended long ago to Parquet files in the storage.

    Whole batches move when all of their jobs ended, and single jobs without a dedupe_key; what is held, waits or is
    under review stays. Spending stays as it is, and so do pictures. A batch that has moved takes no more rows.

    Run it again to continue an interrupted one.
    """
    seconds = age(older_than, "--older-than")
    if seconds < LEAST_DAYS * _DAY_SECONDS:
        raise typer.BadParameter(
            f"{older_than!r} is too short; use at least {LEAST_DAYS:g}d", param_hint="--older-than"
        )
    with open_deployment(sandbox=sandbox) as runtime:
        batch_id = runtime.db(find, batch).id if batch is not None else None
        done = archive_jobs(runtime, seconds, batch_id=batch_id, dry_run=dry_run)
        currency = runtime.settings.currency
    if as_json:
        months = {
            month: {**asdict(moved), "cost": str(moved.cost), "currency": currency}
            for month, moved in sorted(done.months.items())
        }
        emit({"months": months, "changed": done.changed, "dry_run": dry_run})
    else:
        _print(done, currency, dry_run=dry_run)


def _print(done: Archived, currency: str, *, dry_run: bool) -> None:
    if not done.months:
        say("no jobs to archive")
    for month, moved in sorted(done.months.items()):
        attempts, pictures = counted(moved.attempts, "attempt"), counted(moved.results, "picture")
        what = f"{counted(moved.jobs, 'job')} with {attempts} and {pictures}"
        if dry_run:
            say(f"{month}: {what} would move; {moved.size:,} bytes of rows")
        else:
            say(f"{month}: {what} moved; files: {moved.files:,}, {moved.size:,} bytes; {Money(moved.cost, currency)}")
    if done.changed:
        complain(f"{counted(done.changed, 'job')} changed meanwhile and stayed; run this again", style=Style.BAD)
