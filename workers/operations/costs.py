"""The most that jobs may cost, and what was paid for those at providers: shown before a bulk operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from models.fragments import is_paid, quoted
from providers import PROVIDERS
from workers.accounts.overrides import in_force
from workers.config.accounts import Account
from workers.jobs.filters import JOBS, LAST, Filter, Filtered
from workers.jobs.lanes import bare, lane_operation

NOWHERE = "(no account)"

#: The options that say how many pictures are asked for; of the others, such as a seed, no price depends.
_COUNTS = sorted({each.count for adapter in PROVIDERS.values() for each in adapter.OPERATIONS.values() if each.count})
_COUNT_INPUTS = sorted({
    name for adapter in PROVIDERS.values() for each in adapter.OPERATIONS.values() for name in each.count_inputs
})  # fmt: skip


def _picked(names: Iterable[str], document: str) -> str:
    """SQL: the object with these names alone of another one."""
    return f"jsonb_build_object({', '.join(f'{name!r}, {document} -> {name!r}' for name in names)})"


#: SQL: those options of a job `j` that prices depend on: a million jobs have a million seeds, and few of these.
PRICED_OPTIONS = f"""
    CASE WHEN j.options ?| ARRAY[{quoted([*_COUNTS, "input"])}] THEN jsonb_strip_nulls(
        {_picked(_COUNTS, "j.options")} || jsonb_build_object('input', {_picked(_COUNT_INPUTS, "j.options -> 'input'")})
    ) ELSE '{{}}'::jsonb END
"""

_LANES = Filtered(
    lambda which: (
        f"""
        SELECT j.lane, {PRICED_OPTIONS} AS options, count(*) AS number FROM {which.jobs}
        WHERE {which.where} GROUP BY 1, 2
    """
    )
)
_PROMISED = Filtered(
    lambda which: (
        f"""
        SELECT last.account, last.operation, count(*) AS jobs, sum(last.cost) AS cost FROM {JOBS} {LAST}
        WHERE {which.where} AND {is_paid("last")} GROUP BY 1, 2 ORDER BY 1, 2
    """
    )
)


@dataclass(frozen=True, slots=True)
class Line:
    """Jobs that may go to, or are at, one account by one operation."""

    account: str
    operation: str
    jobs: int
    cost: Decimal
    #: Whether the operation has a price there; without one it counts as nothing.
    priced: bool = True


def at_most(session: Session, which: Filter, accounts: Mapping[str, Account], paid_attempts: int) -> list[Line]:
    """The most that jobs that match may cost: at the most expensive account, with every attempt that may be paid."""
    rows = _LANES.execute(session, which)
    priced = in_force(session, accounts)
    return lines(((bare(row.lane), row.options, row.number) for row in rows), priced, paid_attempts)


def lines(
    jobs: Iterable[tuple[str, Mapping[str, Any], int]], accounts: Mapping[str, Account], paid_attempts: int
) -> list[Line]:
    """The same for jobs given by their lane and options, and how many there are of each."""
    found: dict[tuple[str, str], Line] = {}
    for lane, options, number in jobs:
        one = _dearest(lane, options, accounts)
        known = found.get((one.account, one.operation), replace(one, jobs=0, cost=Decimal(0)))
        found[one.account, one.operation] = replace(
            known, jobs=known.jobs + number, cost=known.cost + one.cost * number * paid_attempts
        )
    return [found[key] for key in sorted(found)]


def _dearest(lane: str, options: Mapping[str, Any], accounts: Mapping[str, Account]) -> Line:
    dearest: Line | None = None
    for account in accounts.values():
        name = lane_operation(lane, account)
        if name is None:
            continue
        cost = account.cost(account.operations[name], options)
        if dearest is None or cost > dearest.cost:
            dearest = Line(account.name, name, 1, cost, name.partition(".")[2] in account.prices)
    return dearest or Line(NOWHERE, lane, 1, Decimal(0))


def unpriced(lanes: Iterable[str], accounts: Mapping[str, Account]) -> list[str]:
    """Operations that may serve jobs of these lanes at accounts that have no price for them: nobody knows the most."""
    found = {
        f"{account.name}: {name}"
        for lane in lanes
        for account in accounts.values()
        if (name := lane_operation(lane, account)) is not None and name.partition(".")[2] not in account.prices
    }
    return sorted(found)


def lanes_of(session: Session, which: Filter) -> set[str]:
    """The lanes of the jobs that match, without what holds them back."""
    return {bare(row.lane) for row in _LANES.execute(session, which)}


def promised(session: Session, which: Filter) -> list[Line]:
    """What the open attempts of the jobs that fit cost, which is paid whatever becomes of the jobs."""
    return [Line(**row._mapping) for row in _PROMISED.execute(session, which)]
