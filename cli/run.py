"""`recast run`: a catalog's jobs, from the file to the pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from catalog.checks import Defaults
from catalog.enqueue import Enqueued, enqueue
from catalog.export import Pictures, jobs_of, safe_name, write_pictures
from catalog.intake import Intake, take_in
from catalog.report import BAD_STATES, BatchReport, Ending, endings
from cli.display import display_for
from cli.environment import JsonOption, SandboxOption, accounts_of, choose, is_external, reach_of, working
from cli.output import STATE_STYLES, Code, Style, amount, complain, emit, say, why
from cli.stack import Parts
from cli.watch import Watch, Watched
from models.states import JobState
from workers.runtime import Runtime
from workers.settings import Settings

PICTURES = Path("recast-pictures")
LISTED_ENDINGS = 50  # bad rows in the summary; `recast jobs` lists them all


@dataclass(frozen=True, slots=True)
class _Words:
    """How this very command would be called again."""

    catalog: Path
    sandbox: bool

    def again(self, *more: str) -> str:
        return " ".join(["recast run", str(self.catalog), *self._sandbox(), *more])

    def other(self, *words: str) -> str:
        return " ".join(["recast", *words, *self._sandbox()])

    def _sandbox(self) -> tuple[str, ...]:
        return ("--sandbox",) if self.sandbox else ()


def run(
    catalog: Annotated[Path, typer.Argument(help="CSV or JSON Lines with the columns key, kind, source, target, ...")],
    name: Annotated[
        str | None, typer.Option(help="The batch's name; the file's name without ending by default.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Account of rows that name neither account nor provider.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider of rows that name neither.")] = None,
    max_cost: Annotated[str | None, typer.Option(metavar="MONEY", help="Most money the batch may spend.")] = None,
    retry_rejected: Annotated[bool, typer.Option(help="Try rows again that a provider refused.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, tell the cost, enqueue nothing.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Enqueue and return.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the pictures of a catalog.

    Run it again at any time: rows that are done are left alone, new, changed and failed ones are done.
    """
    limit = _money(max_cost)
    settings = choose(sandbox=sandbox)
    words = _Words(catalog, sandbox)
    taken = take_in(
        catalog,
        accounts_of(settings, sandbox=sandbox),
        reach_of(settings, sandbox=sandbox),
        name=name,
        defaults=Defaults(account, provider),
    )
    with taken as intake:
        if dry_run:
            _tell_estimate(intake, settings.currency, as_json=as_json)
            return
        parts = Parts(web=sandbox or bool(settings.public_url), sandbox=sandbox)
        if no_wait:
            parts = Parts(worker=False, web=False)
        embedded = not is_external(sandbox=sandbox)
        if embedded and not as_json:
            complain(f"starting or joining the embedded stack in {settings.home}", style=Style.QUIET)
        with working(settings, parts, sandbox=sandbox) as (runtime, stack):
            enqueued = enqueue(runtime, intake, max_cost=limit, retry_rejected=retry_rejected)
            if not as_json:
                _tell_enqueued(enqueued, intake, settings.currency)
            if no_wait:
                _tell_no_wait(enqueued, words, embedded=embedded, as_json=as_json)
                return
            try:
                with display_for(settings.currency, as_json=as_json) as display:
                    watched = Watch(runtime, enqueued.name, display, stack).run()
            except KeyboardInterrupt:
                complain(_interrupted(enqueued.name, words, goes_on=stack is None or not stack.owned))
                raise typer.Exit(Code.INTERRUPTED) from None
            summary = _summarise(runtime, enqueued, watched)
    _tell_summary(summary, settings, words, as_json=as_json)
    raise typer.Exit(summary.code)


@dataclass(frozen=True, slots=True)
class _Summary:
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


def _summarise(runtime: Runtime, enqueued: Enqueued, watched: Watched) -> _Summary:
    def read(session: Session) -> tuple[list[Ending], Pictures | None]:
        bad = endings(session, enqueued.batch_id, BAD_STATES, LISTED_ENDINGS)
        if not _is_local(runtime.settings.storage):
            return bad, None
        with closing(jobs_of(session, enqueued.batch_id, runtime.storage)) as jobs:
            return bad, write_pictures(jobs, runtime.storage, PICTURES / safe_name(enqueued.name))

    bad, pictures = runtime.db(read)
    return _Summary(enqueued, watched.report, watched.stuck, bad, pictures, runtime.settings.storage)


def _is_local(storage: str) -> bool:
    return "://" not in storage or storage.startswith("file://")


def _money(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise typer.BadParameter(f"{text!r} is no sum of money; write 12.50", param_hint="--max-cost")
    return value


def _tell_estimate(intake: Intake, currency: str, *, as_json: bool) -> None:
    estimate = intake.estimate
    if as_json:
        emit(
            {
                "batch": intake.name, "rows": intake.rows, "lanes": dict(estimate.lanes), "currency": currency,
                "cost": {"cheapest": estimate.cheapest, "dearest": estimate.dearest},
                "unpriced": sorted(estimate.unpriced),
            }
        )  # fmt: skip
        return
    say(f"{intake.name}: all {_rows(intake.rows)} are in order; nothing was enqueued")
    for lane, number in sorted(estimate.lanes.items()):
        say(f"  {number:>9,}  {lane.replace('|', ' or ')}")
    least, most = amount(estimate.cheapest), amount(estimate.dearest)
    cost = most if least == most else f"{least} to {most}, depending on the account"
    say(f"  cost if each is done once: {cost} {currency}")
    if estimate.unpriced:
        say(f"  without a price, and counted as nothing: {', '.join(sorted(estimate.unpriced))}", style=Style.WAITING)


def _tell_enqueued(enqueued: Enqueued, intake: Intake, currency: str) -> None:
    parts = [
        (enqueued.new, "new"), (enqueued.retried, "tried again"), (enqueued.changed, "changed"),
        (enqueued.unchanged, "unchanged"), (enqueued.left, "left as they ended"),
    ]  # fmt: skip
    told = ", ".join(f"{number:,} {word}" for number, word in parts if number)
    cost = f"; at most {amount(enqueued.cost)} {currency}" if enqueued.cost else ""
    say(f"{enqueued.name}: {_rows(intake.rows)}{': ' if told else ''}{told}{cost}")
    if enqueued.in_work:
        say(
            f"  {_rows(enqueued.in_work)} changed while in work, and were not touched: run it again afterwards",
            style=Style.WAITING,
        )


def _tell_no_wait(enqueued: Enqueued, words: _Words, *, embedded: bool, as_json: bool) -> None:
    if as_json:
        emit({"batch": enqueued.name, **_numbers(enqueued)})
        return
    say(f"{_rows(enqueued.queued)} queued; `{words.other('status', enqueued.name)}` tells how they stand")
    if embedded:
        say(f"they are done while `{words.other('up')}` runs, or by `{words.again()}`")


def _tell_summary(summary: _Summary, settings: Settings, words: _Words, *, as_json: bool) -> None:
    report, pictures = summary.report, summary.pictures
    if as_json:
        emit(_document(summary, settings.currency))
        return
    counts = ", ".join(f"{number:,} {state}" for state, number in report.counts.items() if number)
    say(f"{report.name}: {counts}; {amount(report.spent)} {settings.currency} spent", style="bold")
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


def _document(summary: _Summary, currency: str) -> dict[str, Any]:
    report, pictures = summary.report, summary.pictures
    return {
        "batch": report.name,
        **_numbers(summary.enqueued),
        "states": dict(report.counts),
        "spent": report.spent,
        "currency": currency,
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


def _numbers(enqueued: Enqueued) -> dict[str, Any]:
    return {
        "new": enqueued.new,
        "retried": enqueued.retried,
        "changed": enqueued.changed,
        "unchanged": enqueued.unchanged,
        "left": enqueued.left,
        "in_work": enqueued.in_work,
        "cost": enqueued.cost,
    }


def _interrupted(name: str, words: _Words, *, goes_on: bool) -> str:
    if goes_on:
        return f"stopped watching; the jobs go on: `{words.other('status', name)}`"
    return f"stopping the workers; nothing is lost: `{words.again()}` goes on, `{words.other('status', name)}` tells"


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"
