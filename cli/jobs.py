"""`recast jobs`: lists of jobs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, open_database
from cli.filters import JobSelection, takes_selection
from cli.output import complain, emit, moment, table, why
from models.identity import SHORT
from reports.job import listed


@takes_selection("everything")
def jobs(
    selection: JobSelection,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 50,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    with open_database(sandbox=sandbox) as deployment:
        found = deployment.db(listed, selection.resolve(deployment), limit)
    if as_json:
        emit([asdict(job) for job in found])
        return
    table(
        ("job", "batch", "key", "state", "account", "operation", "finished", "why"),
        [
            (
                job.id[:SHORT], job.batch, job.key, job.state, job.account, job.operation,
                moment(job.finished_at), why(job.reason, job.error) if job.reason or job.error else "",
            )
            for job in found
        ],
    )  # fmt: skip
    if len(found) == limit:
        complain(f"only {limit:,} are listed; there may be more: raise --limit")
