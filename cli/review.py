"""`recast review`: what people approved, and what that costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from cli import completion
from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import STATE_STYLES, Style, complain, emit, priced, say, table
from models.states import JobState
from recast.money import Money
from reports.archives import archived
from reports.batch import find
from reports.flags import Flags, flags_of_batch, sentence, words
from reports.reviews import Verdicts, VerdictsBy, progress, summed, verdicts_of
from workers.counted import counted

NAMELESS = {VerdictsBy.BATCH: "(single jobs)", VerdictsBy.LABEL: "(no label)"}
COLUMNS = ("pictures", "approved", "needs work", "unreviewed", "spent", "per approved")


def review(
    batch: Annotated[
        str | None, typer.Argument(help="Name of a batch. Default: everything.", autocompletion=completion.batches)
    ] = None,
    *,
    by: Annotated[
        VerdictsBy | None, typer.Option(help="Sum by this. Default: batch, or account with a batch's name.")
    ] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what people approved, and its price."""
    by = by or (VerdictsBy.ACCOUNT if batch else VerdictsBy.BATCH)
    with open_database(sandbox=sandbox) as deployment:
        currency = deployment.settings.currency
        report = deployment.db(find, batch) if batch else None
        whole = deployment.db(verdicts_of, report) if report else None
        flags = deployment.db(flags_of_batch, report.id) if report else None
        rows = deployment.db(summed, by, report.id if report else None)
        gone = deployment.db(archived, batch_id=report.id if report else None)
    if as_json:
        document: dict[str, Any] = {
            "by": by.value, "rows": [asdict(row) for row in rows], "archived": asdict(gone)
        }  # fmt: skip
        if report and whole and flags:
            document = {
                "batch": report.name,
                **asdict(progress(report.counts)),
                "review": asdict(whole),
                "checks": asdict(flags),
                **document,
            }
        emit(priced(document, currency))
        return
    if report and whole and flags:
        four = progress(report.counts)
        say(f"{report.name}: {counted(report.total, 'job')}", style="bold")
        for words, number, state in (
            ("made", four.made, JobState.SUCCEEDED), ("need you", four.needs_you, JobState.HELD),
            ("rejected", four.rejected, JobState.REJECTED), ("waiting", four.waiting, JobState.QUEUED),
        ):  # fmt: skip
            say(f"  {number:>9,}  {words}", style=STATE_STYLES[state])
        print_verdicts(whole, currency)
        _print_flags(flags)
    table((by.value, *COLUMNS), [_row(row, by, currency) for row in rows], right=COLUMNS)
    if gone:
        complain(gone.said(currency, "their verdicts and costs are not counted here"), style=Style.WAITING)


def print_verdicts(found: Verdicts, currency: str) -> None:
    """Print a batch's verdicts, and what an approved picture costs."""
    each = "" if found.per_approved is None else f"; {Money(found.per_approved, currency)} for each approved picture"
    say(
        f"reviewed: {found.approved:,} approved, {found.needs_work:,} need work, {found.unreviewed:,} unreviewed{each}",
        style=Style.GOOD if not found.unreviewed else None,
    )


def _print_flags(flags: Flags) -> None:
    waiting = f"; {flags.waiting:,} wait for their checks" if flags.waiting else ""
    if flags.pictures or waiting:
        flagged = counted(flags.pictures, "picture", "are")
        say(f"checks: {flagged} flagged{waiting}", style=Style.WAITING if flags.pictures else None)
    found = sorted(((number, name) for name, number in flags.counts.items() if number), reverse=True)
    for number, name in found:
        say(f"  {number:>9,}  {words(name)}: {sentence(name)}")


def _row(row: Verdicts, by: VerdictsBy, currency: str) -> tuple[object, ...]:
    return (
        row.name or NAMELESS.get(by, "(none)"), f"{row.made:,}", f"{row.approved:,}", f"{row.needs_work:,}",
        f"{row.unreviewed:,}", Money(row.spent, currency),
        "" if row.per_approved is None else Money(row.per_approved, currency),
    )  # fmt: skip
