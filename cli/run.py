"""`recast run`: a catalog's jobs, from the file to the pictures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog.checks import Defaults
from catalog.enqueue import Only, enqueue
from catalog.errors import BadRowsError
from catalog.folders import FoundRows, is_search
from catalog.intake import take_in
from catalog.mistakes import write_mistakes
from catalog.rows import Rows, open_rows
from cli.display import display_for
from cli.environment import JsonOption, SandboxOption, accounts_of, choose, is_external, reach_of, working
from cli.housekeeping import keep_days
from cli.output import Code, Style, complain, emit, say
from cli.plan import confirm, tell_plan
from cli.stack import Parts
from cli.summary import Words, interrupted, summarise, tell_enqueued, tell_no_wait, tell_summary
from cli.watch import Watch
from workers.config.accounts import duration
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY

MAX_LABEL = 200  # characters


def run(
    catalog: Annotated[
        str,
        typer.Argument(
            help="CSV, JSON Lines (both also .gz) or Parquet: a path, s3:// or https://. Or, with --source, a folder "
            "or a quoted pattern of pictures."
        ),
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="FACE", help="The face for every picture of the folder or pattern; may stand repeatedly."),
    ] = None,
    cross: Annotated[bool, typer.Option("--cross", help="Every source on every picture.")] = False,
    name: Annotated[
        str | None, typer.Option(help="The batch's name; the file's name without ending by default.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Account of rows that name neither account nor provider.")] = None,
    provider: Annotated[str | None, typer.Option(help="Provider of rows that name neither.")] = None,
    max_cost: Annotated[str | None, typer.Option(metavar="MONEY", help="Most money the batch may spend.")] = None,
    max_in_flight: Annotated[
        int | None, typer.Option(min=1, help="Most jobs of the batch at providers at the same time.")
    ] = None,
    require_consent: Annotated[
        bool, typer.Option(help="Refuse rows without a consent: the reference of the model's release.")
    ] = False,
    only: Annotated[list[Only] | None, typer.Option(help="Queue only these rows; may stand repeatedly.")] = None,
    retry_rejected: Annotated[bool, typer.Option(help="Try rows again that a provider refused.")] = False,
    label: Annotated[str | None, typer.Option(help="A word of yours for the batch.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=MIN_PRIORITY, max=MAX_PRIORITY, help="Higher ones go first; 0 by default.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Send nothing after 2h, 3d or 2026-01-31T18:00Z.")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="AGE", help='Remove the pictures of jobs that ended longer ago, such as "30d".'),
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
    narrowed: dict[str, Any] = {"only": only or (), "retry_rejected": retry_rejected, "max_in_flight": max_in_flight}
    terms = {**narrowed, "max_cost": money(max_cost), "label": label_of(label), "priority": priority}
    terms |= {"deadline": _moment(deadline), "keep_days": keep_days(keep)}
    if errors is not None:
        write_mistakes(errors, ())  # a place that cannot be written is told before anything is checked
    settings = choose(sandbox=sandbox)
    words = Words(catalog, sandbox)
    try:
        taken = take_in(
            _rows_of(catalog, source or [], cross=cross),
            accounts_of(settings, sandbox=sandbox),
            reach_of(settings, sandbox=sandbox),
            name=name,
            defaults=Defaults(account, provider, require_consent),
        )
    except BadRowsError as error:
        _tell_mistakes(error, errors, as_json=as_json)
        raise typer.Exit(Code.USAGE) from None
    with taken as intake:
        if dry_run:
            tell_plan(settings, intake, narrowed, sandbox=sandbox, as_json=as_json)
            return
        parts = Parts(web=sandbox or bool(settings.public_url), sandbox=sandbox)
        if no_wait:
            parts = Parts(worker=False, web=False)
        embedded = not is_external(sandbox=sandbox)
        if embedded and not as_json:
            complain(f"starting or joining the embedded stack in {settings.home}", style=Style.QUIET)
        with working(settings, parts, sandbox=sandbox) as (runtime, stack):
            if not yes:
                confirm(runtime, intake, narrowed, words)
            enqueued = enqueue(runtime, intake, **terms)
            if not as_json:
                tell_enqueued(enqueued, intake.rows, settings.currency)
            if no_wait:
                tell_no_wait(enqueued, words, embedded=embedded, as_json=as_json)
                return
            try:
                with display_for(settings.currency, as_json=as_json) as display:
                    watched = Watch(runtime, enqueued.name, display, stack).run()
            except KeyboardInterrupt:
                complain(interrupted(enqueued.name, words, goes_on=stack is None or not stack.owned))
                raise typer.Exit(Code.INTERRUPTED) from None
            summary = summarise(runtime, enqueued, watched)
    tell_summary(summary, settings, words, as_json=as_json)
    raise typer.Exit(summary.code)


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


def money(text: str | None) -> Decimal | None:
    """The sum of money that `--max-cost` names."""
    if text is None:
        return None
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        raise typer.BadParameter(f"{text!r} is no sum of money; write 12.50", param_hint="--max-cost")
    return value


def label_of(text: str | None) -> str | None:
    """The label that `--label` names."""
    if text is not None and (not text.strip() or len(text) > MAX_LABEL or not text.isprintable()):
        message = f"{text[:80]!r} is not allowed; allowed: 1 to {MAX_LABEL} printable characters"
        raise typer.BadParameter(message, param_hint="--label")
    return text.strip() if text else None


def _moment(text: str | None) -> datetime | None:
    """A point in time from now on: as a duration, or in ISO 8601, in UTC where no zone is named."""
    if text is None:
        return None
    now = datetime.now(UTC)
    try:
        try:
            found = now + timedelta(seconds=duration(text))
        except ValueError:
            found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        message = f"{text!r} is no point in time; write 2h, 3d or 2026-01-31T18:00Z"
        raise typer.BadParameter(message, param_hint="--deadline") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found <= now:
        raise typer.BadParameter(f"{text!r} has passed already", param_hint="--deadline")
    return found
