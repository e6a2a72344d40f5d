"""The comparison of a provider's invoice with recorded attempts, by the provider's handle or our client reference.

Each difference is one of:

    unknown       billed, but not an attempt of this account
    not_taken     billed, but recorded as not accepted, so it has no cost in the books
    unclear       billed, but its acceptance was not known: resolve it as accepted with `recast resolve`
    amount        billed at a price that differs from the books
    double        billed more than once
    not_billed    accepted in the invoice's period, but not on the invoice
    never_taken   not on the invoice, and its acceptance was not known: the provider probably never received it
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from pathlib import Path

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from catalog.lines import text_lines
from models.states import UNPAID_ATTEMPT_STATES
from recast.money import Money

_OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FINEST = 12  # decimals of an amount: providers can bill smaller fractions than the books keep
_DELIMITERS = ",;\t|"
FETCHED_AT_ONCE = 5_000  # attempts; the rest stays in the database's cursor


class Kind(StrEnum):
    """How an invoice and the books differ."""

    UNKNOWN = "unknown"
    NOT_TAKEN = "not_taken"
    UNCLEAR = "unclear"
    AMOUNT = "amount"
    DOUBLE = "double"
    NOT_BILLED = "not_billed"
    NEVER_TAKEN = "never_taken"


@dataclass(frozen=True, slots=True)
class Columns:
    """The invoice's column names; amount and date are optional."""

    reference: str = "reference"
    amount: str | None = "amount"
    date: str | None = "date"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an invoice."""

    number: int
    reference: str
    amount: Decimal | None
    date: date | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; `line` is the invoice's line, `job` the id of our job."""

    kind: Kind
    reference: str
    line: int | None = None
    job: str | None = None
    billed: Decimal | None = None
    ours: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """An invoice compared with the books."""

    lines: int
    agreeing: int
    billed: Decimal
    #: The cost in the books of the period's paid attempts.
    ours: Decimal
    since: date
    until: date
    differences: tuple[Difference, ...]


def read_invoice(path: Path, columns: Columns, currency: str) -> list[Line]:
    """The lines of a CSV file.

    Raises:
        CatalogError: a line is wrong; the message names the line, the column and what is allowed.
    """
    try:
        with path.open("rb") as file:
            lines = text_lines(str(path), file)
            head = next(lines, "")
            delimiter = max(_DELIMITERS, key=head.count)
            rows = csv.DictReader(chain([head], lines), delimiter=delimiter, strict=True)
            header = rows.fieldnames or []
            for column in filter(None, (columns.reference, columns.amount, columns.date)):
                if column not in header:
                    raise CatalogError(f"{path}:1: there is no column {column!r}; columns: {', '.join(header)}")
            return [_line(path, rows.line_num, row, columns, currency) for row in rows]
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror or error}") from None
    except csv.Error as error:
        raise CatalogError(f"{path}: is not a valid CSV file in UTF-8: {error}") from None


def _line(path: Path, number: int, row: Mapping[str, str | None], columns: Columns, currency: str) -> Line:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    reference = cell(columns.reference)
    if not reference:
        raise CatalogError(
            f"{path}:{number}: {columns.reference}: is empty; give the provider's id or our client reference"
        )
    if _OURS.fullmatch(reference.lower()):
        reference = reference.lower()
    amount = day = None
    if columns.amount is not None:
        try:
            amount = Money.parse(cell(columns.amount), currency, decimals=_FINEST, negative=True).amount
        except ValueError as error:
            raise CatalogError(f"{path}:{number}: {columns.amount}: {error}") from None
    if columns.date is not None:
        try:
            day = date.fromisoformat(cell(columns.date)[:10])
        except ValueError:
            raise CatalogError(
                f"{path}:{number}: {columns.date}: {cell(columns.date)!r} is not a valid date; use 2026-01-31"
            ) from None
    return Line(number, reference, amount, day)


def period_of(lines: Sequence[Line], month: str | None) -> tuple[date, date]:
    """The first day of an invoice's period, and the first day after it.

    Raises:
        CatalogError: neither the lines nor `month` give the period.
    """
    if month is not None:
        first = date.fromisoformat(f"{month}-01")
        return first, (first + timedelta(days=31)).replace(day=1)
    days = [line.date for line in lines if line.date is not None]
    if not days:
        raise CatalogError("the invoice's period is missing; give its --date column, or a --month such as 2026-01")
    return min(days), max(days) + timedelta(days=1)


_ATTEMPTS = text("""
    SELECT a.id, a.job_id, a.handle, a.state, a.cost, a.accepted_at,
        a.sent_at >= :since AND a.sent_at < :until AS within
    FROM attempts a
    WHERE a.account = :account
      AND (a.sent_at >= :since AND a.sent_at < :until OR a.handle = ANY(:references) OR a.id = ANY(:ids))
    ORDER BY a.sent_at
""")


def compare(session: Session, account: str, lines: Sequence[Line], since: date, until: date) -> Comparison:
    """Compare an invoice for the days from `since` to before `until` (UTC) with the attempts of `account`."""
    waiting: dict[str, list[Line]] = {}
    for line in lines:
        waiting.setdefault(line.reference, []).append(line)
    found: list[Difference] = []
    ours = Decimal(0)
    for attempt in _attempts(session, account, lines, since, until):
        billed = waiting.pop(str(attempt.id), [])
        if attempt.handle is not None:
            billed = [*billed, *waiting.pop(attempt.handle, [])]
        if attempt.within and attempt.state not in UNPAID_ATTEMPT_STATES:
            ours += attempt.cost
        found += _compared(attempt, billed)
    for rest in waiting.values():
        found.append(Difference(Kind.UNKNOWN, rest[0].reference, rest[0].number, billed=rest[0].amount))
        found += _doubles(rest)
    wrong = {difference.line for difference in found if difference.line is not None}
    total = sum((line.amount or Decimal(0) for line in lines), Decimal(0))
    last = until - timedelta(days=1)
    return Comparison(len(lines), len(lines) - len(wrong), total, ours, since, last, tuple(found))


def _attempts(
    session: Session, account: str, lines: Sequence[Line], since: date, until: date
) -> Iterator[Row[tuple[object, ...]]]:
    references = [line.reference for line in lines]
    parameters = {
        "account": account,
        "since": datetime(since.year, since.month, since.day, tzinfo=UTC),
        "until": datetime(until.year, until.month, until.day, tzinfo=UTC),
        "references": references,
        "ids": [reference for reference in references if _OURS.fullmatch(reference)],
    }
    return iter(session.execute(_ATTEMPTS, parameters, execution_options={"yield_per": FETCHED_AT_ONCE}))


def _compared(attempt: Row[tuple[object, ...]], billed: Sequence[Line]) -> Iterator[Difference]:
    reference = attempt.handle or str(attempt.id)
    known = attempt.accepted_at is not None
    if not billed:
        if attempt.within and attempt.state not in UNPAID_ATTEMPT_STATES:
            kind = Kind.NOT_BILLED if known else Kind.NEVER_TAKEN
            yield Difference(kind, reference, job=attempt.job_id, ours=attempt.cost)
        return
    first = billed[0]
    if attempt.state in UNPAID_ATTEMPT_STATES:
        yield Difference(Kind.NOT_TAKEN, reference, first.number, attempt.job_id, first.amount)
    elif not known:
        yield Difference(Kind.UNCLEAR, reference, first.number, attempt.job_id, first.amount, attempt.cost)
    elif first.amount is not None and first.amount != attempt.cost:
        yield Difference(Kind.AMOUNT, reference, first.number, attempt.job_id, first.amount, attempt.cost)
    yield from _doubles(billed, attempt.job_id)


def _doubles(lines: Sequence[Line], job: str | None = None) -> Iterator[Difference]:
    for line in lines[1:]:
        yield Difference(Kind.DOUBLE, line.reference, line.number, job, line.amount)
