"""Bulk operations: `recast cancel`, `retry`, `pause`, `resume`, `reroute` and `set-priority`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

import typer

from cli import completion
from cli.answers import named_options
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption, is_external
from cli.exit_codes import ExitCode
from cli.filters import JobSelection, takes_selection
from cli.impact import execute
from cli.output import Style, complain, emit
from desk import bulk_operations, limits
from desk.bulk_operations import BulkOperation
from models.states import JobState
from recast.hints import hint
from recast.money import plain
from reports.batch import BatchReport, find
from reports.obstacles import spent_limit
from workers.config.account_values import AccountsError
from workers.config.accounts import Account
from workers.config.units import duration
from workers.engine.locate_outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS
from workers.engine.runtime import Runtime
from workers.jobs.filters import ids_of
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY
from workers.operations import bulk

PROBLEMS_SHOWN = 5

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count jobs and money; change nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask, however many jobs and however much money.")]


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
        impact = bulk_operations.impact(runtime, BulkOperation.CANCEL, which, abandon=abandon)
        execute(
            runtime, "cancel", impact, dry_run=dry_run, yes=yes, as_json=as_json,
            apply=lambda: (bulk.cancel(runtime, impact.ids, abandon=abandon), {}),
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
    with named_options():
        bulk_operations.retryable_states(selection.which)
    with open_deployment(sandbox=sandbox) as runtime:
        impact = bulk_operations.retryable(runtime, selection.resolve(runtime))
        instead = hint("redownload", *selection.words, **selection.options)
        execute(
            runtime, "retry", impact, dry_run=dry_run, yes=yes, as_json=as_json, instead=instead,
            apply=lambda: (bulk.retry(runtime, impact.ended), {}),
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

    A batch or --label alone pauses whole batches, with jobs that are added later. Jobs that providers have
    accepted are finished. To pause an account, use `recast accounts pause`.
    """
    selection.named()
    try:
        seconds = None if lasting is None else duration(lasting)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    with open_deployment(sandbox=sandbox) as runtime:
        which = selection.resolve(runtime)
        impact = bulk_operations.impact(runtime, BulkOperation.PAUSE, which)

        def apply() -> tuple[int, dict[str, Any]]:
            paused = bulk.pause(runtime, which)
            wait = _settle_seconds(runtime) if seconds is None else seconds
            still = bulk.settle(runtime, paused.batches, wait, _Progress())
            more: dict[str, Any] = {"batches": len(paused.batches)} if paused.batches else {}
            return len(impact.ids) if paused.batches else paused.jobs, {**more, "still_being_sent": dict(still)}

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
    max_cost: Annotated[
        str | None,
        typer.Option(
            metavar="MONEY", help="New spending limit of the batch, for example 12.50, if the old one is spent."
        ),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send paused jobs again. A batch or --label alone also resumes paused batches.

    A batch that has spent its limit continues only with a higher one: --max-cost.
    """
    selection.named()
    with open_deployment(sandbox=sandbox) as runtime:
        which = selection.resolve(runtime)
        if max_cost is not None and (set(which.named) != {"batch"} or which.singles):
            raise typer.BadParameter("the spending limit is that of one batch; name it", param_hint="--max-cost")
        limit = higher_limit(runtime, str(which.batch), max_cost)
        spent = [] if limit is not None else [runtime.db(find, name) for name in runtime.db(bulk.spent_batches, which)]
        ids = [] if which.batch is not None and spent else runtime.db(bulk.paused, which)
        impact = bulk_operations.Impact(ids, bulk_operations.at_most_of(runtime, ids))

        def apply() -> tuple[int, dict[str, Any]]:
            if limit is not None:
                runtime.db(bulk.raise_limit, str(which.batch), limit)
            resumed = bulk.resume(runtime, which)
            batches = len(resumed.batches) + (limit is not None)
            more: dict[str, Any] = {"batches": batches} if batches else {}
            return len(ids), {**more, **({"need_a_limit": bulk_operations.needed(runtime, spent)} if spent else {})}

        if ids or not spent:
            execute(
                runtime, "resume", impact, dry_run=dry_run, yes=yes, as_json=as_json, apply=apply, batch=which.batch
            )  # fmt: skip
            if ids and not (dry_run or as_json or is_external(sandbox=sandbox)):
                complain(f"they are sent while {hint('up')} runs", style=Style.QUIET)
        elif as_json:
            emit(
                {
                    "bulk_operation": "resume",
                    "dry_run": dry_run,
                    "jobs": 0,
                    "done": 0,
                    "need_a_limit": bulk_operations.needed(runtime, spent),
                }
            )
        _require_limits(runtime, spent)


@takes_selection("state")
def reroute(
    selection: JobSelection,
    *,
    to: Annotated[
        str, typer.Option(metavar="ACCOUNT", help="Account to send the jobs to.", autocompletion=completion.accounts)
    ],
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

        impact = bulk_operations.Impact(possible.ids, possible.lines)
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
        impact = bulk_operations.Impact(ids, bulk_operations.at_most_of(runtime, ids))
        execute(
            runtime, "set-priority", impact, dry_run=dry_run, yes=True, as_json=as_json,
            apply=lambda: (bulk.set_priority(runtime, ids, priority), {}),
        )  # fmt: skip


def higher_limit(runtime: Runtime, batch: str, given: str | None) -> Decimal | None:
    """A new spending limit that pays for something; None where none was given.

    Raises:
        typer.BadParameter: it is not an amount, or the batch has spent as much already.
    """
    if given is None:
        return None
    with named_options():
        return limits.higher_limit(given, runtime.db(find, batch), runtime.settings.currency).amount


def _require_limits(runtime: Runtime, reports: Sequence[BatchReport]) -> None:
    """Say which batches have spent their limits, and what each needs to continue.

    Raises:
        typer.Exit: there are such batches.
    """
    for report in reports:
        need = runtime.db(spent_limit, report, runtime.accounts)
        if need is not None:
            raised = hint("resume", batch=report.name, max_cost=plain(need.needed))
            complain(f"{report.name}: not resumed: {need.text(runtime.settings.currency)}: {raised}", style=Style.BAD)
    if reports:
        raise typer.Exit(ExitCode.PERSON)


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


def _account(runtime: Runtime, name: str) -> Account:
    if name not in runtime.accounts:
        raise AccountsError(f"--to: {name!r} is not an account; allowed: {', '.join(runtime.accounts)}")
    return runtime.accounts[name]
