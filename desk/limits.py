"""Spending limits that people name."""

from __future__ import annotations

from recast.errors import InvalidJobError
from recast.money import Money
from reports.batch import BatchReport


def limit_of(given: object, currency: str, field: str = "max_cost") -> Money:
    """A limit as it was given: ``"120"``, ``"120 USD"``, a number, or `Money`; errors name `field`.

    Raises:
        InvalidJobError: it is not an amount of this currency.
    """
    try:
        return Money.parse(given, currency)
    except ValueError as error:
        raise InvalidJobError(field, str(error)) from None


def higher_limit(given: object, report: BatchReport, currency: str) -> Money:
    """A new limit of a batch, which pays for something.

    Raises:
        InvalidJobError: it is not an amount, or is spent already.
    """
    limit = limit_of(given, currency)
    if limit.amount <= report.spent:
        spent = Money(report.spent, currency)
        raise InvalidJobError("max_cost", f"{limit} is spent already; allowed: more than {spent}")
    return limit
