"""`recast books` and `recast reconcile`: what was spent, and whether the provider's invoice says the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, complain, emit, priced, say, table
from recast.money import Money
from reports.invoices import Columns, Comparison, compare, period_of, read_invoice
from reports.spend import By, checked_month, spent

SHOWN = 50  # differences in the terminal; --json has them all
SINGLE_JOBS = "(single jobs)"
NO_LABEL = "(no label)"

MonthOption = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Of this month, in UTC.")]


def books(
    *,
    by: Annotated[By, typer.Option(help="What the sums are made by.")] = By.ACCOUNT,
    month: MonthOption = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what was spent, by account, batch, label or month."""
    with looking(sandbox=sandbox) as runtime:
        found = runtime.db(spent, by, month)
        currency = runtime.settings.currency
    total = Money(sum((item.amount for item in found), Decimal(0)), currency)
    if as_json:
        rows = [{by.value: item.name, "spent": Money(item.amount, currency)} for item in found]
        emit({"by": by.value, "month": month, "rows": rows, "total": total})
        return
    nameless = NO_LABEL if by is By.LABEL else SINGLE_JOBS
    sums = [(item.name or nameless, Money(item.amount, currency)) for item in found]
    table((by.value, "spent"), sums, right=("spent",))
    complain(f"{total} in all")


def reconcile(
    invoice: Annotated[Path, typer.Argument(help="The provider's invoice: a CSV file with a line for each job.")],
    *,
    account: Annotated[str, typer.Option(help="The account that it is for.")],
    reference: Annotated[str, typer.Option(help="Its column with the provider's id or our reference.")] = "reference",
    amount_column: Annotated[str, typer.Option("--amount", help="Its column with the price; empty: none.")] = "amount",
    date_column: Annotated[str, typer.Option("--date", help="Its column with the day; empty: none.")] = "date",
    month: MonthOption = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a provider's invoice with recorded attempts, and list what differs.

    What it should list is what was sent in its time: in the --month, or from its first to its last day. Exit code 1
    says that something differs.
    """
    columns = Columns(reference, amount_column or None, None if month is not None else date_column or None)
    if month is not None:
        checked_month(month)
    with looking(sandbox=sandbox) as runtime:
        currency = runtime.settings.currency
        if account not in runtime.accounts:
            raise typer.BadParameter(
                f"{account!r} is unknown; allowed: {', '.join(runtime.accounts)}", param_hint="--account"
            )
        lines = read_invoice(invoice, columns, currency)
        since, until = period_of(lines, month)
        compared = runtime.db(compare, account, lines, since, until)
    if as_json:
        emit({"account": account, **priced(asdict(compared), currency)})
    else:
        _tell(compared, currency)
    if compared.differences:
        raise typer.Exit(Code.JOBS_FAILED)


def _tell(compared: Comparison, currency: str) -> None:
    table(
        ("what", "reference", "line", "job", "billed", "ours"),
        [
            (
                item.kind.replace("_", " "), item.reference, item.line, item.job,
                None if item.billed is None else Money(item.billed, currency),
                None if item.ours is None else Money(item.ours, currency),
            )
            for item in compared.differences[:SHOWN]
        ],
        right=("line", "billed", "ours"),
    )  # fmt: skip
    if len(compared.differences) > SHOWN:
        complain(f"... and {len(compared.differences) - SHOWN:,} more; --json has them all")
    billed, ours = Money(compared.billed, currency), Money(compared.ours, currency)
    say(
        f"{compared.since} to {compared.until}: billed {billed}, ours {ours};"
        f" {compared.agreeing:,} of {compared.lines:,} lines agree"
    )
    if compared.differences:
        kinds = Counter(item.kind.replace("_", " ") for item in compared.differences)
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
        complain(told, style=Style.BAD)
