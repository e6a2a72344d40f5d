"""A provider's invoice held against our attempts: each line by the provider's handle or our client reference.

What differs is one of:

    unknown       billed, but no attempt of this account
    not_taken     billed, but we recorded that the provider did not take it, and count no cost
    unclear       billed, and of this submission we knew nothing: `recast resolve` it as accepted
    amount        billed at another price than ours
    double        billed more than once
    not_billed    taken in the invoice's time, but not on it
    never_taken   not on it, and we knew nothing of it either: the provider probably never got it
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from models.states import UNPAID_ATTEMPT_STATES

_AMOUNT = re.compile(r"(?P<before>[A-Z]{3}|[$€£])?\s*(?P<number>-?\d+(\.\d+)?)\s*(?P<after>[A-Z]{3})?")
_OURS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DELIMITERS = ",;\t|"
FETCHED_AT_ONCE = 5_000  # attempts; the rest waits in the database's cursor


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
    """What the invoice calls its columns; amount and date may be left out."""

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
    """One thing that differs; `line` is the invoice's, and `job` ours."""

    kind: Kind
    reference: str
    line: int | None = None
    job: str | None = None
    billed: Decimal | None = None
    ours: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What came of holding an invoice against the books."""

    lines: int
    agreeing: int
    billed: Decimal
    #: What the attempts of the period that count cost by our books.
    ours: Decimal
    since: date
    until: date
    differences: tuple[Difference, ...]


def read_invoice(path: Path, columns: Columns, currency: str) -> list[Line]:
    """The lines of a CSV file.

    Raises:
        CatalogError: naming the line, the column and what is allowed.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            delimiter = max(_DELIMITERS, key=head.count)
            rows = csv.DictReader(file, delimiter=delimiter, strict=True)
            header = rows.fieldnames or []
            for column in filter(None, (columns.reference, columns.amount, columns.date)):
                if column not in header:
                    raise CatalogError(f"{path}:1: there is no column {column!r}; there are {', '.join(header)}")
            return [_line(path, rows.line_num, row, columns, currency) for row in rows]
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CatalogError(f"{path}: is no CSV file in UTF-8: {error}") from None


def _line(path: Path, number: int, row: Mapping[str, str | None], columns: Columns, currency: str) -> Line:
    def cell(column: str) -> str:
        return (row.get(column) or "").strip()

    reference = cell(columns.reference)
    if not reference:
        raise CatalogError(f"{path}:{number}: {columns.reference}: is empty; it holds the provider's id or ours")
    if _OURS.fullmatch(reference.lower()):
        reference = reference.lower()
    amount = day = None
    if columns.amount is not None:
        match = _AMOUNT.fullmatch(cell(columns.amount))
        said = match and (match["before"] or match["after"] or currency)
        if match is None or (said not in {"$", "€", "£", currency}):
            raise CatalogError(
                f"{path}:{number}: {columns.amount}: {cell(columns.amount)!r} is no sum in {currency}; write 0.02"
            )
        amount = Decimal(match["number"])
    if columns.date is not None:
        try:
            day = date.fromisoformat(cell(columns.date)[:10])
        except ValueError:
            raise CatalogError(
                f"{path}:{number}: {columns.date}: {cell(columns.date)!r} is no date; write 2026-01-31"
            ) from None
    return Line(number, reference, amount, day)


def period_of(lines: Sequence[Line], month: str | None) -> tuple[date, date]:
    """The first day that an invoice is about, and the first that it is not.

    Raises:
        CatalogError: neither its lines nor a month say so.
    """
    if month is not None:
        first = date.fromisoformat(f"{month}-01")
        return first, (first + timedelta(days=31)).replace(day=1)
    days = [line.date for line in lines if line.date is not None]
    if not days:
        raise CatalogError("what is the invoice about? Name its --date column, or the --month, such as 2026-01")
    return min(days), max(days) + timedelta(days=1)


_ATTEMPTS = text("""
    SELECT a.id, a.job_id, a.handle, a.state, a.cost, a.accepted_at,
        a.sent_at >= :since AND a.sent_at < :until AS within
    FROM attempts a
    WHERE a.account = :account
      AND (a.sent_at >= :since AND a.sent_at < :until OR a.handle = ANY(:references) OR a.id = ANY(:ids))
    ORDER BY a.sent_at
""")


def hold_against(session: Session, account: str, lines: Sequence[Line], since: date, until: date) -> Held:
    """Compare an invoice about the days from `since` to before `until` (UTC) with the attempts of `account`."""
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
    return Held(len(lines), len(lines) - len(wrong), total, ours, since, last, tuple(found))


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
