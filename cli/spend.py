"""`recast books` and `recast reconcile`: what was spent, and whether the provider's invoice says the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, amount, complain, emit, say, table
from reports.invoices import Columns, Held, hold_against, period_of, read_invoice
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
    total = sum((item.amount for item in found), Decimal(0))
    if as_json:
        rows = [{by.value: item.name, "spent": item.amount} for item in found]
        emit({"by": by.value, "month": month, "rows": rows, "total": total, "currency": currency})
        return
    nameless = NO_LABEL if by is By.LABEL else SINGLE_JOBS
    column = f"spent ({currency})"
    table((by.value, column), [(item.name or nameless, amount(item.amount)) for item in found], right=(column,))
    complain(f"{amount(total)} {currency} in all")


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
    """Hold a provider's invoice against our attempts, and list what differs.

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
        held = runtime.db(hold_against, account, lines, since, until)
    if as_json:
        emit({"account": account, "currency": currency, **asdict(held)})
    else:
        _tell(held, currency)
    if held.differences:
        raise typer.Exit(Code.JOBS_FAILED)


def _tell(held: Held, currency: str) -> None:
    table(
        ("what", "reference", "line", "job", "billed", "ours"),
        [
            (
                item.kind.replace("_", " "), item.reference, item.line, item.job,
                "" if item.billed is None else amount(item.billed), "" if item.ours is None else amount(item.ours),
            )
            for item in held.differences[:SHOWN]
        ],
        right=("line", "billed", "ours"),
    )  # fmt: skip
    if len(held.differences) > SHOWN:
        complain(f"... and {len(held.differences) - SHOWN:,} more; --json has them all")
    say(
        f"{held.since} to {held.until}: billed {amount(held.billed)}, ours {amount(held.ours)} {currency};"
        f" {held.agreeing:,} of {held.lines:,} lines agree"
    )
    if held.differences:
        kinds = Counter(item.kind.replace("_", " ") for item in held.differences)
        told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
        complain(told, style=Style.BAD)
