"""`recast run`: the command that turns a catalog into pictures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from catalog.enqueue import Enqueued, enqueue
from catalog.errors import BadRowsError, SamePictureError
from catalog.folders import FoundRows, is_search
from catalog.intake import Intake, take_in
from catalog.mistakes import write_mistakes
from catalog.rows import Rows, open_rows
from cli.deployment import running_deployment
from cli.display import display_for
from cli.environment import JsonOption, SandboxOption, choose, is_external
from cli.exit_codes import ExitCode
from cli.hints import CommandLine
from cli.output import Style, complain, emit, say
from cli.plan import print_plan, warn_of_addresses
from cli.questions import confirm, on_itself, same_batch
from cli.reach import accounts_of, reach_of
from cli.recorded import record
from cli.run_options import GivenOptions, takes_run_options
from cli.stack import Parts
from cli.summary import (
    interrupted,
    print_enqueued,
    print_not_waiting,
    print_summary,
    require_pictures_folder,
    summarize,
)
from cli.watch import Watch
from workers.config.settings import Settings
from workers.engine.runtime import Runtime
from workers.images.roots import Roots
from workers.jobs.run_options import RunOptions

NameOption = Annotated[
    str | None, typer.Option(help="Name of the batch. Default: the file's name without its extension.")
]
SamePictureOption = Annotated[
    bool, typer.Option("--same-picture", help="Also do a --source's own picture if it is among the pictures found.")
]
ErrorsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the mistakes in the rows to this .csv or .jsonl file.")
]


@takes_run_options("the batch", "fresh")
def run(
    given: GivenOptions,
    context: typer.Context,
    catalog: Annotated[
        str,
        typer.Argument(
            help="Catalog in CSV, JSON Lines (both also .gz), Parquet or .xlsx: a path, s3:// or https://. With "
            "--source, a folder or a quoted pattern of pictures."
        ),
    ],
    *,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACE", help="Face for every picture of the folder or pattern; can be given more than once."
        ),
    ] = None,
    cross: Annotated[bool, typer.Option("--cross", help="Combine every --source with every picture.")] = False,
    same_picture: SamePictureOption = False,
    name: NameOption = None,
    errors: ErrorsOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check every row; report cost, duration and rejected rows; enqueue nothing."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, however much it may cost.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Enqueue and return; do not wait for the jobs.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make the pictures of a catalog.

    Run it again at any time: rows that are done stay as they are; new, changed and failed rows are queued.
    """
    settings = choose(sandbox=sandbox)
    options = _from_now(given.resolve(settings))
    if errors is not None:
        write_mistakes(errors, ())  # reports a file that cannot be written before anything is checked
    reach = reach_of(settings, sandbox=sandbox)
    rows = _rows_of(catalog, source or [], reach.roots, options, cross=cross)
    try:
        taken = take_in(rows, accounts_of(settings, sandbox=sandbox), reach, name=name, options=options)
    except BadRowsError as error:
        _print_mistakes(error, errors, as_json=as_json)
        raise typer.Exit(ExitCode.USAGE) from None
    finally:
        for told in rows.notes:
            complain(told, style=Style.QUIET)
    command = CommandLine(context)
    with taken as intake:
        if same_picture:
            intake.same.clear()
        if dry_run:
            print_plan(settings, intake, options, sandbox=sandbox, as_json=as_json)
            return
        code = _work(
            settings, intake, options, command, sandbox=sandbox, wait=not no_wait, ask=not yes, as_json=as_json
        )
    raise typer.Exit(code)


def _work(
    settings: Settings,
    intake: Intake,
    options: RunOptions,
    command: CommandLine,
    *,
    sandbox: bool,
    wait: bool,
    ask: bool,
    as_json: bool,
) -> ExitCode:
    """Enqueue a checked catalog and, with `wait`, watch it until it ends."""
    parts = Parts(worker=False, web=False)
    if wait:
        require_pictures_folder(settings, intake.name)
        parts = Parts(web=sandbox or bool(settings.public_url), sandbox=sandbox)
    embedded = not is_external(sandbox=sandbox)
    if embedded and not as_json:
        complain(f"starting or joining the embedded stack in {settings.home}", style=Style.QUIET)
    with running_deployment(settings, parts, sandbox=sandbox) as (runtime, stack):
        options = same_batch(runtime, intake, options, command, as_json=as_json)
        if ask:
            confirm(runtime, intake, options, command)
        warn_of_addresses(runtime, intake)
        enqueued = _enqueue(runtime, intake, options, command, as_json=as_json)
        if not wait:
            print_not_waiting(enqueued, command, options, settings.currency, embedded=embedded, as_json=as_json)
            return ExitCode.OK
        try:
            with display_for(settings.currency, as_json=as_json) as display:
                watched = Watch(runtime, enqueued.name, display, stack).run()
        except KeyboardInterrupt:
            complain(interrupted(enqueued.name, command, options, continues=stack is None or not stack.owned))
            return ExitCode.INTERRUPTED
        summary = summarize(runtime, enqueued, watched)
    print_summary(summary, settings, command, options, as_json=as_json)
    return summary.code


def _enqueue(runtime: Runtime, intake: Intake, options: RunOptions, command: CommandLine, *, as_json: bool) -> Enqueued:
    """Enqueue the catalog, asking first where it puts a picture onto itself, and say what was done with its rows."""
    try:
        enqueued = enqueue(runtime, intake, options)
    except SamePictureError as error:
        on_itself(error, intake, command, as_json=as_json)
        enqueued = enqueue(runtime, intake, options)
    record(runtime, enqueued.name)
    if not as_json:
        print_enqueued(enqueued, intake.rows, runtime.settings.currency)
    return enqueued


def _from_now(options: RunOptions) -> RunOptions:
    """The options with a deadline that is a moment, so that a hint can repeat it as it was meant."""
    return replace(options, deadline=options.deadline_from(datetime.now(UTC)))


def _rows_of(catalog: str, sources: list[str], roots: Roots, options: RunOptions, *, cross: bool) -> Rows:
    if not is_search(catalog):
        if (sources or cross) and ("://" in catalog or Path(catalog).exists()):
            raise typer.BadParameter(
                f"{catalog} is a catalog, and its rows name their sources; use --source and --cross only with a "
                "folder or a pattern of pictures",
                param_hint="--source",
            )
        return open_rows(catalog, roots, options)
    found = FoundRows(catalog, sources, cross=cross, roots=roots)
    complain(f"{catalog}: {found.counted}", style=Style.QUIET)
    return found


def _print_mistakes(error: BadRowsError, file: Path | None, *, as_json: bool) -> None:
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
        say(f"mistakes: {file}")
