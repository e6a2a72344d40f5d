"""`recast pilot`: what the sample of a batch says of the rest, and whether the rest is sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer

from cli import completion
from cli.answers import agree
from cli.bulk import higher_limit
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption, is_external
from cli.output import Style, complain, emit, say
from desk import pilot_quotes
from desk.actors import from_command
from desk.pilot import go_on as send
from desk.pilot import stop as end
from recast.hints import hint
from recast.money import Money
from reports.batch import BatchReport, find
from reports.pilot import PilotReport, document
from workers.counted import counted


def pilot(
    batch: Annotated[str, typer.Argument(help="Name of the batch.", autocompletion=completion.batches)],
    *,
    go_on: Annotated[bool, typer.Option("--go-on", help="Send the rest.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Cancel the rest; it costs nothing.")] = False,
    max_cost: Annotated[
        str | None, typer.Option(metavar="MONEY", help="With --go-on: a new spending limit of the batch.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a sample says of the rest; send or cancel it.

    `recast run --pilot 1%` sends a sample of each folder and operation, and lets the rest wait, unsent and unpaid.
    """
    if go_on and stop:
        raise typer.BadParameter("choose one of them", param_hint="--go-on / --stop")
    if max_cost is not None and not go_on:
        raise typer.BadParameter("it is a limit for the rest; use it with --go-on", param_hint="--max-cost")
    with open_deployment(sandbox=sandbox) as runtime:
        report = runtime.db(find, batch)
        found = pilot_quotes.read(runtime, report)
        currency, done = runtime.settings.currency, 0
        limit = higher_limit(runtime, batch, max_cost)
        if not as_json:
            _print(report, found, currency)
        if go_on or stop:
            _confirm(found, currency, go_on=go_on, yes=yes)
            agreed, actor = pilot_quotes.as_shown(runtime, report, found), from_command()
            if go_on:
                done = send(runtime, actor, report, limit, agreed=agreed)
            else:
                done = end(runtime, actor, report, agreed=agreed)
    if as_json:
        emit({**document(report.name, found, currency), "done": done})
    elif go_on:
        say(f"{counted(done, 'job', 'are')} sent", style=Style.GOOD)
        if done and not is_external(sandbox=sandbox):
            complain(f"jobs are sent while {hint('up')} runs", style=Style.QUIET)
    elif stop:
        say(f"canceled {counted(done, 'job')}; nothing was paid for them", style=Style.GOOD)


def _print(report: BatchReport, found: PilotReport, currency: str) -> None:
    def money(amount: Decimal) -> Money:
        return Money(amount, currency)

    say(
        f"{report.name}: a pilot of {found.size}: {counted(found.sample, 'job')}, {money(found.spent)} spent",
        style="bold",
    )
    further = ((found.held, "held"), (found.open, "under way"))
    more = "".join(f", {number:,} {word}" for number, word in further if number)
    say(f"  {found.made:,} made, {found.failed:,} failed{more}")
    say(f"  {found.approved:,} approved, {found.needs_work:,} need work, {found.unreviewed:,} unreviewed")
    if not found.waiting:
        say("  no job waits", style=Style.QUIET)
    else:
        rest = found.rest
        say(f"  {counted(found.waiting, 'job', 'wait')}, unsent")
        say(f"  they would cost {money(rest.low)} to {money(rest.at_most)}, likely {money(rest.likely)}")
        if not rest.priced:
            say("  some operations have no price, so that they may cost more", style=Style.WAITING)
        say(f"  {_accepted(found)}")
    if found.decision is not None:
        say(f"  decided by {found.decided_by}: {found.decision.replace('_', ' ')}", style=Style.QUIET)
    elif found.waiting:
        after, before = hint("pilot", report.name, go_on=True), hint("pilot", report.name, stop=True)
        say(f"  {after} sends them, {before} cancels them")


def _accepted(found: PilotReport) -> str:
    said = found.accepted
    if said.likely is None:
        return "how many would be accepted is not known: the sample has no verdicts yet"
    return (
        f"about {said.likely:,} of them would be accepted; {said.low:,} to {said.high:,} with 95 % confidence, of "
        f"{said.decided:,} decided"
    )


def _confirm(found: PilotReport, currency: str, *, go_on: bool, yes: bool) -> None:
    if yes or not found.waiting:
        return
    what = f"send {counted(found.waiting, 'job')}, {Money(found.rest.at_most, currency)} at most"
    question = what if go_on else f"cancel {counted(found.waiting, 'job')}"
    agree(question)
