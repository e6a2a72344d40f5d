"""`recast books` and `recast reconcile`: spending, and its comparison with a provider's invoice."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli import completion
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.output import Style, complain, emit, priced, say, table
from recast.money import Money
from reports.archives import archived
from reports.invoices import Columns, Comparison, compare, period_of, read_invoice
from reports.spend import By, Spent, checked_month, spent, with_approved
from workers.counted import counted

SHOWN = 50  # differences in the terminal; --json has them all
SINGLE_JOBS = "(single jobs)"
NO_LABEL = "(no label)"

MonthOption = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="Only this month, in UTC.")]


def books(
    *,
    by: Annotated[By, typer.Option(help="Sum spending by this.")] = By.ACCOUNT,
    month: MonthOption = None,
    approved: Annotated[
        bool, typer.Option("--approved", help="Also what was approved, and its cost. This reads every job.")
    ] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show spending by account, batch, label, month or operation."""
    if approved and month is not None:
        raise typer.BadParameter("verdicts are not summed by month; leave one of both out", param_hint="--approved")
    with open_deployment(sandbox=sandbox) as runtime:
        found = runtime.db(spent, by, month)
        if approved:
            found = runtime.db(with_approved, by, found)
        currency = runtime.settings.currency
    total = Money(sum((item.amount for item in found), Decimal(0)), currency)
    if as_json:
        rows = [item.document(by, currency) for item in found]
        emit({"by": by.value, "month": month, "rows": rows, "total": total})
        return
    nameless = NO_LABEL if by is By.LABEL else SINGLE_JOBS
    sums = [(item.name or nameless, Money(item.amount, currency), *_approved(item, currency)) for item in found]
    headings = ("spent", "approved", "per approved")
    # Without `--approved`, the last two are not there.
    shown = headings if approved else headings[:1]
    table((by.value, *shown), [row[: len(shown) + 1] for row in sums], right=shown)
    complain(f"total: {total}")


def _approved(item: Spent, currency: str) -> tuple[object, object]:
    each = "" if item.per_approved is None else Money(item.per_approved, currency)
    return item.approved or "", each


def reconcile(
    invoice: Annotated[Path, typer.Argument(help="Invoice: a CSV file with one line for each job.")],
    *,
    account: Annotated[str, typer.Option(help="Account of the invoice.", autocompletion=completion.accounts)],
    reference: Annotated[
        str, typer.Option(help="Column with the provider's id or our client reference.")
    ] = "reference",
    amount_column: Annotated[
        str, typer.Option("--amount", help="Column with the price; empty if there is none.")
    ] = "amount",
    date_column: Annotated[str, typer.Option("--date", help="Column with the day; empty if there is none.")] = "date",
    month: MonthOption = None,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare a provider's invoice with recorded attempts.

    The command lists all differences. The invoice is compared with the attempts sent in --month, or from its first to
    its last day. Exit code 1 means that there are differences.
    """
    columns = Columns(reference, amount_column or None, None if month is not None else date_column or None)
    if month is not None:
        checked_month(month)
    with open_deployment(sandbox=sandbox) as runtime:
        currency = runtime.settings.currency
        if account not in runtime.accounts:
            raise typer.BadParameter(
                f"{account!r} is not an account; allowed: {', '.join(runtime.accounts)}", param_hint="--account"
            )
        lines = read_invoice(invoice, columns, currency)
        since, until = period_of(lines, month)
        compared = runtime.db(compare, account, lines, since, until)
        gone = runtime.db(archived, since=since, until=until)
    if as_json:
        emit({"account": account, **priced({**asdict(compared), "archived": asdict(gone)}, currency)})
    else:
        _print(compared, currency)
        if gone:
            lacks = "lines of theirs are listed as unknown, whatever their account"
            complain(gone.said(currency, lacks), style=Style.WAITING)
    if compared.differences:
        raise typer.Exit(ExitCode.JOBS_FAILED)


def _print(compared: Comparison, currency: str) -> None:
    table(
        ("difference", "reference", "line", "job", "billed", "recorded"),
        [
            (
                item.kind.replace("_", " "), item.reference, item.line, item.job,
                None if item.billed is None else Money(item.billed, currency),
                None if item.ours is None else Money(item.ours, currency),
            )
            for item in compared.differences[:SHOWN]
        ],
        right=("line", "billed", "recorded"),
    )  # fmt: skip
    if len(compared.differences) > SHOWN:
        complain(f"... and {len(compared.differences) - SHOWN:,} more; --json lists all")
    billed, ours = Money(compared.billed, currency), Money(compared.ours, currency)
    say(
        f"{compared.since} to {compared.until}: billed {billed}, recorded {ours};"
        f" {compared.agreeing:,} of {counted(compared.lines, 'line')} agree"
    )
    if compared.differences:
        kinds = Counter(item.kind.replace("_", " ") for item in compared.differences)
        listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common())
        complain(listed, style=Style.BAD)
