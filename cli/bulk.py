"""Bulk operations: `recast cancel`, `retry`, `pause`, `resume`, `reroute` and `set-priority`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Annotated, Any

import typer

from cli.environment import JsonOption, SandboxOption, open_deployment
from cli.exit_codes import ExitCode
from cli.filters import JobSelection, takes_selection
from cli.output import Style, complain, emit, priced, say, table
from models.states import JobState
from recast.money import Money
from workers.config.accounts import Account, AccountsError
from workers.config.settings import Settings
from workers.config.units import duration
from workers.engine.outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter, ids_of
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY
from workers.operations import bulk
from workers.operations.estimate import Line, at_most, promised
from workers.operations.redownload import downloadable

CONFIRM_ABOVE_JOBS = 1_000  # more than this at once may be a mistake
PROBLEMS_SHOWN = 5

#: What each operation reports when it is done.
DONE = {
    "cancel": "canceled", "retry": "queued again", "pause": "paused", "resume": "resumed", "reroute": "rerouted",
    "set-priority": "set the priority of", "redownload": "downloading again",
}  # fmt: skip

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count jobs and money; change nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask, however many jobs and however much money.")]


@dataclass(frozen=True, slots=True)
class Impact:
    """The jobs that an operation is about to change, and their cost."""

    ids: Sequence[str]
    #: The most the queued jobs can cost, with every attempt that may be paid; what the jobs at providers cost already.
    lines: Sequence[Line]
    paid: Sequence[Line] = ()
    #: How many of the jobs were paid for, and could be downloaded again for nothing, by which command.
    free: int = 0
    instead: str = ""

    @property
    def cost(self) -> Decimal:
        """The sum of `lines`."""
        return sum((line.cost for line in self.lines), Decimal(0))


@takes_selection("state")
def cancel(
    selection: JobSelection,
    *,
    abandon: Annotated[
        bool,
        typer.Option(
            "--abandon",
            help="Also cancel jobs at providers and held jobs. They stay paid, and their pictures are dropped.",
        ),
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel queued jobs. Jobs at providers are paid for and finish, unless --abandon is given."""
    selection.named()
    with open_deployment(sandbox=sandbox) as runtime:
        which = selection.resolve(runtime)
        queued = runtime.db(ids_of, replace(which, states=bulk.CANCELABLE))
        others = runtime.db(ids_of, replace(which, states=bulk.ABANDONABLE)) if abandon else []
        paid = runtime.db(promised, Filter(ids=others)) if others else []
        impact = Impact([*queued, *others], _at_most(runtime, queued), paid)
        execute(
            runtime, "cancel", impact, dry_run=dry_run, yes=yes, as_json=as_json,
            apply=lambda: (bulk.cancel(runtime, sorted(impact.ids), abandon=abandon), {}),
        )  # fmt: skip


@takes_selection()
def retry(
    selection: JobSelection,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Queue failed jobs again, which pays again. Rejected and canceled jobs are queued only if --state names them.

    Each job gets at least one more attempt and keeps its earlier ones, which `recast show` lists. Results that were
    paid for and not obtained can be downloaded again at no cost with `recast redownload`.
    """
    selection.named()
    states = selection.which.states or [JobState.FAILED]
    if wrong := [state for state in states if state not in bulk.RETRYABLE]:
        raise typer.BadParameter(
            f"{wrong[0]} jobs cannot be retried; allowed: {', '.join(bulk.RETRYABLE)}", param_hint="--state"
        )
    with open_deployment(sandbox=sandbox) as runtime:
        ids = runtime.db(bulk.retryable, replace(selection.resolve(runtime), states=states))
        free = len(runtime.db(downloadable, Filter(ids=ids))) if ids else 0
        instead = f"recast redownload {selection.typed}{' --sandbox' if sandbox else ''}"
        impact = Impact(ids, _at_most(runtime, ids), free=free, instead=instead)
        execute(
            runtime, "retry", impact, dry_run=dry_run, yes=yes, as_json=as_json,
            apply=lambda: (bulk.retry(runtime, ids), {}),
        )  # fmt: skip


@takes_selection("state")
def pause(
    selection: JobSelection,
    *,
    lasting: Annotated[
        str | None, typer.Option("--wait", help="How long to wait for submissions in flight, for example 90s.")
    ] = None,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop sending jobs, and wait for submissions in flight.

    With --batch or --label alone, pause whole batches, with jobs that are added later. Jobs that providers have
    accepted are finished. To stop an account, use `recast accounts stop`.
    """
    selection.named()
    try:
        seconds = None if lasting is None else duration(lasting)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    with open_deployment(sandbox=sandbox) as runtime:
        which = selection.resolve(runtime)
        ids = runtime.db(ids_of, replace(which, states=bulk.PAUSABLE))
        impact = Impact(ids, _at_most(runtime, ids))

        def apply() -> tuple[int, dict[str, Any]]:
            paused = bulk.pause(runtime, which)
            wait = _settle_seconds(runtime) if seconds is None else seconds
            still = bulk.settle(runtime, paused.batches, wait, _Progress())
            more: dict[str, Any] = {"batches": len(paused.batches)} if paused.batches else {}
            return len(ids) if paused.batches else paused.jobs, {**more, "still_being_sent": dict(still)}

        done = execute(
            runtime, "pause", impact, dry_run=dry_run, yes=True, as_json=as_json, apply=apply, batch=which.batch
        )
    if still := done.get("still_being_sent"):
        listed = ", ".join(f"{number} at {account}" for account, number in still.items())
        complain(f"still in flight: {listed}; nothing else is sent; to wait longer, pause again", style=Style.BAD)
        raise typer.Exit(ExitCode.JOBS_FAILED)


@takes_selection("state")
def resume(
    selection: JobSelection,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send paused jobs again. With --batch or --label alone, also resume paused batches."""
    selection.named()
    with open_deployment(sandbox=sandbox) as runtime:
        which = selection.resolve(runtime)
        ids = runtime.db(bulk.paused, which)
        impact = Impact(ids, _at_most(runtime, ids))

        def apply() -> tuple[int, dict[str, Any]]:
            resumed = bulk.resume(runtime, which)
            return len(ids), {"batches": len(resumed.batches)} if resumed.batches else {}

        execute(runtime, "resume", impact, dry_run=dry_run, yes=yes, as_json=as_json, apply=apply, batch=which.batch)


@takes_selection("state")
def reroute(
    selection: JobSelection,
    *,
    to: Annotated[str, typer.Option(metavar="ACCOUNT", help="Account to send the jobs to.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send queued jobs to another account. Jobs that it does not support stay where they are."""
    selection.named()
    with open_deployment(sandbox=sandbox) as runtime:
        account = _account(runtime, to)
        ids = runtime.db(ids_of, replace(selection.resolve(runtime), states=[JobState.QUEUED]))
        possible = bulk.reroute(runtime, ids, account, dry_run=True)

        def apply() -> tuple[int, dict[str, Any]]:
            rerouted = bulk.reroute(runtime, possible.ids, account)
            return len(rerouted.ids), {"problems": dict(possible.problems)}

        impact = Impact(possible.ids, possible.lines)
        execute(runtime, "reroute", impact, dry_run=dry_run, yes=yes, as_json=as_json, apply=apply)
    for problem, number in Counter(possible.problems).most_common(PROBLEMS_SHOWN):
        complain(f"{number:,} not rerouted: {problem}", style=Style.BAD)
    if possible.problems:
        raise typer.Exit(ExitCode.JOBS_FAILED)


@takes_selection("state")
def set_priority(
    selection: JobSelection,
    *,
    priority: Annotated[int, typer.Option(min=MIN_PRIORITY, max=MAX_PRIORITY, help="Jobs with a higher one go first.")],
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Set the priority of queued jobs within their batch."""
    selection.named()
    with open_deployment(sandbox=sandbox) as runtime:
        ids = runtime.db(ids_of, replace(selection.resolve(runtime), states=[JobState.QUEUED]))
        execute(
            runtime, "set-priority", Impact(ids, _at_most(runtime, ids)), dry_run=dry_run, yes=True, as_json=as_json,
            apply=lambda: (bulk.set_priority(runtime, ids, priority), {}),
        )  # fmt: skip


def execute(
    runtime: Runtime,
    verb: str,
    impact: Impact,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    apply: Callable[[], tuple[int, dict[str, Any]]],
    batch: str | None = None,
) -> dict[str, Any]:
    """Show what is about to change, ask before a large change, make it with `apply`, and report it.

    Args:
        runtime: the deployment.
        verb: the command.
        impact: what is about to change.
        dry_run: stop after showing it.
        yes: do not ask.
        as_json: print one JSON document.
        apply: makes the change; returns the number of jobs, and more fields for JSON.
        batch: name of the batch, where one was selected.

    Returns:
        What `apply` reports besides the number of jobs.
    """
    currency = runtime.settings.currency
    if not as_json:
        _show(impact, currency)
    if not dry_run:
        _confirm(verb, impact, runtime.settings, yes=yes)
    done, more = (0, {}) if dry_run else apply()
    if as_json:
        emit(
            {
                "lever": verb, "dry_run": dry_run, "jobs": len(impact.ids), "done": done,
                "cost": Money(impact.cost, currency),
                "lines": priced([asdict(line) for line in impact.lines], currency),
                "paid": priced([asdict(line) for line in impact.paid], currency),
                "downloadable": impact.free, **more,
            }
        )  # fmt: skip
    elif dry_run:
        say(f"{verb}: {len(impact.ids):,} jobs, {Money(impact.cost, currency)} at most; nothing was changed")
    else:
        whole = f"batch {batch}" if batch is not None else f"whole batches: {more.get('batches')}"
        what = f"{whole}; {done:,} queued jobs" if "batches" in more else f"{done:,} jobs"
        say(f"{DONE[verb]} {what}", style=Style.GOOD)
    return more


def _show(impact: Impact, currency: str) -> None:
    rows = [(line.account, line.operation, f"{line.jobs:,}", _price(line, currency)) for line in impact.lines]
    if rows:
        table(("account", "operation", "jobs", "at most"), rows, right=("jobs", "at most"))
    for line in impact.paid:
        say(f"at {line.account}: {line.jobs:,} jobs, {Money(line.cost, currency)} already committed")

    if impact.free:
        say(_for_nothing(impact), style=Style.WAITING)


def _for_nothing(impact: Impact) -> str:
    return f"{impact.free:,} of them were paid for: `{impact.instead}` downloads these again at no cost"


def _price(line: Line, currency: str) -> str:
    return str(Money(line.cost, currency)) if line.priced else "no price"


def _confirm(verb: str, impact: Impact, settings: Settings, *, yes: bool) -> None:
    costly = settings.confirm_above is not None and impact.cost > settings.confirm_above
    if yes or not (costly or len(impact.ids) > CONFIRM_ABOVE_JOBS):
        return
    much = f"{verb} {len(impact.ids):,} jobs, {Money(impact.cost, settings.currency)} at most"
    if impact.free:
        much += f" ({_for_nothing(impact)})"
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{much}: add --yes to confirm, or --dry-run to only count")
    typer.confirm(f"{much}?", abort=True, err=True)


class _Progress:
    """Prints how many submissions are in flight, whenever the number has changed."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, still: Counter[str]) -> None:
        if still.total() != self._last:
            self._last = still.total()
            complain(f"waiting for {self._last:,} submissions in flight ...", style=Style.QUIET)


def _settle_seconds(runtime: Runtime) -> float:
    """Seconds after which each submission is answered, or marked by the sweep."""
    slowest = max((account.submit_timeout for account in runtime.accounts.values()), default=0.0)
    return WRITE_SECONDS + slowest + JUDGE_MARGIN_SECONDS + 2 * runtime.settings.sweep_every


def _at_most(runtime: Runtime, ids: Sequence[str]) -> list[Line]:
    paid_attempts = runtime.settings.tries.paid
    return runtime.db(at_most, Filter(ids=ids), runtime.accounts, paid_attempts) if ids else []


def _account(runtime: Runtime, name: str) -> Account:
    if name not in runtime.accounts:
        raise AccountsError(f"--to: {name!r} is not an account; allowed: {', '.join(runtime.accounts)}")
    return runtime.accounts[name]
