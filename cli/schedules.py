"""`recast schedule`: catalogs that run at planned times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from catalog.intake import take_in
from catalog.origin import OtherPlaceError, elsewhere, normalized
from cli.answers import option_of
from cli.deployment import open_deployment, running_deployment
from cli.environment import JsonOption, SandboxOption, choose, is_external
from cli.output import Style, answer, complain, duration, emit, moment, priced, say, table
from cli.reach import accounts_of, reach_of
from cli.recorded import record, recorded
from cli.run_options import GivenOptions, takes_run_options
from cli.stack import Parts
from models.schedules import CatchUp, Overlap, RunState
from recast.hints import hint
from recast.money import Money
from reports.documents import of_schedule
from workers.config.units import duration as seconds_of
from workers.schedules import service
from workers.schedules.cron import CronSchedule
from workers.schedules.service import Agreement, Run, ScheduleStatus
from workers.schedules.tick import database_clock, start

TIMES = 5  # planned times to show
LISTED_RUNS = 10

schedules = typer.Typer(help="Run catalogs at planned times.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Name of the schedule, as in `recast schedule list`.")
]
TimesOption = Annotated[int, typer.Option(min=1, max=1_000, help="How many of the next planned times to show.")]


@schedules.command()
@recorded("schedule add")
@takes_run_options("each run", "pilot")
def add(
    given: GivenOptions,
    name: Annotated[str, typer.Argument(help="Name of the schedule and of its batch.")],
    catalog: Annotated[str, typer.Argument(help="Catalog, as for `recast run`; each run reads it again.")],
    *,
    cron: Annotated[
        str, typer.Option(help="Minute, hour, day of month, month, day of week, for example '30 2 * * MON-FRI'.")
    ],
    zone: Annotated[str, typer.Option(help="Time zone of --cron, for example Europe/Berlin.")] = "UTC",
    overlap: Annotated[
        Overlap, typer.Option(help="If the previous run has not ended: skip, wait for it, or cancel its queued jobs.")
    ] = Overlap.SKIP,
    catch_up: Annotated[
        CatchUp,
        typer.Option(help="Which times to run later if they passed while no beat ran: none, the latest, or all."),
    ] = CatchUp.LATEST,
    window: Annotated[str, typer.Option(help="Oldest time that --catch-up all runs later.")] = "1day",
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the schedule of this name; it keeps its history.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Check the catalog now; --no-check if it does not exist yet.")] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the next times; add nothing.")
    ] = False,
    times: TimesOption = TIMES,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a schedule. Each run queues new, changed and failed rows, as `recast run` does."""
    settings = choose(sandbox=sandbox)
    options = given.resolve(settings)
    place = catalog if "://" in catalog else str(Path(catalog).absolute())
    wanted = Agreement(name, place, CronSchedule(cron, zone), overlap, catch_up, _window(window), options)
    if check:
        accounts, reach = accounts_of(settings, sandbox=sandbox), reach_of(settings, sandbox=sandbox)
        with take_in(place, accounts, reach, name=name, options=options) as intake:
            intake.require_prices(options)
    if dry_run:
        _print_times(wanted.cron_schedule, datetime.now(UTC), times, as_json=as_json)
        return
    with running_deployment(settings, Parts(worker=False, web=False), sandbox=sandbox, sends=False) as (runtime, _):
        places = runtime.db(elsewhere, name, normalized(place))
        if check and places is not None and not (options.moved or options.fresh):
            raise OtherPlaceError(name, places)
        status = runtime.db(service.add, wanted, replace=replace)
        record(runtime)
    _print(status, "added", settings.currency, as_json=as_json)
    if not as_json and not is_external(sandbox=sandbox):
        complain(f"it runs while {hint('up')} runs", style=Style.QUIET)


@schedules.command(name="list")
def list_(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """List all schedules, with their next and latest runs."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = runtime.db(service.everything)
        currency = runtime.settings.currency
    if as_json:
        emit([of_schedule(status, currency) for status in found])
        return
    table(
        ("schedule", "cron", "zone", "next (UTC)", "latest (UTC)", "latest run", "catalog"),
        [
            (
                each.name, each.cron, each.zone, moment(each.next_at) or "paused",
                moment(each.last.planned_at) if each.last else "", each.last.state if each.last else "", each.catalog,
            )
            for each in found
        ],
    )  # fmt: skip


@schedules.command()
def show(
    name: NameArgument, *, times: TimesOption = TIMES, sandbox: SandboxOption = False, as_json: JsonOption = False
) -> None:
    """Show one schedule: its options, next times and latest runs."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = runtime.db(service.find, name)
        now = runtime.db(database_clock)
        runs = runtime.db(service.history, name, LISTED_RUNS)
        currency = runtime.settings.currency
    planned = (
        list(islice(CronSchedule(found.cron, found.zone, kept=True).after(now), times))
        if found.paused_at is None
        else []
    )
    if as_json:
        more = {"next_times": planned, "runs": priced([asdict(run) for run in runs], currency)}
        emit({**of_schedule(found, currency), **more})
        return
    say(f"{found.name}: {found.catalog}", style="bold")
    say(f"  {found.cron} in {found.zone}; overlap: {found.overlap}; catch-up: {_catch_up(found)}")
    if options := [
        _option_text(option, getattr(found.options, option), currency) for option in found.options.document()
    ]:
        say(f"  {', '.join(options)}")
    if found.paused_at is not None:
        say(f"  paused since {moment(found.paused_at)} UTC; next: {hint('schedule resume', name)}", style=Style.WAITING)
    _print_moments(planned, found.zone)
    _print_runs(runs, currency)


@schedules.command()
def history(
    name: NameArgument,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 50,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List a schedule's runs, newest first, with their results and costs."""
    with open_deployment(sandbox=sandbox) as runtime:
        runtime.db(service.find, name)
        runs = runtime.db(service.history, name, limit)
        currency = runtime.settings.currency
    if as_json:
        emit(priced([asdict(run) for run in runs], currency))
    else:
        _print_runs(runs, currency)


@schedules.command()
@recorded("schedule pause")
def pause(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Pause a schedule. Times that pass meanwhile are not run later; jobs that are queued continue."""
    with open_deployment(sandbox=sandbox) as runtime:
        status = runtime.db(service.pause, name)
        currency = runtime.settings.currency
    _print(status, "paused", currency, as_json=as_json)


@schedules.command()
@recorded("schedule resume")
def resume(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Resume a paused schedule, from its next planned time."""
    with open_deployment(sandbox=sandbox) as runtime:
        status = runtime.db(service.resume, name)
        currency = runtime.settings.currency
    _print(status, "resumed", currency, as_json=as_json)


@schedules.command()
@recorded("schedule run")
def run(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Run a schedule now, even if it is paused. If a run has not ended, --overlap decides."""
    with open_deployment(sandbox=sandbox) as runtime:
        run_id = runtime.db(service.run_now, name).id
        start(run_id)
    if as_json:
        emit({"schedule": name, "run": run_id})
        return
    say(f"{name}: a run is due now; {hint('schedule history', name)} shows its result")
    if not is_external(sandbox=sandbox):
        complain(f"it starts while {hint('up')} runs", style=Style.QUIET)


@schedules.command()
@recorded("schedule remove")
def remove(name: NameArgument, *, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Remove a schedule and its history. Its batches stay, and their jobs continue."""
    with open_deployment(sandbox=sandbox) as runtime:
        runtime.db(service.remove, name)
    cancel = hint("cancel", batch=name)
    said = f"{name}: removed; its batches stay, and their jobs continue ({cancel} cancels them)"
    answer(said, {"removed": name}, as_json=as_json)


def _window(text: str) -> int:
    try:
        return int(seconds_of(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--window") from None


def _option_text(option: str, value: object, currency: str) -> str:
    name = option_of(option).removeprefix("--")
    if value is True:
        return name
    if isinstance(value, Decimal):
        return f"{name}: {Money(value, currency)}"
    if isinstance(value, timedelta):
        return f"{name}: {duration(value.total_seconds())}"
    return f"{name}: {' and '.join(value) if isinstance(value, tuple) else value}"


def _catch_up(found: ScheduleStatus) -> str:
    return f"all within {duration(found.catch_up_seconds)}" if found.catch_up == CatchUp.ALL else found.catch_up


def _print(status: ScheduleStatus, what: str, currency: str, *, as_json: bool) -> None:
    if as_json:
        emit(of_schedule(status, currency))
    elif status.next_at is None:
        say(f"{status.name}: {what}; next: {hint('schedule resume', status.name)}")
    else:
        local = status.next_at.astimezone(CronSchedule(status.cron, status.zone, kept=True).local)
        say(f"{status.name}: {what}; next at {local:%Y-%m-%d %H:%M %Z} ({moment(status.next_at)} UTC)")


def _print_times(cron_schedule: CronSchedule, now: datetime, times: int, *, as_json: bool) -> None:
    planned = list(islice(cron_schedule.after(now), times))
    if as_json:
        emit([{"utc": each, "local": each.astimezone(cron_schedule.local)} for each in planned])
        return
    say("the schedule is valid; nothing was added; it would run at")
    _print_moments(planned, cron_schedule.zone)


def _print_moments(planned: Sequence[datetime], zone: str) -> None:
    local = CronSchedule("* * * * *", zone).local
    for each in planned:
        say(f"  {each.astimezone(local):%a %Y-%m-%d %H:%M %Z}   {moment(each)} UTC")


def _print_runs(runs: Sequence[Run], currency: str) -> None:
    table(
        ("planned (UTC)", "run", "took", "rows", "jobs", "cost", "note"),
        [
            (
                moment(run.planned_at) + (" by hand" if run.by_hand else ""), run.state, _took(run),
                _counted(run.enqueued), _counted(run.outcome),
                Money(run.cost, currency) if run.cost is not None else "", _note(run),
            )
            for run in runs
        ],
    )  # fmt: skip


def _took(run: Run) -> str:
    if run.started_at is None or run.state == RunState.RUNNING:
        return ""
    assert run.finished_at is not None
    return duration((run.finished_at - run.started_at).total_seconds())


def _counted(numbers: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{number:,} {word.replace('_', ' ')}" for word, number in (numbers or {}).items())


def _note(run: Run) -> str:
    missed = f"{run.missed:,} earlier {'time was' if run.missed == 1 else 'times were'} missed" if run.missed else ""
    return "; ".join(filter(None, (run.note, missed)))
