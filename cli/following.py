"""`recast watch` and `recast status --watch`: the display of `recast run` again, for batches that run elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from cli import completion
from cli.deployment import running_deployment
from cli.display import display_for
from cli.environment import READS, JsonOption, SandboxOption, readable
from cli.exit_codes import ExitCode
from cli.output import Style, complain, console, emit
from cli.progress import (
    LISTED_BATCHES,
    LISTED_ENDINGS,
    Stops,
    document,
    list_batches,
    listing,
    print_batch,
    stops_of,
)
from cli.watch import Watch, Watched
from models.availability import is_unavailable
from recast.hints import hint
from reports.batch import BAD_STATES, BatchReport, endings, find, recent
from workers.engine.runtime import Runtime

LIST_SECONDS = 1.0  # between two reads of the list: people see no difference to less
REFRESH_PER_SECOND = 4


def watch(
    batch: Annotated[str, typer.Argument(help="Name of the batch.", autocompletion=completion.batches)],
    *,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a batch's progress until it ends. Ctrl-C ends only the display.

    The display and the exit code are those of `recast run`. With --json, the batch is printed once, at its end.
    """
    raise typer.Exit(follow(batch, None, sandbox=sandbox, as_json=as_json))


def follow(batch: str | None, label: str | None, *, sandbox: bool, as_json: bool) -> ExitCode:
    """Show one batch until it ends, or the latest batches until Ctrl-C; returns the exit code.

    Raises:
        typer.BadParameter: a list that has no end cannot be one document.
    """
    if batch is None and as_json:
        raise typer.BadParameter(
            "--watch without a batch has no end, and --json is one document; name a batch, or leave out one of them"
        )
    with running_deployment(readable(sandbox=sandbox), READS, sandbox=sandbox, sends=False) as (runtime, stack):
        # Servers that this command started have no workers, and the command that has some could not start beside it.
        alone = stack is not None and stack.owned
        try:
            with _ends_with_its_owner(joined=stack is not None and not alone):
                if batch is None:
                    return _show_once(runtime, label) if alone else _show_all(runtime, label)
                return _show_one(runtime, batch, alone=alone, as_json=as_json)
        except KeyboardInterrupt:
            complain(f"stopped watching; the jobs continue: {hint('status', *([batch] if batch else []))}")
            return ExitCode.INTERRUPTED


def _show_one(runtime: Runtime, name: str, *, alone: bool, as_json: bool) -> ExitCode:
    currency = runtime.settings.currency
    if alone:
        watched = Watched(runtime.db(find, name))
    else:
        with display_for(currency, as_json=as_json) as display:
            watched = Watch(runtime, name, display, None).run()
    report = watched.report
    bad = runtime.db(endings, report.id, BAD_STATES, LISTED_ENDINGS, latest=True)
    stops = stops_of(runtime, [report])
    if as_json:
        emit(document(report, currency, stops))
    else:
        print_batch(report, bad, currency, stops)
    return _nothing_runs(runtime) if alone and not report.settled else watched.code


def _show_once(runtime: Runtime, label: str | None) -> ExitCode:
    reports = runtime.db(recent, LISTED_BATCHES, label)
    list_batches(reports, runtime.settings.currency, stops_of(runtime, reports), label)
    return _nothing_runs(runtime)


def _nothing_runs(runtime: Runtime) -> ExitCode:
    complain(f"no worker runs in {runtime.settings.home}; {hint('up')} starts one", style=Style.WAITING)
    return ExitCode.PERSON


def _show_all(runtime: Runtime, label: str | None) -> ExitCode:
    """Show the list until Ctrl-C: in place on a terminal, elsewhere again whenever it has changed."""
    currency = runtime.settings.currency
    live = Live(console=console(), refresh_per_second=REFRESH_PER_SECOND) if sys.stdout.isatty() else None
    last: Sequence[BatchReport] | None = None
    with live or nullcontext():
        while True:
            reports = runtime.db(recent, LISTED_BATCHES, label)
            if live is not None:
                live.update(_screen(reports, currency, stops_of(runtime, reports)))
            elif reports != last:
                list_batches(reports, currency, stops_of(runtime, reports), label)
            last = reports
            time.sleep(LIST_SECONDS)


def _screen(reports: Sequence[BatchReport], currency: str, stops: Stops) -> RenderableType:
    sentences = [Text(f"{name}: {each}", style=Style.BAD) for name, found in stops.items() for each in found]
    return Group(listing(reports, currency), *sentences)


@contextmanager
def _ends_with_its_owner(*, joined: bool) -> Iterator[None]:
    """Say plainly that the command whose servers were joined has ended, which no later try would change."""
    try:
        yield
    except SQLAlchemyError as error:
        if not joined or not is_unavailable(error):
            raise
        complain(f"the command that ran the workers has ended; {hint('up')} continues the jobs", style=Style.WAITING)
        raise typer.Exit(ExitCode.INFRASTRUCTURE) from None
