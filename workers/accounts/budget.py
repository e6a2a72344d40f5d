"""Budgets: what submissions cost and whether they may still be paid.

A cost is booked in the transaction that inserts the attempt, with the spend rows locked, and returned in the one
that records a refusal. So a budget is exact however many workers submit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.bulk import Bulk
from models.spend import ALL, account_scope, batch_scope
from workers.config.accounts import Account

Period = Literal["day", "month"]

#: A row of `spend`: its scope and its period.
Key = tuple[str, str]

_ROWS = Bulk[Key](scope=("text", lambda key: key[0]), period=("text", lambda key: key[1]))
_AMOUNTS = Bulk[tuple[Key, Decimal]](
    scope=("text", lambda row: row[0][0]),
    period=("text", lambda row: row[0][1]),
    amount=("numeric", lambda row: row[1]),
)
_LIMITS = text("SELECT id, max_cost FROM batches WHERE id = ANY(:ids) AND max_cost IS NOT NULL")
_MAKE_ROWS = text(f"""
    INSERT INTO spend ({_ROWS.names}) SELECT {_ROWS.names} FROM {_ROWS.table} ORDER BY {_ROWS.names}
    ON CONFLICT DO NOTHING
""")
_LOCK_ROWS = text(f"""
    SELECT {_ROWS.names}, amount FROM spend JOIN {_ROWS.table} USING ({_ROWS.names})
    ORDER BY {_ROWS.names} FOR UPDATE OF spend
""")
_ADD = text(f"""
    INSERT INTO spend ({_AMOUNTS.names}) SELECT {_AMOUNTS.names} FROM {_AMOUNTS.table} ORDER BY {_ROWS.names}
    ON CONFLICT ({_ROWS.names}) DO UPDATE SET amount = spend.amount + excluded.amount
""")


@dataclass(frozen=True, slots=True)
class Booking:
    """One attempt's cost and what it is booked under."""

    account: str
    batch_id: int
    cost: Decimal
    at: datetime


@dataclass(frozen=True, slots=True)
class Budgets:
    """How much may still be spent: by the account in each period it has a budget for, and by each limited batch."""

    account: Mapping[Period, Decimal]
    batches: Mapping[int, Decimal]

    def affordable(self, costs: Sequence[tuple[int, Decimal]]) -> list[bool]:
        """Which of these (batch, cost) pairs, taken in order, can be paid."""
        left = min(self.account.values(), default=None)
        batches = dict(self.batches)
        answers = []
        for batch_id, cost in costs:
            of_batch = batches.get(batch_id)
            ok = (left is None or cost <= left) and (of_batch is None or cost <= of_batch)
            if ok and left is not None:
                left -= cost
            if ok and of_batch is not None:
                batches[batch_id] = of_batch - cost
            answers.append(ok)
        return answers

    def after(self, costs: Iterable[tuple[int, Decimal]]) -> Budgets:
        """What is left when these (batch, cost) pairs are paid."""
        paid = list(costs)
        batches = dict(self.batches)
        for batch_id, cost in paid:
            if batch_id in batches:
                batches[batch_id] -= cost
        total = sum((cost for _, cost in paid), Decimal(0))
        return Budgets({period: left - total for period, left in self.account.items()}, batches)

    def spent_periods(self, cost: Decimal) -> list[Period]:
        """The account's budgets that cannot pay `cost` any more."""
        return [period for period, left in self.account.items() if left < cost]


def periods(at: datetime) -> dict[str, str]:
    """The budget periods `at` falls into, in UTC."""
    utc = at.astimezone(UTC)
    return {"day": f"day:{utc:%Y-%m-%d}", "month": f"month:{utc:%Y-%m}"}


def seconds_left(period: str, at: datetime) -> float:
    """Seconds until the ``day`` or ``month`` that `at` falls into ends."""
    utc = at.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return 86_400 - (utc - midnight).total_seconds()
    first_of_next = midnight.replace(year=utc.year + utc.month // 12, month=utc.month % 12 + 1, day=1)
    return (first_of_next - utc).total_seconds()


def keys(account: str, batch_id: int, at: datetime) -> list[Key]:
    """The spend rows that an attempt of `account` in `batch_id` counts into."""
    found = [(account_scope(account), period) for period in periods(at).values()]
    if batch_id != SINGLES:
        found.append((batch_scope(batch_id), ALL))
    return found


def budgets(session: Session, account: Account, batch_ids: Iterable[int], at: datetime) -> Budgets:
    """Lock and read what is left; the caller holds the account's row, so only batches can be contended."""
    wanted = sorted({batch_id for batch_id in batch_ids if batch_id != SINGLES})
    limits = {row.id: row.max_cost for row in session.execute(_LIMITS, {"ids": wanted})} if wanted else {}
    if not account.budget and not limits:
        return Budgets({}, {})
    names = periods(at)
    of_account: dict[Period, Key] = {period: (account_scope(account.name), names[period]) for period in account.budget}
    of_batches = {batch_id: (batch_scope(batch_id), ALL) for batch_id in limits}
    spent = _locked(session, [*of_account.values(), *of_batches.values()])
    return Budgets(
        {period: account.budget[period].amount - spent.get(key, Decimal(0)) for period, key in of_account.items()},
        {batch_id: limits[batch_id] - spent.get(key, Decimal(0)) for batch_id, key in of_batches.items()},
    )


def _locked(session: Session, rows: Sequence[Key]) -> dict[Key, Decimal]:
    parameters = _ROWS.of(rows)
    session.execute(_MAKE_ROWS, parameters)
    return {(row.scope, row.period): row.amount for row in session.execute(_LOCK_ROWS, parameters)}


def book(session: Session, bookings: Iterable[Booking], sign: int = 1) -> None:
    """Add the costs to every spend row they count into; `sign` -1 returns them."""
    amounts: dict[Key, Decimal] = {}
    for booking in bookings:
        if booking.cost:
            for key in keys(booking.account, booking.batch_id, booking.at):
                amounts[key] = amounts.get(key, Decimal(0)) + sign * booking.cost
    if amounts:
        session.execute(_ADD, _AMOUNTS.of(amounts.items()))
