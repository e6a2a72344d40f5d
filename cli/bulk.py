"""`recast cancel`, `retry`, `pause`, `resume`, `reroute` and `reprioritise`: what people do to many jobs at once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Annotated, Any

import typer

from cli.environment import JsonOption, SandboxOption, looking
from cli.filters import Choice, chooses
from cli.output import Code, Style, complain, emit, priced, say, table
from models.states import JobState
from recast.money import Money
from workers.config.accounts import Account, AccountsError, duration
from workers.config.settings import Settings
from workers.engine.outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS
from workers.engine.runtime import Runtime
from workers.jobs.filters import Filter, ids_of
from workers.jobs.request import MAX_PRIORITY, MIN_PRIORITY
from workers.operations import bulk
from workers.operations.estimate import Line, at_most, promised

ASK_ABOVE_JOBS = 1_000  # more than this at once may be a slip
PROBLEMS_SHOWN = 5

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count jobs and money, change nothing.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask, however many jobs or however much money.")]


@dataclass(frozen=True, slots=True)
class _Weight:
    """What a lever is about to move."""

    ids: Sequence[str]
    #: What they may cost at most if each is submitted once; what those at providers cost already.
    lines: Sequence[Line]
    paid: Sequence[Line] = ()

    @property
    def cost(self) -> Decimal:
        """All of `lines`."""
        return sum((line.cost for line in self.lines), Decimal(0))


@chooses("state")
def cancel(
    choice: Choice,
    *,
    abandon: Annotated[
        bool,
        typer.Option(
            "--abandon", help="Also jobs at providers, and held ones: they are paid for, and their pictures dropped."
        ),
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Cancel queued jobs; those at providers are paid for, and finished unless they are abandoned."""
    choice.named()
    with looking(sandbox=sandbox) as runtime:
        which = choice.resolve(runtime)
        queued = runtime.db(ids_of, replace(which, states=bulk.CANCELABLE))
        others = runtime.db(ids_of, replace(which, states=bulk.ABANDONABLE)) if abandon else []
        paid = runtime.db(promised, Filter(ids=others)) if others else []
        weight = _Weight([*queued, *others], _at_most(runtime, queued), paid)
        _go(
            runtime, "cancel", weight, dry_run=dry_run, yes=yes, as_json=as_json,
            pull=lambda: (bulk.cancel(runtime, sorted(weight.ids), abandon=abandon), {}),
        )  # fmt: skip


@chooses()
def retry(
    choice: Choice,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Queue failed jobs again; rejected and canceled ones where --state names them.

    Each gets at least one more attempt, and keeps those it had: `recast show` tells them all.
    """
    choice.named()
    states = choice.which.states or [JobState.FAILED]
    if wrong := [state for state in states if state not in bulk.RETRYABLE]:
        raise typer.BadParameter(
            f"{wrong[0]} jobs cannot be retried; allowed: {', '.join(bulk.RETRYABLE)}", param_hint="--state"
        )
    with looking(sandbox=sandbox) as runtime:
        ids = runtime.db(bulk.retryable, replace(choice.resolve(runtime), states=states))
        weight = _Weight(ids, _at_most(runtime, ids))
        _go(
            runtime, "retry", weight, dry_run=dry_run, yes=yes, as_json=as_json,
            pull=lambda: (bulk.retry(runtime, ids), {}),
        )  # fmt: skip


@chooses("state")
def pause(
    choice: Choice,
    *,
    lasting: Annotated[
        str | None, typer.Option("--wait", help='How long to wait for what is being sent, such as "90s".')
    ] = None,
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send no more of these jobs, and return when what was being sent is settled.

    By --batch or --label alone, whole batches are paused, with what comes into them later. What providers have taken is
    finished. Accounts are paused by `recast accounts close`.
    """
    choice.named()
    try:
        seconds = None if lasting is None else duration(lasting)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--wait") from None
    with looking(sandbox=sandbox) as runtime:
        which = choice.resolve(runtime)
        ids = runtime.db(ids_of, replace(which, states=bulk.PAUSABLE))
        weight = _Weight(ids, _at_most(runtime, ids))

        def pull() -> tuple[int, dict[str, Any]]:
            paused = bulk.pause(runtime, which)
            wait = _patience(runtime) if seconds is None else seconds
            still = bulk.settle(runtime, paused.batches, wait, _Progress())
            more: dict[str, Any] = {"batches": len(paused.batches)} if paused.batches else {}
            return len(ids) if paused.batches else paused.jobs, {**more, "still_being_sent": dict(still)}

        done = _go(runtime, "pause", weight, dry_run=dry_run, yes=True, as_json=as_json, pull=pull)
    if still := done.get("still_being_sent"):
        told = ", ".join(f"{number} at {account}" for account, number in still.items())
        complain(f"still being sent: {told}; nothing else is. Pause again to wait longer", style=Style.BAD)
        raise typer.Exit(Code.JOBS_FAILED)


@chooses("state")
def resume(
    choice: Choice,
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let paused jobs be sent again; by --batch or --label alone, also the batches that are paused."""
    choice.named()
    with looking(sandbox=sandbox) as runtime:
        which = choice.resolve(runtime)
        ids = runtime.db(bulk.paused, which)
        weight = _Weight(ids, _at_most(runtime, ids))

        def pull() -> tuple[int, dict[str, Any]]:
            resumed = bulk.resume(runtime, which)
            return len(ids), {"batches": len(resumed.batches)} if resumed.batches else {}

        _go(runtime, "resume", weight, dry_run=dry_run, yes=yes, as_json=as_json, pull=pull)


@chooses("state")
def reroute(
    choice: Choice,
    *,
    to: Annotated[str, typer.Option(metavar="ACCOUNT", help="The account that is to take them.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Send queued jobs to another account, as far as it can do what they ask."""
    choice.named()
    with looking(sandbox=sandbox) as runtime:
        account = _account(runtime, to)
        ids = runtime.db(ids_of, replace(choice.resolve(runtime), states=[JobState.QUEUED]))
        possible = bulk.reroute(runtime, ids, account, dry_run=True)

        def pull() -> tuple[int, dict[str, Any]]:
            rerouted = bulk.reroute(runtime, possible.ids, account)
            return len(rerouted.ids), {"problems": dict(possible.problems)}

        weight = _Weight(possible.ids, possible.lines)
        _go(runtime, "reroute", weight, dry_run=dry_run, yes=yes, as_json=as_json, pull=pull)
    for problem, number in Counter(possible.problems).most_common(PROBLEMS_SHOWN):
        complain(f"{number:,} stay where they are: {problem}", style=Style.BAD)
    if possible.problems:
        raise typer.Exit(Code.JOBS_FAILED)


@chooses("state")
def reprioritise(
    choice: Choice,
    *,
    priority: Annotated[int, typer.Option(min=MIN_PRIORITY, max=MAX_PRIORITY, help="The higher goes first.")],
    dry_run: DryRunOption = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give queued jobs another priority among those of their batch."""
    choice.named()
    with looking(sandbox=sandbox) as runtime:
        ids = runtime.db(ids_of, replace(choice.resolve(runtime), states=[JobState.QUEUED]))
        _go(
            runtime, "reprioritise", _Weight(ids, _at_most(runtime, ids)), dry_run=dry_run, yes=True, as_json=as_json,
            pull=lambda: (bulk.reprioritise(runtime, ids, priority), {}),
        )  # fmt: skip


def _go(
    runtime: Runtime,
    verb: str,
    weight: _Weight,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    pull: Callable[[], tuple[int, dict[str, Any]]],
) -> dict[str, Any]:
    """Show what is to be moved, ask where that is much, pull the lever, and tell what became of it."""
    currency = runtime.settings.currency
    if not as_json:
        _show(weight, currency)
    if not dry_run:
        _ask(verb, weight, runtime.settings, yes=yes)
    done, more = (0, {}) if dry_run else pull()
    if as_json:
        emit(
            {
                "lever": verb, "dry_run": dry_run, "jobs": len(weight.ids), "done": done,
                "cost": Money(weight.cost, currency),
                "lines": priced([asdict(line) for line in weight.lines], currency),
                "paid": priced([asdict(line) for line in weight.paid], currency), **more,
            }
        )  # fmt: skip
    elif dry_run:
        say(f"{verb}: {len(weight.ids):,} jobs, {Money(weight.cost, currency)} at most; nothing was changed")
    else:
        batches = f" of {more['batches']} whole batches" if more.get("batches") else ""
        say(f"{verb}: done for {done:,} jobs{batches}", style=Style.GOOD)
    return more


def _show(weight: _Weight, currency: str) -> None:
    rows = [(line.account, line.operation, f"{line.jobs:,}", _price(line, currency)) for line in weight.lines]
    if rows:
        table(("account", "operation", "jobs", "at most"), rows, right=("jobs", "at most"))
    for line in weight.paid:
        say(f"at {line.account}: {line.jobs:,} jobs, {Money(line.cost, currency)} already promised")


def _price(line: Line, currency: str) -> str:
    return str(Money(line.cost, currency)) if line.priced else "no price"


def _ask(verb: str, weight: _Weight, settings: Settings, *, yes: bool) -> None:
    costly = settings.confirm_above is not None and weight.cost > settings.confirm_above
    if yes or not (costly or len(weight.ids) > ASK_ABOVE_JOBS):
        return
    much = f"{verb} {len(weight.ids):,} jobs, {Money(weight.cost, settings.currency)} at most"
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{much}: add --yes if that is meant, or --dry-run to look first")
    typer.confirm(f"{much}?", abort=True, err=True)


class _Progress:
    """Tells how much is still being sent, whenever that has changed."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, still: Counter[str]) -> None:
        if still.total() != self._last:
            self._last = still.total()
            complain(f"waiting for {self._last:,} submissions on their way ...", style=Style.QUIET)


def _patience(runtime: Runtime) -> float:
    """Seconds after which every submission has been answered, or judged by the sweep."""
    slowest = max((account.submit_timeout for account in runtime.accounts.values()), default=0.0)
    return WRITE_SECONDS + slowest + JUDGE_MARGIN_SECONDS + 2 * runtime.settings.sweep_every


def _at_most(runtime: Runtime, ids: Sequence[str]) -> list[Line]:
    return runtime.db(at_most, Filter(ids=ids), runtime.accounts) if ids else []


def _account(runtime: Runtime, name: str) -> Account:
    if name not in runtime.accounts:
        raise AccountsError(f"--to: account {name!r} is unknown; allowed: {', '.join(runtime.accounts)}")
    return runtime.accounts[name]
