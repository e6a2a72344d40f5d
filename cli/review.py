"""`recast review` and `verdict`: what people approved and what that costs, and verdicts given by command."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.environment import JsonOption, SandboxOption, open_deployment
from cli.output import STATE_STYLES, Style, emit, moment, priced, say, table
from desk import audit
from desk.actors import from_command
from desk.verdicts import Decided, Decision, DeskError, choose, judge, newest_of, undo
from models.states import JobState
from models.verdicts import Verdict
from recast.money import Money
from reports.batch import find
from reports.job import JobDetail, find_detail
from reports.reviews import By, Verdicts, progress, summed, verdicts_of
from workers.engine.runtime import Runtime

NAMELESS = {By.BATCH: "(single jobs)", By.LABEL: "(no label)"}
COLUMNS = ("pictures", "approved", "needs work", "unreviewed", "spent", "per approved")


class Answer(StrEnum):
    """What can be said of a picture by command."""

    APPROVE = "approve"
    NEEDS_WORK = "needs-work"
    UNDO = "undo"
    CHOOSE = "choose"


def review(
    batch: Annotated[str | None, typer.Argument(help="Name of a batch. Default: everything.")] = None,
    *,
    by: Annotated[By | None, typer.Option(help="Sum by this. Default: batch, or account with a batch's name.")] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what people approved, and what an approved picture costs."""
    by = by or (By.ACCOUNT if batch else By.BATCH)
    with open_deployment(sandbox=sandbox) as runtime:
        currency = runtime.settings.currency
        report = runtime.db(find, batch) if batch else None
        whole = runtime.db(verdicts_of, report) if report else None
        rows = runtime.db(summed, by, report.id if report else None)
    if as_json:
        document: dict[str, Any] = {"by": by.value, "rows": [asdict(row) for row in rows]}
        if report and whole:
            document = {"batch": report.name, **asdict(progress(report.counts)), "review": asdict(whole), **document}
        emit(priced(document, currency))
        return
    if report and whole:
        four = progress(report.counts)
        say(f"{report.name}: {report.total:,} jobs", style="bold")
        for words, number, state in (
            ("made", four.made, JobState.SUCCEEDED), ("need you", four.needs_you, JobState.HELD),
            ("rejected", four.rejected, JobState.REJECTED), ("waiting", four.waiting, JobState.QUEUED),
        ):  # fmt: skip
            say(f"  {number:>9,}  {words}", style=STATE_STYLES[state])
        print_verdicts(whole, currency)
    table((by.value, *COLUMNS), [_row(row, by, currency) for row in rows], right=COLUMNS)


def verdict(
    job: Annotated[str, typer.Argument(help="Job id, the beginning of one, key, or BATCH/KEY.")],
    answer: Annotated[Answer, typer.Argument(help="What you say of its picture.")],
    *,
    reason: Annotated[
        list[str] | None, typer.Option(help="What is wrong, from RECAST_REVIEW_REASONS. Give it once for each reason.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="What else there is to say.")] = None,
    picture: Annotated[
        int | None, typer.Option(min=0, help="Which picture, if the job made several. Default: the one that is used.")
    ] = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give a verdict about a job's picture, take your last one back, or choose the picture that is used."""
    with open_deployment(sandbox=sandbox) as runtime:
        detail = runtime.db(find_detail, job, runtime.storage)
        decided = _decided(runtime, detail, answer, Decision(_VERDICTS[answer], tuple(reason or ()), note), picture)
    if as_json:
        emit(asdict(decided))
        return
    words = decided.job_verdict.replace("_", " ")
    say(f"{detail.job.key or detail.job.id}: {words}", style=_STYLES[decided.job_verdict])


def audited(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 50,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List who did what, newest first."""
    with open_deployment(sandbox=sandbox) as runtime:
        entries = runtime.db(audit.latest, limit)
    if as_json:
        emit([asdict(entry) for entry in entries])
        return
    table(
        ("when", "who", "by", "did", "to", "with"),
        [
            (
                moment(entry.at), entry.person, entry.via, entry.action, entry.subject,
                ", ".join(f"{name} {value}" for name, value in entry.detail.items()),
            )
            for entry in entries
        ],
    )  # fmt: skip


def print_verdicts(found: Verdicts, currency: str) -> None:
    """Print a batch's verdicts, and what an approved picture costs."""
    each = "" if found.per_approved is None else f"; {Money(found.per_approved, currency)} for each approved picture"
    say(
        f"reviewed: {found.approved:,} approved, {found.needs_work:,} need work, {found.unreviewed:,} unreviewed{each}",
        style=Style.GOOD if not found.unreviewed else None,
    )


_VERDICTS = {
    Answer.APPROVE: Verdict.APPROVED,
    Answer.NEEDS_WORK: Verdict.NEEDS_WORK,
    Answer.UNDO: Verdict.UNREVIEWED,
    Answer.CHOOSE: Verdict.UNREVIEWED,
}
_STYLES = {Verdict.APPROVED: Style.GOOD, Verdict.NEEDS_WORK: Style.BAD, Verdict.UNREVIEWED: Style.QUIET}


def _decided(runtime: Runtime, detail: JobDetail, answer: Answer, decision: Decision, picture: int | None) -> Decided:
    actor = from_command()
    standing = runtime.db(newest_of, detail.job.id)
    present = {result.index: result.id for result in detail.results_of(detail.job.version)}
    used = standing.chosen if standing.chosen is not None else present.get(min(present, default=0))
    result_id = used if picture is None else present.get(picture)
    if result_id is None:
        allowed = ", ".join(map(str, present)) or "none, for it has no picture"
        raise DeskError(f"--picture: {picture} is not a picture of job {detail.job.id}; allowed: {allowed}")
    if answer is Answer.CHOOSE:
        return runtime.db(choose, actor, result_id)
    if answer is Answer.UNDO:
        return runtime.db(undo, actor, detail.job.batch_id, standing.newest[result_id])
    return runtime.db(
        judge, actor, result_id, decision, based_on=standing.newest[result_id],
        known_reasons=runtime.settings.review_reasons,
    )  # fmt: skip


def _row(row: Verdicts, by: By, currency: str) -> tuple[object, ...]:
    return (
        row.name or NAMELESS.get(by, "(none)"), f"{row.made:,}", f"{row.approved:,}", f"{row.needs_work:,}",
        f"{row.unreviewed:,}", Money(row.spent, currency),
        "" if row.per_approved is None else Money(row.per_approved, currency),
    )  # fmt: skip
