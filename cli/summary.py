"""What `recast run` says of its rows and at its end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from catalog.enqueue import Enqueued
from cli.output import STATE_STYLES, Code, Style, complain, emit, say, why
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
class Words:
    """How this very command would be called again."""

    catalog: str
    sandbox: bool

    def again(self, *more: str) -> str:
        """The same command again."""
        return " ".join(["recast run", shlex.quote(self.catalog), *self._sandbox(), *more])

    def other(self, *words: str) -> str:
        """Another command on the same deployment."""
        return " ".join(["recast", *words, *self._sandbox()])

    def _sandbox(self) -> tuple[str, ...]:
        return ("--sandbox",) if self.sandbox else ()


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that is said at the end."""

    enqueued: Enqueued
    report: BatchReport
    stuck: str | None
    bad: Sequence[Ending]
    pictures: Pictures | None
    storage: str

    @property
    def code(self) -> Code:
        """The exit code."""
        counts = self.report.counts
        if self.stuck is not None or counts[JobState.HELD]:
            return Code.PERSON
        return Code.JOBS_FAILED if any(counts[state] for state in BAD_STATES) else Code.OK


def summarise(runtime: Runtime, enqueued: Enqueued, watched: Watched) -> Summary:
    """Look at how the batch ended, and put its pictures where people find them."""

    def read(session: Session) -> tuple[list[Ending], Pictures | None]:
        bad = endings(session, enqueued.batch_id, BAD_STATES, LISTED_ENDINGS)
        if not _is_local(runtime.settings.storage):
            return bad, None
        with closing(jobs_of(session, enqueued.batch_id, runtime.storage, runtime.settings.currency)) as jobs:
            return bad, write_pictures(jobs, runtime.storage, PICTURES / safe_name(enqueued.name))

    bad, pictures = runtime.db(read)
    return Summary(enqueued, watched.report, watched.stuck, bad, pictures, runtime.settings.storage)


def _is_local(storage: str) -> bool:
    return "://" not in storage or storage.startswith("file://")


def tell_enqueued(enqueued: Enqueued, rows: int, currency: str) -> None:
    """Say what became of the rows."""
    parts = [
        (enqueued.new, "new"), (enqueued.retried, "tried again"), (enqueued.changed, "changed"),
        (enqueued.unchanged, "unchanged"), (enqueued.left, "left as they ended"),
        (enqueued.left_out, "left out"),
    ]  # fmt: skip
    told = ", ".join(f"{number:,} {word}" for number, word in parts if number)
    cost = f"; at most {Money(enqueued.cost, currency)}" if enqueued.cost else ""
    say(f"{enqueued.name}: {rows_of(rows)}{': ' if told else ''}{told}{cost}")
    if enqueued.held:
        say(
            f"  {rows_of(enqueued.held)} held first: a restored database may not know that they were sent;"
            " `recast resolve` lists those of which only a person can tell",
            style=Style.WAITING,
        )
    if enqueued.in_work:
        say(
            f"  {rows_of(enqueued.in_work)} changed while in work, and were not touched: run it again afterwards",
            style=Style.WAITING,
        )


def tell_no_wait(enqueued: Enqueued, words: Words, currency: str, *, embedded: bool, as_json: bool) -> None:
    """Say how to go on without waiting."""
    if as_json:
        emit({"batch": enqueued.name, **_numbers(enqueued, currency)})
        return
    say(f"{rows_of(enqueued.queued)} queued; `{words.other('status', enqueued.name)}` tells how they stand")
    if embedded:
        say(f"they are done while `{words.other('up')}` runs, or by `{words.again()}`")


def tell_summary(summary: Summary, settings: Settings, words: Words, *, as_json: bool) -> None:
    """Say how the batch ended, and what to do next."""
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
        say(f"  ... and {bad - listed:,} more: {words.other('jobs', '--batch', report.name)}")
    if pictures is not None and pictures.files:
        say(f"pictures: {pictures.folder}{os.sep} ({pictures.files:,} files)")
    elif pictures is None:
        fetch = words.other("export", report.name, "--pictures", "FOLDER")
        say(f"pictures: in {summary.storage}; `{fetch}` fetches them")
    if summary.stuck is not None:
        complain(f"cannot go on: {summary.stuck}", style=Style.BAD)
    if report.counts[JobState.HELD]:
        complain(
            "held jobs may have been paid for, and wait for a person: `recast show JOB` tells why", style=Style.BAD
        )
    if report.counts[JobState.FAILED]:
        say(f"next: `{words.again()}` tries the failed rows again")
    if report.counts[JobState.REJECTED]:
        say(f"next: correct the rejected rows in {words.catalog} and run it again (unchanged: --retry-rejected)")


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
    }


def interrupted(name: str, words: Words, *, goes_on: bool) -> str:
    """What to say when watching was interrupted."""
    if goes_on:
        return f"stopped watching; the jobs go on: `{words.other('status', name)}`"
    return f"stopping the workers; nothing is lost: `{words.again()}` goes on, `{words.other('status', name)}` tells"


def rows_of(number: int) -> str:
    """Rows, counted."""
    return "1 row" if number == 1 else f"{number:,} rows"
