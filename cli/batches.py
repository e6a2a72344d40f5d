"""`recast status`: progress of batches."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli import completion
from cli.environment import JsonOption, SandboxOption, open_database
from cli.late import load
from cli.output import emit, priced
from cli.progress import LISTED_BATCHES, LISTED_ENDINGS, document, list_batches, print_batch, stops_of
from reports.batch import BAD_STATES, endings, find, recent

BatchArgument = Annotated[
    str | None, typer.Argument(help="Name of a batch. Default: list the latest.", autocompletion=completion.batches)
]


def status(
    batch: BatchArgument = None,
    *,
    label: Annotated[str | None, typer.Option(help="List only batches with this label.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again and again until Ctrl-C.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show batch progress. With a name, show one batch and its latest failures."""
    if watch:
        raise typer.Exit(load("cli.following:follow")(batch, label, sandbox=sandbox, as_json=as_json))
    with open_database(sandbox=sandbox) as deployment:
        currency = deployment.settings.currency
        if batch is None:
            reports = deployment.db(recent, LISTED_BATCHES, label)
            why_not = stops_of(deployment, reports)
            if as_json:
                emit([document(report, currency, why_not) for report in reports])
            else:
                list_batches(reports, currency, why_not, label)
            return
        report = deployment.db(find, batch)
        bad = deployment.db(endings, report.id, BAD_STATES, LISTED_ENDINGS, latest=True)
        reviewed = deployment.db(load("reports.reviews:verdicts_of"), report)
        why_not = stops_of(deployment, [report])
    if as_json:
        review = priced(asdict(reviewed), currency)
        shown = {**document(report, currency, why_not), "review": review}
        emit({**shown, "latest_bad": [asdict(ending) for ending in bad]})
    else:
        print_batch(report, bad, currency, why_not)
        if reviewed.approved or reviewed.needs_work:
            load("cli.review:print_verdicts")(reviewed, currency)
