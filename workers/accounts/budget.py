"""What submissions cost and whether they may still be paid.

Money is promised in the transaction that inserts the attempt, with the spend rows locked, and given back in the one
that records a refusal: so a budget is exact however many workers submit.
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
from workers.config.accounts import Account

ALL = "all"

Period = Literal["day", "month"]


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


def keys(account: str, batch_id: int, at: datetime) -> list[tuple[str, str]]:
    """The spend rows that an attempt of `account` in `batch_id` counts into."""
    found = [(f"account:{account}", period) for period in periods(at).values()]
    if batch_id != SINGLES:
        found.append((f"batch:{batch_id}", ALL))
    return found


def budgets(session: Session, account: Account, batch_ids: Iterable[int], at: datetime) -> Budgets:
    """Lock and read what is left; the caller holds the account's row, so only batches can be contended."""
    wanted = sorted({batch_id for batch_id in batch_ids if batch_id != SINGLES})
    limits = (
        {
            row.id: row.max_cost
            for row in session.execute(
                text("SELECT id, max_cost FROM batches WHERE id = ANY(:ids) AND max_cost IS NOT NULL"), {"ids": wanted}
            )
        }
        if wanted
        else {}
    )
    if not account.budget and not limits:
        return Budgets({}, {})
    names = periods(at)
    rows = [(f"account:{account.name}", names[period]) for period in account.budget]
    rows += [(f"batch:{batch_id}", ALL) for batch_id in limits]
    spent = _locked(session, rows)
    left = {
        period: limit.amount - spent.get((f"account:{account.name}", names[period]), Decimal(0))
        for period, limit in account.budget.items()
    }
    return Budgets(
        left,
        {batch_id: limit - spent.get((f"batch:{batch_id}", ALL), Decimal(0)) for batch_id, limit in limits.items()},
    )


def _locked(session: Session, rows: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Decimal]:
    parameters = {"scopes": [scope for scope, _ in rows], "periods": [period for _, period in rows]}
    session.execute(
        text(
            "INSERT INTO spend (scope, period)"
            " SELECT s, p FROM unnest(cast(:scopes AS text[]), cast(:periods AS text[])) AS w(s, p)"
            " ORDER BY s, p ON CONFLICT DO NOTHING"
        ),
        parameters,
    )
    found = session.execute(
        text(
            "SELECT scope, period, amount FROM spend JOIN unnest(cast(:scopes AS text[]), cast(:periods AS text[]))"
            " AS w(scope, period) USING (scope, period) ORDER BY scope, period FOR UPDATE OF spend"
        ),
        parameters,
    )
    return {(row.scope, row.period): row.amount for row in found}


def book(session: Session, bookings: Iterable[Booking], sign: int = 1) -> None:
    """Add the costs to every spend row they count into; `sign` -1 gives them back."""
    amounts: dict[tuple[str, str], Decimal] = {}
    for booking in bookings:
        if booking.cost:
            for key in keys(booking.account, booking.batch_id, booking.at):
                amounts[key] = amounts.get(key, Decimal(0)) + sign * booking.cost
    if not amounts:
        return
    ordered = sorted(amounts)
    session.execute(
        text(
            "INSERT INTO spend (scope, period, amount) SELECT * FROM unnest(cast(:scopes AS text[]),"
            " cast(:periods AS text[]), cast(:amounts AS numeric[])) AS w(scope, period, amount)"
            " ORDER BY scope, period ON CONFLICT (scope, period) DO UPDATE SET amount = spend.amount + excluded.amount"
        ),
        {
            "scopes": [scope for scope, _ in ordered],
            "periods": [period for _, period in ordered],
            "amounts": [amounts[key] for key in ordered],
        },
    )
