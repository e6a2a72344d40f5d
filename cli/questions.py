"""The questions of `recast run`: asked at a terminal, and refused without one, before anything is enqueued."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import typer

from catalog.enqueue import other_place
from catalog.errors import SamePictureError
from catalog.intake import Intake
from catalog.origin import OtherPlaceError
from catalog.plan import plan
from cli.exit_codes import ExitCode
from cli.hints import CommandLine
from cli.output import Style, complain, emit
from cli.plan import print_found
from recast.money import Money
from workers.accounts.overrides import in_force
from workers.counted import counted
from workers.engine.runtime import Runtime
from workers.jobs.run_options import RunOptions


def confirm(runtime: Runtime, intake: Intake, options: RunOptions, command: CommandLine) -> None:
    """Ask before a run that may cost more than RECAST_CONFIRM_ABOVE, or whose cost is not known.

    Raises:
        typer.Exit: the answer is no, or standard input is not a terminal.
    """
    limit = runtime.settings.confirm_above
    intake.price_at(runtime.db(in_force, runtime.accounts))
    costs = intake.costs
    most = costs.dearest * runtime.settings.tries.paid
    if limit is None or (most <= limit and not costs.unpriced):
        return
    found = plan(runtime, intake, options)
    if not found.queued or (found.sent_at_most <= limit and not found.unpriced):
        return
    currency = runtime.settings.currency
    print_found(found, intake.name, currency, say=complain)
    least = str(Money(found.sent_at_most, currency)) + (" plus operations without a price" if found.unpriced else "")
    all_of_them, sent = "", found.queued
    if found.pilot is not None:
        sent = found.pilot.rows
        all_of_them = f" (all {found.queued:,}, if you continue: {Money(found.at_most, currency)})"
    question = (
        f"{counted(sent, 'job')} may cost {least}{all_of_them}, above RECAST_CONFIRM_ABOVE={Money(limit, currency)}"
    )
    if _agreed(question):
        return
    plan_of_it = command.again(dry_run=True)
    complain(f"{question}; nothing was enqueued; {plan_of_it} shows the plan, and --yes agrees to it", style=Style.BAD)
    raise typer.Exit(ExitCode.PERSON)


def same_batch(
    runtime: Runtime, intake: Intake, options: RunOptions, command: CommandLine, *, as_json: bool
) -> RunOptions:
    """Ask before a batch continues that was made from another place: it may only have the same name.

    Returns:
        The options with which the run was agreed to.

    Raises:
        typer.Exit: the answer is no, or standard input is not a terminal.
    """
    places = None if options.moved else runtime.db(other_place, intake, options)
    if places is None:
        return options
    question = f"batch {intake.name!r} was made from {places.before}, and this is {places.now}"
    if _agreed(f"{question}. Its rows may be replaced and paid for again. Is it the same batch?"):
        return replace(options, moved=True)
    apart = command.again(name=f"{intake.name}-2")
    _refuse(
        f"{question}; nothing was enqueued; to keep them apart, give this one a name of its own: {apart}; "
        f"to continue the same batch from its new place: {command.again(moved=True)}",
        {
            "batch": intake.name,
            "made_from": places.before,
            "place": places.now,
            "error": str(OtherPlaceError(intake.name, places)),
        },
        as_json=as_json,
    )
    raise typer.Exit(ExitCode.PERSON)


def on_itself(error: SamePictureError, intake: Intake, command: CommandLine, *, as_json: bool) -> None:
    """Ask before a source's own picture, found among the targets, is put onto itself; raises as `same_batch` does."""
    if _agreed(f"{error.what}. Pay for it nevertheless?"):
        intake.same.clear()
        return
    _refuse(
        f"{error.what}; nothing was enqueued; remove the picture from the targets, or pay for it: "
        f"{command.again(same_picture=True)}",
        {"batch": error.name, "same_picture": list(error.keys), "error": str(error)},
        as_json=as_json,
    )
    raise typer.Exit(ExitCode.PERSON)


def _agreed(question: str) -> bool:
    """Whether a person at a terminal says yes; without a terminal, the answer is no."""
    return sys.stdin.isatty() and typer.confirm(f"{question} Continue?" if question[-1] != "?" else question, err=True)


def _refuse(message: str, document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(document)
    complain(message, style=Style.BAD)
