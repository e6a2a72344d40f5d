"""The books: what was spent by what, and an invoice held against it, line by line."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalog.errors import CatalogError
from reports.invoices import Columns, Difference, Kind, Line, compare, period_of, read_invoice
from reports.spend import By, Spent, spent
from tests.words import names

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def test_spend_is_told_by_account_batch_label_and_month(database: Database) -> None:
    main, other = (database.account(name, max_in_flight=50) for name in ("main", "other"))
    season, sale = database.batch("season"), database.batch("sale")
    database.sql("UPDATE batches SET label = 'spring' WHERE id = :id", id=season)
    database.jobs(2, batch=season, lane="main@zhiqite.swap")
    database.jobs(1, batch=sale, lane="other@zhiqite.swap")
    database.jobs(1, lane="other@zhiqite.swap")
    database.start(main, 5, "0.10")
    database.start(other, 5, "0.25")
    database.sql("INSERT INTO spend (scope, period, amount) VALUES ('account:main', 'month:2025-12', 7)")

    def told(by: By, month: str | None = None) -> dict[str | None, Decimal]:
        found = database.run(spent, by, month)
        assert all(isinstance(item, Spent) for item in found)
        return {item.name: item.amount for item in found}

    assert told(By.ACCOUNT) == {"main": Decimal("7.20"), "other": Decimal("0.50")}
    assert told(By.ACCOUNT, "2025-12") == {"main": Decimal(7)}
    months = told(By.MONTH)
    assert months.pop("2025-12") == Decimal(7)
    assert list(months.values()) == [Decimal("0.70")]
    database.sql("DELETE FROM spend WHERE period = 'month:2025-12'")
    assert told(By.BATCH) == {"sale": Decimal("0.25"), "season": Decimal("0.20"), None: Decimal("0.25")}
    assert told(By.LABEL) == {"spring": Decimal("0.20"), None: Decimal("0.50")}


def test_bad_months(database: Database) -> None:
    with pytest.raises(CatalogError, match=names("--month", "2026-13", "2026-01")):
        database.run(spent, By.ACCOUNT, "2026-13")
    with pytest.raises(CatalogError, match=names("month")):
        database.run(spent, By.BATCH, "2026-01")


def test_an_invoice_is_held_against_the_attempts(database: Database) -> None:
    ids = database.jobs(9, state="succeeded")
    day = "timestamptz '2026-01-{:02} 12:00Z'"
    known: dict[str, Any] = {"cost": "0.02", "accepted_at": "now()"}

    def attempt(number: int, state: str = "done", on: int = 10, **more: Any) -> str:
        columns: dict[str, Any] = {"sent_at": day.format(on), "handle": f"'h{number}'", "cost": "0.02", **more}
        return str(database.attempt(ids[number], state, **columns))

    attempt(0, **known)
    ours = attempt(1, **known)
    attempt(2, **known)
    attempt(3, "refused")
    attempt(4, "unknown")
    attempt(5, **known)
    attempt(6, "unknown")
    attempt(7, **known, on=28)
    attempt(8, **known, account="'other'")
    lines = [
        line(2, "h0"), line(3, ours.upper().lower()), line(4, "h2", "0.03"), line(5, "h3"), line(6, "h4"),
        line(7, "h0"), line(8, "nobody's"), line(9, "nobody's"), line(10, "h7"), line(11, "h8"),
    ]  # fmt: skip
    held = database.run(compare, "main", lines, date(2026, 1, 5), date(2026, 1, 21))

    billed, cost = Decimal("0.02"), Decimal("0.02")
    assert sorted(held.differences, key=lambda item: (item.kind, item.line or 0)) == [
        Difference(Kind.AMOUNT, "h2", 4, ids[2], Decimal("0.03"), cost),
        Difference(Kind.DOUBLE, "h0", 7, ids[0], billed),
        Difference(Kind.DOUBLE, "nobody's", 9, None, billed),
        Difference(Kind.NEVER_TAKEN, "h6", None, ids[6], None, cost),
        Difference(Kind.NOT_BILLED, "h5", None, ids[5], None, cost),
        Difference(Kind.NOT_TAKEN, "h3", 5, ids[3], billed),
        Difference(Kind.UNCLEAR, "h4", 6, ids[4], billed, cost),
        Difference(Kind.UNKNOWN, "nobody's", 8, None, billed),
        Difference(Kind.UNKNOWN, "h8", 11, None, billed),
    ]
    assert (held.lines, held.agreeing) == (10, 3), "h0, ours, and h7, although it was sent outside the period"
    assert held.billed == Decimal("0.21")
    assert held.ours == Decimal("0.12"), "refused ones cost nothing, and h7 belongs to another invoice"
    assert (held.since, held.until) == (date(2026, 1, 5), date(2026, 1, 20))


def line(number: int, reference: str, amount: str = "0.02") -> Line:
    return Line(number, reference, Decimal(amount), date(2026, 1, 10))


def test_an_invoice_is_read_whatever_its_columns_are_called(tmp_path: Path) -> None:
    path = tmp_path / "invoice.csv"
    path.write_text(
        "﻿Task;Price;Day\nA;0.02 USD;2026-01-31T10:00:00Z\n6AD3B5F0-6A1E-4F0E-9D0B-7C0F6F1F2A55;$1;2026-01-02\n"
    )
    lines = read_invoice(path, Columns("Task", "Price", "Day"), "USD")

    assert lines == [
        Line(2, "A", Decimal("0.02"), date(2026, 1, 31)),
        Line(3, "6ad3b5f0-6a1e-4f0e-9d0b-7c0f6f1f2a55", Decimal(1), date(2026, 1, 2)),
    ]
    assert period_of(lines, None) == (date(2026, 1, 2), date(2026, 2, 1))
    assert period_of([], "2026-12") == (date(2026, 12, 1), date(2027, 1, 1))
    assert period_of([], "2026-02") == (date(2026, 2, 1), date(2026, 3, 1))
    assert [row.amount for row in read_invoice(path, Columns("Task", None, None), "USD")] == [None, None]
    with pytest.raises(CatalogError, match=names("--month")):
        period_of(read_invoice(path, Columns("Task", None, None), "USD"), None)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("id,amount,date\nA,0.02,2026-01-01\n", ("invoice.csv:1", "reference", "id", "amount")),
        ("reference,amount,date\n,0.02,2026-01-01\n", ("invoice.csv:2", "reference")),
        ("reference,amount,date\nA,much,2026-01-01\n", ("invoice.csv:2", "amount", "much", "USD", "12.50")),
        ("reference,amount,date\nA,1 EUR,2026-01-01\n", ("invoice.csv:2", "amount", "1 EUR", "USD")),
        ('reference,amount,date\nA,"1,02",2026-01-01\n', ("invoice.csv:2", "amount", "1,02", "USD")),
        ("reference,amount,date\nA,1,soon\n", ("invoice.csv:2", "date", "soon", "2026-01-31")),
        ("", ("invoice.csv:1", "reference")),
    ],
)
def test_a_bad_invoice_names_the_line_and_the_column(tmp_path: Path, text: str, facts: tuple[str, ...]) -> None:
    (tmp_path / "invoice.csv").write_text(text)
    with pytest.raises(CatalogError, match=names(*facts)):
        read_invoice(tmp_path / "invoice.csv", Columns(), "USD")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_an_invoice_is_read_as_spreadsheets_write_it(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "invoice.csv"
    path.write_bytes(f"\ufeffTask\tPrice{end}A\t0.02{end}".encode(encoding))
    assert read_invoice(path, Columns("Task", "Price", None), "USD") == [Line(2, "A", Decimal("0.02"), None)]


def test_an_invoice_that_is_no_text_or_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "invoice.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match=names("UTF-16", "UTF-8")):
        read_invoice(tmp_path / "invoice.csv", Columns(), "USD")
    with pytest.raises(CatalogError, match=names("gone.csv", "No such file")):
        read_invoice(tmp_path / "gone.csv", Columns(), "USD")
