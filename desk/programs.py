"""Redos for programs: the server's side of `recast.redo`, with the deployment that the settings name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from catalog.runs import deployment
from desk.actors import from_command
from desk.redo import check_limits, portions
from desk.redo import redo as begin
from desk.redo_plan import Change, Terms, plan
from desk.verdicts import DeskError
from models.states import JobState
from recast.errors import InvalidJobError
from recast.money import Money
from recast.runs import Redone
from reports.selection import resolved
from workers.engine.wake import submit_pump, wake
from workers.jobs.filters import Filter, ids_of


def redo(
    batch: str | None, keys: tuple[str, ...], jobs: Collection[str], *, verdict: str | None, reason: str | None,
    account: str | None, operation: str | None, seed: int | None, options: Mapping[str, Any] | None, to: str | None,
    to_operation: str | None, max_cost: object, dry_run: bool,
) -> Redone:  # fmt: skip
    """Plan and begin a redo; the arguments and errors are those of `recast.redo`."""
    if batch is None and not jobs:
        raise InvalidJobError("batch", "is missing; name a batch, or jobs")
    which = Filter(
        batch=batch, states=None if keys or jobs else [JobState.SUCCEEDED], account=account, operation=operation,
        verdict=verdict, fault=reason,
    )  # fmt: skip
    change = Change(seed, options or {}, to, to_operation)
    with deployment() as runtime:
        terms = Terms.of(runtime.settings, runtime.accounts, runtime.reach)
        try:
            limit = None if max_cost is None else Money.parse(max_cost, terms.currency).amount
        except ValueError as error:
            raise InvalidJobError("max_cost", str(error)) from None
        which = runtime.db(resolved, which, [*jobs, *(f"{batch}/{key}" for key in keys)])
        found = runtime.db(plan, runtime.db(ids_of, which), change, terms)
        try:
            check_limits(found, terms, limit)
        except DeskError as error:
            raise InvalidJobError("max_cost", str(error)) from None
        actor = replace(from_command(), via="program")
        parts = () if dry_run else portions(found)
        done = sum(len(runtime.db(begin, actor, part, change, terms).ids) for part in parts)
        wake(runtime, *map(submit_pump, runtime.accounts if done else ()))
        cost, most = Money(found.cost, terms.currency), Money(found.at_most, terms.currency)
        return Redone(len(found.jobs), done, cost, most, found.left_out)
