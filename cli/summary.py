"""Messages of `recast run` about its rows and its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catalog.enqueue import Enqueued
from cli.exit_codes import ExitCode
from cli.hints import CommandLine
from cli.impact import for_nothing
from cli.output import STATE_STYLES, Style, complain, emit, say, waiting_for_decision, why
from cli.outputs import require_folder
from cli.watch import Watched
from models.states import JobState
from recast.hints import hint
from recast.money import Money, plain
from reports.batch import BAD_STATES, BatchReport, Ending, endings
from reports.export import jobs_of
from reports.obstacles import SpentLimit, spent_limit
from reports.pictures import Pictures, safe_name, write_pictures
from workers.config.settings import Settings
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter
from workers.jobs.run_options import Only, RunOptions
from workers.operations.redownload import downloadable

PICTURES = Path("recast-pictures")
LISTED_ENDINGS = 50  # bad rows in the summary; `recast jobs` lists them all


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that is printed at the end of a run."""

    enqueued: Enqueued
    report: BatchReport
    stuck: str | None
    #: What is needed, where the spending limit is what the batch cannot continue for.
    spent: SpentLimit | None
    bad: Sequence[Ending]
    pictures: Pictures | None
    storage: str
    #: Of the failed jobs, those whose results were paid for and can be downloaded at no cost.
    free: int = 0

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        return Watched(self.report, self.stuck).code


def summarize(runtime: Runtime, enqueued: Enqueued, watched: Watched) -> Summary:
    """Read how the batch ended, and write its pictures to `recast-pictures`."""
    spent = runtime.db(spent_limit, watched.report, runtime.accounts) if watched.stuck is not None else None
    bad, pictures = runtime.db(endings, enqueued.batch_id, BAD_STATES, LISTED_ENDINGS), None
    if _is_local(runtime.settings.storage):
        jobs = jobs_of(runtime, enqueued.batch_id, runtime.storage, runtime.settings.currency)
        pictures = write_pictures(jobs, runtime.storage, _folder_of(enqueued.name))
    failed = watched.report.counts[JobState.FAILED]
    free = len(runtime.db(downloadable, Filter(batch=enqueued.name))) if failed else 0
    return Summary(enqueued, watched.report, watched.stuck, spent, bad, pictures, runtime.settings.storage, free)


def require_pictures_folder(settings: Settings, batch: str) -> None:
    """Refuse a run whose pictures could not be written to `recast-pictures` at its end.

    Raises:
        CatalogError: the folder cannot be written; `--no-wait` needs none.
    """
    if _is_local(settings.storage):
        require_folder(_folder_of(batch), "the pictures of a run that is waited for (--no-wait writes none)")


def _folder_of(batch: str) -> Path:
    return PICTURES / safe_name(batch)


def _is_local(storage: str) -> bool:
    return "://" not in storage or storage.startswith("file://")


def print_enqueued(enqueued: Enqueued, rows: int, currency: str) -> None:
    """Print what was done with the rows."""
    parts = [
        (enqueued.new, "new"), (enqueued.retried, "queued again"), (enqueued.changed, "changed"),
        (enqueued.unchanged, "unchanged"), (enqueued.left, "not retried (already ended)"),
        (enqueued.left_out, "left out"),
    ]  # fmt: skip
    counts = ", ".join(f"{number:,} {word}" for number, word in parts if number)
    once = f" ({Money(enqueued.cost, currency)} if each job needs one attempt)"
    most = f"; at most {Money(enqueued.at_most, currency)}" if enqueued.cost else ""
    cost = most + (once if enqueued.at_most > enqueued.cost else "")
    if enqueued.sampled is not None and cost:
        sent, whole = Money(enqueued.sent_at_most, currency), Money(enqueued.at_most, currency)
        cost = f"; at most {sent} for the pilot; all would cost at most {whole}{once}"
    say(f"{enqueued.name}: {counted(rows, 'row')}{': ' if counts else ''}{counts}{cost}")
    if (sampled := enqueued.sampled) is not None:
        say(
            f"  pilot: the sample has {counted(sampled.sample, 'job')}; {counted(sampled.waiting, 'job', 'wait')}, "
            f"unsent, until you decide: {hint('pilot', enqueued.name)}",
            style=Style.WAITING,
        )
    if enqueued.held:
        say(
            f"  {counted(enqueued.held, 'row')} held: after a restore the database may not know that they were sent; "
            f"{hint('resolve', batch=enqueued.name)} lists those that wait for a decision",
            style=Style.WAITING,
        )
    if enqueued.free:
        say(f"  {for_nothing(enqueued.free, hint('redownload', batch=enqueued.name))}", style=Style.WAITING)
    if enqueued.in_work:
        say(
            f"  {counted(enqueued.in_work, 'row')} changed, but still in progress; run the catalog again when they end",
            style=Style.WAITING,
        )


def print_not_waiting(
    enqueued: Enqueued,
    command: CommandLine,
    options: RunOptions,
    currency: str,
    *,
    embedded: bool,
    as_json: bool,
) -> None:
    """Print how to continue after --no-wait."""
    if as_json:
        emit({"batch": enqueued.name, **_numbers(enqueued, currency)})
        return
    say(f"{counted(enqueued.queued, 'row')} queued; {hint('status', enqueued.name)} shows their progress")
    if embedded:
        say(f"next: {hint('up')} or {continuing(command, options)} processes them")


def print_summary(
    summary: Summary, settings: Settings, command: CommandLine, options: RunOptions, *, as_json: bool
) -> None:
    """Print how the batch ended, and what to do next."""
    report, pictures = summary.report, summary.pictures
    if as_json:
        emit(_document(summary, settings.currency))
        return
    counts = ", ".join(f"{number:,} {state}" for state, number in report.counts.items() if number)
    say(f"{report.name}: {counts}; {Money(report.spent, settings.currency)} spent", style="bold")
    for ending in summary.bad:
        say(f"  {ending.key}: {ending.state}: {why(ending.reason, ending.error)}", style=STATE_STYLES[ending.state])
    listed, bad = len(summary.bad), sum(report.counts[state] for state in BAD_STATES)
    if bad > listed:
        others = hint("jobs", batch=report.name, state=[state.value for state in BAD_STATES])
        say(f"  ... and {bad - listed:,} more: {others}")
    if pictures is not None and pictures.files:
        say(f"pictures: {pictures.folder}{os.sep} ({counted(pictures.files, 'file')})")
    elif pictures is None:
        say(f"pictures: in {summary.storage}; {hint('export', report.name, pictures='FOLDER')} fetches them")
    _print_next(summary, settings, command, options)


def _print_next(summary: Summary, settings: Settings, command: CommandLine, options: RunOptions) -> None:
    """Print what a person can do next."""
    report = summary.report
    if summary.spent is not None:
        needed = continuing(command, options, max_cost=plain(summary.spent.needed))
        complain(f"cannot continue: {summary.spent.text(settings.currency)}: {needed}", style=Style.BAD)
    elif summary.stuck is not None:
        complain(f"cannot continue: {summary.stuck}", style=Style.BAD)
    if report.counts[JobState.HELD]:
        held, resolve = waiting_for_decision(report.counts[JobState.HELD]), hint("resolve", batch=report.name)
        complain(f"{held} and may have been billed: {resolve} lists and resolves them", style=Style.BAD)
    if report.counts[JobState.FAILED]:
        again, free = command.again(), hint("redownload", batch=report.name)
        if summary.free:
            say(f"next: {summary.free:,} failed rows were paid for: {free} downloads these again at no cost")
        say(f"next: {again} queues the failed rows again{', which pays again' if summary.free else ''}")
    if report.counts[JobState.REJECTED]:
        again = command.again()
        say(f"next: correct the rejected rows, then {again} queues them (with --retry-rejected also unchanged ones)")


def _document(summary: Summary, currency: str) -> dict[str, Any]:
    report, pictures = summary.report, summary.pictures
    return {
        "batch": report.name,
        **_numbers(summary.enqueued, currency),
        "states": dict(report.counts),
        "spent": Money(report.spent, currency),
        "stuck": summary.stuck,
        "bad": [
            {
                "key": ending.key,
                "job": ending.id,
                "state": ending.state,
                "reason": ending.reason,
                "error": ending.error,
            }
            for ending in summary.bad
        ],
        "pictures": str(pictures.folder) if pictures is not None else summary.storage,
        "exit_code": int(summary.code),
    }


def _numbers(enqueued: Enqueued, currency: str) -> dict[str, Any]:
    return {
        "new": enqueued.new,
        "retried": enqueued.retried,
        "changed": enqueued.changed,
        "unchanged": enqueued.unchanged,
        "left": enqueued.left,
        "in_work": enqueued.in_work,
        "held": enqueued.held,
        "left_out": enqueued.left_out,
        "cost": Money(enqueued.cost, currency),
        "at_most": Money(enqueued.at_most, currency),
    }


def interrupted(name: str, command: CommandLine, options: RunOptions, *, continues: bool) -> str:
    """The message after Ctrl-C while a batch is watched."""
    status = hint("status", name)
    if continues:
        return f"stopped watching; the jobs continue: {status}"
    return f"stopping the workers; nothing is lost: {continuing(command, options)} continues, {status} shows progress"


def continuing(command: CommandLine, options: RunOptions, **changes: object) -> str:
    """The command that continues this run: rows that have failed since are left alone, and the deadline stays."""
    wanted = [each for each in Only if each is not Only.FAILED and each in (options.only or Only)]
    if isinstance(deadline := options.deadline, datetime) and deadline > datetime.now(UTC):
        changes["deadline"] = deadline.isoformat(timespec="seconds")
    return command.again(only=wanted or [Only.CHANGED], no_wait=False, **changes)
