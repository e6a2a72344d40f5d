"""`recast redo`: pictures are asked for again on purpose, as new versions of their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from cli import completion
from cli.answers import agree, amount
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption, is_external
from cli.exit_codes import ExitCode
from cli.filters import JobSelection, is_batch, takes_pictures
from cli.output import Style, complain, emit, say, table
from cli.reach import reach_of
from desk.actors import from_command
from desk.redo import check_limits, portions
from desk.redo import redo as begin
from desk.redo_plan import REDOABLE, Change, Plan, Terms, option_value, plan, redoable
from desk.selecting import require_reason
from recast.hints import hint
from recast.money import Money
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.filters import all_ids
from workers.operations.costs import Line


@takes_pictures()
def redo(
    selection: JobSelection,
    *,
    seed: Annotated[
        int | None, typer.Option(help="Another seed, where the operation has one: another picture.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Value of an option; NAME= removes it; can be given more than once."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ACCOUNT", help="Send them to this account.", autocompletion=completion.accounts),
    ] = None,
    to_operation: Annotated[
        str | None, typer.Option(metavar="OPERATION", help="Use this operation, for example zhiqite.swap.")
    ] = None,
    max_cost: Annotated[
        str | None, typer.Option(metavar="MONEY", help="Do nothing if it may cost more than this, repeats included.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show price and limits; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask for pictures again as new versions, which pays again.

    Name a batch, a batch and keys in it, or jobs. --account, --operation, --verdict, --reason and the other filters
    choose pictures; --seed, --options, --to and --to-operation say what is asked for otherwise. Each job keeps its
    picture until the new one is there.
    """
    selection.named()
    wrong = [state for state in selection.which.states or () if state not in REDOABLE]
    if wrong:
        allowed = ", ".join(REDOABLE)
        raise typer.BadParameter(f"{wrong[0]} jobs cannot be redone; allowed: {allowed}", param_hint="--state")
    change = Change(seed, _options(options or ()), to, to_operation)
    with open_deployment(sandbox=sandbox) as runtime:
        # In the sandbox, whatever sends the jobs serves their pictures as well, though nothing does so now.
        terms = Terms.of(runtime.settings, runtime.accounts, reach_of(runtime.settings, sandbox=sandbox))
        limit = amount(max_cost, terms.currency, "--max-cost")
        chosen = _chosen(runtime, selection)
        found = runtime.db(plan, chosen, change, terms)
        check_limits(found, terms, limit)
        if not as_json:
            _show(found, terms.currency)
        done = 0
        if not dry_run and found.jobs:
            _confirm(found, terms.currency, yes=yes)
            actor = from_command()
            for portion in portions(found):
                done += len(runtime.db(begin, actor, portion, change, terms).ids)
            wake(runtime, *map(submit_pump, runtime.accounts))
    if as_json:
        emit(found.document(terms.currency, done, dry_run=dry_run))
    else:
        _report(found, len(chosen), done, selection, dry_run=dry_run, embedded=not is_external(sandbox=sandbox))
    if found.left_out and not found.jobs:
        raise typer.Exit(ExitCode.JOBS_FAILED)


def _chosen(runtime: Runtime, selection: JobSelection) -> Sequence[str]:
    """The ids of the jobs: of the words, the first may name a batch, and the others keys in it."""
    words, which = selection.words, selection.which
    if len(words) > 1 and which.batch is None and runtime.db(is_batch, words[0]):
        words, which = tuple(f"{words[0]}/{key}" for key in words[1:]), replace(which, batch=words[0])
    which = JobSelection(words, which).resolve(runtime)
    found = runtime.db(all_ids, redoable(which))
    require_reason("--reason", which.fault, runtime.settings.review_reasons, found=bool(found))
    return found


def _options(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE, for example seed=7", param_hint="--options")
        found[name.strip()] = option_value(value) if value else None
    return found


def _show(found: Plan, currency: str) -> None:
    most = {(line.account, line.operation): line for line in found.most}
    rows = [
        (line.account, line.operation, f"{line.jobs:,}", *_prices(line, most[line.account, line.operation], currency))
        for line in found.lines
    ]
    if rows:
        headings = ("account", "operation", "pictures", "each", "in all", "at most")
        table(headings, rows, right=headings[2:])
    for cap in found.caps:
        spent, limit, left = (Money(amount, currency) for amount in (cap.spent, cap.limit, cap.left))
        tight = Style.WAITING if cap.left < found.at_most else Style.QUIET
        say(f"limit of {cap.of}: {limit}, {spent} spent, {left} left", style=tight)
    for why, number in found.left_out.items():
        complain(f"{number:,} left out: {why}", style=Style.BAD)


def _prices(line: Line, most: Line, currency: str) -> tuple[str, str, str]:
    if not line.priced:
        return "no price", "no price", "no price"
    each = Money(line.cost / line.jobs, currency)
    return str(each), str(Money(line.cost, currency)), str(Money(most.cost, currency))


def _confirm(found: Plan, currency: str, *, yes: bool) -> None:
    if yes:
        return
    cost, most = Money(found.cost, currency), Money(found.at_most, currency)
    much = f"redo {counted(len(found.jobs), 'picture')} for {cost}, {most} at most"
    agree(much, ", or --dry-run to only see it")


def _report(found: Plan, chosen: int, done: int, selection: JobSelection, *, dry_run: bool, embedded: bool) -> None:
    if not chosen:
        say("no picture fits", style=Style.WAITING)
        if selection.which.account or selection.which.operation:
            complain("--account and --operation choose pictures; --to and --to-operation say where they go")
        return
    if not found.jobs:
        return
    if dry_run:
        say(f"redo: {counted(len(found.jobs), 'picture')}; nothing was changed")
        return
    say(f"redoing {counted(done, 'picture')}; each job keeps its picture until the new one is there", style=Style.GOOD)
    if done < len(found.jobs):
        complain(f"{len(found.jobs) - done:,} moved meanwhile and were left alone", style=Style.WAITING)
    if done and embedded:
        complain(f"they are sent while {hint('up')} runs", style=Style.QUIET)
