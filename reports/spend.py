"""Committed spend: booked when a submission begins, returned when the provider did not accept it.

An account's spend is kept by day and month, in UTC; a batch's over its whole life. Single jobs belong to no batch, so
their spend is the remainder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from models.fragments import is_paid
from models.spend import ACCOUNT_NAME, OF_AN_ACCOUNT, of_batch
from recast.money import Money
from reports import reviews

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


class By(StrEnum):
    """What spend is summed by."""

    ACCOUNT = "account"
    BATCH = "batch"
    LABEL = "label"
    MONTH = "month"
    OPERATION = "operation"


@dataclass(frozen=True, slots=True)
class Spent:
    """A sum; `name` is None for single jobs, and for batches without a label."""

    name: str | None
    amount: Decimal
    #: Jobs whose picture was approved, and what each of them cost, where that was asked for.
    approved: int | None = None
    per_approved: Decimal | None = None

    def document(self, by: By, currency: str) -> dict[str, Any]:
        """As the command and the API print it."""
        found = {by.value: self.name, "spent": Money(self.amount, currency)}
        if self.approved is None:
            return found
        each = None if self.per_approved is None else Money(self.per_approved, currency)
        return {**found, "approved": self.approved, "per_approved": each}


def _by_period(name: str) -> str:
    return f"""
        SELECT {name} AS name, sum(amount) AS amount FROM spend
        WHERE {OF_AN_ACCOUNT} AND period LIKE :period GROUP BY 1 ORDER BY 1
    """


def _by_batch(name: str) -> str:
    return f"""
        WITH batched AS (
            SELECT b.id, b.{name} AS name, s.amount FROM spend s JOIN batches b ON {of_batch("b.id", "s")}
        ), singles AS (
            SELECT coalesce(sum(amount), 0) - (SELECT coalesce(sum(amount), 0) FROM batched) AS amount
            FROM spend WHERE {OF_AN_ACCOUNT} AND period LIKE 'month:%'
        )
        SELECT name, sum(amount) AS amount FROM (
            SELECT id, name, amount FROM batched UNION ALL SELECT 0, NULL, amount FROM singles WHERE amount <> 0
        ) found GROUP BY name ORDER BY max(id) DESC
    """


_BY_OPERATION = f"""
    SELECT name, sum(amount) AS amount FROM (
        SELECT operation AS name, cost AS amount FROM attempts a WHERE {is_paid("a")}
        UNION ALL SELECT archived.key, archived.value::numeric FROM archives, jsonb_each_text(archives.paid) archived
    ) found GROUP BY name ORDER BY name
"""
_BY = {
    By.ACCOUNT: text(_by_period(ACCOUNT_NAME)),
    By.MONTH: text(_by_period("substr(period, 7)")),
    By.BATCH: text(_by_batch("name")),
    By.LABEL: text(_by_batch("label")),
    By.OPERATION: text(_BY_OPERATION),
}


def spent(session: Session, by: By, month: str | None = None) -> list[Spent]:
    """Spend by account, batch (the latest first), label, month or operation; for one `month`, by account only.

    Raises:
        CatalogError: `month` is not valid, or given with another sum than by account.
    """
    if month is not None and by is not By.ACCOUNT:
        raise CatalogError(f"--month: not allowed with --by {by}, whose spend is not kept by month; use --by account")
    parameters = {}
    if by in (By.ACCOUNT, By.MONTH):
        parameters = {"period": f"month:{'%' if month is None else checked_month(month)}"}
    return [Spent(row.name, row.amount) for row in session.execute(_BY[by], parameters)]


def with_approved(session: Session, by: By, found: Sequence[Spent]) -> list[Spent]:
    """These sums with what was approved of each, which reads every job; jobs that were archived count no more.

    Raises:
        CatalogError: verdicts are not summed by this.
    """
    if by.value not in [each.value for each in reviews.VerdictsBy]:
        allowed = ", ".join(reviews.VerdictsBy)
        raise CatalogError(f"--approved: not allowed with --by {by}; allowed: {allowed}")
    said = {each.name: each for each in reviews.summed(session, reviews.VerdictsBy(by.value))}
    return [
        Spent(each.name, each.amount, of.approved, of.per_approved) if (of := said.get(each.name)) else each
        for each in found
    ]


def checked_month(month: str) -> str:
    """`month`, checked.

    Raises:
        CatalogError: it is not a valid month.
    """
    if not _MONTH.fullmatch(month):
        raise CatalogError(f"--month: {month!r} is not a valid month; use 2026-01")
    return month
