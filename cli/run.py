"""`recast run`: a catalog's jobs, from the file to the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from catalog.enqueue import enqueue
from catalog.errors import BadRowsError
from catalog.folders import FoundRows, is_search
from catalog.intake import Intake, take_in
from catalog.mistakes import write_mistakes
from catalog.rows import Rows, open_rows
from cli.display import display_for
from cli.environment import JsonOption, SandboxOption, accounts_of, choose, is_external, reach_of, working
from cli.output import Code, Style, complain, emit, say
from cli.plan import confirm, tell_plan
from cli.run_options import GivenOptions, takes_run_options
from cli.stack import Parts
from cli.summary import Words, interrupted, summarise, tell_enqueued, tell_no_wait, tell_summary
from cli.watch import Watch
from workers.config.settings import Settings
from workers.jobs.run_options import RunOptions


@takes_run_options("the batch", "fresh")
def run(
    given: GivenOptions,
    catalog: Annotated[
        str,
        typer.Argument(
            help="CSV, JSON Lines (both also .gz) or Parquet: a path, s3:// or https://. Or, with --source, a folder "
            "or a quoted pattern of pictures."
        ),
    ],
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACE", help="The face for every picture of the folder or pattern; can be given more than once."
        ),
    ] = None,
    cross: Annotated[bool, typer.Option("--cross", help="Combine every --source with every picture.")] = False,
    name: Annotated[
        str | None, typer.Option(help="The batch's name; the file's name without ending by default.")
    ] = None,
    errors: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what is wrong with the rows to this .csv or .jsonl.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check every row, tell what it would do, cost and take; enqueue nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however much it costs.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Enqueue and return.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the pictures of a catalog.

    Run it again at any time: rows that are done are left alone, new, changed and failed ones are done.
    """
    settings = choose(sandbox=sandbox)
    options = given.resolve(settings)
    if errors is not None:
        write_mistakes(errors, ())  # a place that cannot be written is told before anything is checked
    try:
        taken = take_in(
            _rows_of(catalog, source or [], cross=cross),
            accounts_of(settings, sandbox=sandbox),
            reach_of(settings, sandbox=sandbox),
            name=name,
            options=options,
        )
    except BadRowsError as error:
        _tell_mistakes(error, errors, as_json=as_json)
        raise typer.Exit(Code.USAGE) from None
    words = Words(catalog, sandbox)
    with taken as intake:
        if dry_run:
            tell_plan(settings, intake, options, sandbox=sandbox, as_json=as_json)
            return
        code = _work(settings, intake, options, words, wait=not no_wait, ask=not yes, as_json=as_json)
    raise typer.Exit(code)


def _work(
    settings: Settings, intake: Intake, options: RunOptions, words: Words, *, wait: bool, ask: bool, as_json: bool
) -> Code:
    """Enqueue a checked catalog and, with `wait`, watch it to its end."""
    parts = Parts(worker=False, web=False)
    if wait:
        parts = Parts(web=words.sandbox or bool(settings.public_url), sandbox=words.sandbox)
    embedded = not is_external(sandbox=words.sandbox)
    if embedded and not as_json:
        complain(f"starting or joining the embedded stack in {settings.home}", style=Style.QUIET)
    with working(settings, parts, sandbox=words.sandbox) as (runtime, stack):
        if ask:
            confirm(runtime, intake, options, words)
        enqueued = enqueue(runtime, intake, options)
        if not as_json:
            tell_enqueued(enqueued, intake.rows, settings.currency)
        if not wait:
            tell_no_wait(enqueued, words, settings.currency, embedded=embedded, as_json=as_json)
            return Code.OK
        try:
            with display_for(settings.currency, as_json=as_json) as display:
                watched = Watch(runtime, enqueued.name, display, stack).run()
        except KeyboardInterrupt:
            complain(interrupted(enqueued.name, words, goes_on=stack is None or not stack.owned))
            return Code.INTERRUPTED
        summary = summarise(runtime, enqueued, watched)
    tell_summary(summary, settings, words, as_json=as_json)
    return summary.code


def _rows_of(catalog: str, sources: list[str], *, cross: bool) -> Rows:
    if not is_search(catalog):
        if sources or cross:
            raise typer.BadParameter(
                f"{catalog} is a catalog, whose rows name their sources; --source and --cross go with a folder or a "
                "pattern of pictures",
                param_hint="--source",
            )
        return open_rows(catalog)
    found = FoundRows(catalog, sources, cross=cross)
    complain(f"{catalog}: {found.counted}", style=Style.QUIET)
    return found


def _tell_mistakes(error: BadRowsError, file: Path | None, *, as_json: bool) -> None:
    if file is not None:
        write_mistakes(file, error.mistakes)
    if as_json:
        mistakes = [
            {"line": each.line, "key": each.key, "column": each.column, "message": each.message}
            for each in error.mistakes
        ]
        emit({"catalog": error.file, "total": error.total, "mistakes": mistakes})
        return
    complain(str(error), style=Style.BAD)
    if file is not None:
        say(f"{file}: what is wrong with each row")
