"""Messages of `recast run` about its rows and its end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.enqueue import Enqueued
from cli.exit_codes import ExitCode
from cli.output import STATE_STYLES, Style, complain, emit, say, waiting_for_decision, why
from cli.watch import Watched
from models.states import JobState
from recast.money import Money
from reports.batch import BAD_STATES, BatchReport, Ending, endings
from reports.export import jobs_of
from reports.pictures import Pictures, safe_name, write_pictures
from workers.config.settings import Settings
from workers.engine.runtime import Runtime

PICTURES = Path("recast-pictures")
LISTED_ENDINGS = 50  # bad rows in the summary; `recast jobs` lists them all


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The command that is running, for hints on what to type next."""

    catalog: str
    sandbox: bool

    def again(self, *more: str) -> str:
        """The same command with more arguments."""
        return " ".join(["recast run", shlex.quote(self.catalog), *self._sandbox(), *more])

    def other(self, *words: str) -> str:
        """Another command for the same deployment."""
        return " ".join(["recast", *words, *self._sandbox()])

    def _sandbox(self) -> tuple[str, ...]:
        return ("--sandbox",) if self.sandbox else ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that is printed at the end of a run."""

    enqueued: Enqueued
    report: BatchReport
    stuck: str | None
    bad: Sequence[Ending]
    pictures: Pictures | None
    storage: str

    @property
    def code(self) -> ExitCode:
        """The exit code."""
        counts = self.report.counts
        if self.stuck is not None or counts[JobState.HELD]:
            return ExitCode.PERSON
        return ExitCode.JOBS_FAILED if any(counts[state] for state in BAD_STATES) else ExitCode.OK


def summarize(runtime: Runtime, enqueued: Enqueued, watched: Watched) -> Summary:
    """Read how the batch ended, and write its pictures to `recast-pictures`."""
    bad, pictures = runtime.db(endings, enqueued.batch_id, BAD_STATES, LISTED_ENDINGS), None
    if _is_local(runtime.settings.storage):
        jobs = jobs_of(runtime, enqueued.batch_id, runtime.storage, runtime.settings.currency)
        pictures = write_pictures(jobs, runtime.storage, PICTURES / safe_name(enqueued.name))
    return Summary(enqueued, watched.report, watched.stuck, bad, pictures, runtime.settings.storage)


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
    say(f"{enqueued.name}: {rows_of(rows)}{': ' if counts else ''}{counts}{cost}")
    if enqueued.held:
        say(
            f"  {rows_of(enqueued.held)} held: after a restore the database may not know that they were sent;"
            " `recast resolve` lists those that wait for a decision",
            style=Style.WAITING,
        )
    if enqueued.in_work:
        say(
            f"  {rows_of(enqueued.in_work)} changed, but the jobs are in progress; run the catalog again when they end",
            style=Style.WAITING,
        )


def print_not_waiting(
    enqueued: Enqueued, command: CommandLine, currency: str, *, embedded: bool, as_json: bool
) -> None:
    """Print how to continue after --no-wait."""
    if as_json:
        emit({"batch": enqueued.name, **_numbers(enqueued, currency)})
        return
    say(f"{rows_of(enqueued.queued)} queued; `{command.other('status', enqueued.name)}` shows their progress")
    if embedded:
        say(f"next: `{command.other('up')}` or `{command.again()}` processes them")


def print_summary(summary: Summary, settings: Settings, command: CommandLine, *, as_json: bool) -> None:
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
        say(f"  ... and {bad - listed:,} more: {command.other('jobs', '--batch', report.name)}")
    if pictures is not None and pictures.files:
        say(f"pictures: {pictures.folder}{os.sep} ({pictures.files:,} files)")
    elif pictures is None:
        fetch = command.other("export", report.name, "--pictures", "FOLDER")
        say(f"pictures: in {summary.storage}; `{fetch}` fetches them")
    if summary.stuck is not None:
        complain(f"cannot continue: {summary.stuck}", style=Style.BAD)
    if report.counts[JobState.HELD]:
        held = waiting_for_decision(report.counts[JobState.HELD])
        resolve = command.other("resolve", "--batch", report.name)
        complain(f"{held} and may have been billed: `{resolve}` lists and resolves them", style=Style.BAD)
    if report.counts[JobState.FAILED]:
        say(f"next: `{command.again()}` queues the failed rows again")
    if report.counts[JobState.REJECTED]:
        say(f"next: correct the rejected rows in {command.catalog} and run it again (unchanged: --retry-rejected)")


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


def interrupted(name: str, command: CommandLine, *, continues: bool) -> str:
    """The message after Ctrl-C while a batch is watched."""
    if continues:
        return f"stopped watching; the jobs continue: `{command.other('status', name)}`"
    status = command.other("status", name)
    return f"stopping the workers; nothing is lost: `{command.again()}` continues, `{status}` shows progress"


def rows_of(number: int) -> str:
    """A number of rows, as text."""
    return "1 row" if number == 1 else f"{number:,} rows"
