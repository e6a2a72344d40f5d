"""Runs of tables for programs: the server's side of `recast.run`, with the deployment that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from catalog.enqueue import enqueue
from catalog.intake import take_in
from catalog.rows import open_rows
from catalog.tables import TableRows
from recast.errors import InvalidJobError, RecastError
from recast.money import Money
from recast.runs import Batch
from workers.config.account_values import AccountsError
from workers.config.settings import SettingsError
from workers.engine import runtime as engine
from workers.engine.runtime import Runtime
from workers.jobs.run_options import Only, RunOptions


def run(table: Any, *, name: str | None, folder: str | PathLike[str] | None, only: Any, **options: Any) -> Batch:
    """Check and enqueue a table; the arguments are those of `recast.run`.

    Raises:
        CatalogError: the table, or a row of it, is wrong.
        InvalidJobError: another argument is not valid.
        RecastError: no deployment is configured, or its accounts file cannot be used.
    """
    with deployment() as runtime:
        currency = runtime.settings.currency
        chosen = RunOptions.parse({**options, "only": _narrowed(only)}, currency)
        _check_places(name, folder)
        if isinstance(table, str | PathLike):
            rows = open_rows(table if isinstance(table, str) else Path(table), runtime.reach.roots, chosen)
        elif name is None:
            raise InvalidJobError(
                "name", "is missing; name the batch, so that a later run finds the table's rows again"
            )
        else:
            rows = TableRows(table, name, Path(folder) if folder is not None else None)
        with take_in(rows, runtime.accounts, runtime.reach, name=name, options=chosen) as intake:
            done = enqueue(runtime, intake, chosen)
        costs = Money(done.cost, currency), Money(done.at_most, currency)
        return Batch(done.name, done.new, done.retried, done.changed, done.unchanged, *costs)


def _narrowed(only: Any) -> Any:
    """Which rows are queued, as `RunOptions` has it: all where nothing is said, and not where a list came out empty.

    Raises:
        InvalidJobError: it is empty.
    """
    if only is not None and not only:
        raise InvalidJobError("only", f"{only!r} is not allowed; allowed: {', '.join(Only)}, or left out for all rows")
    return only or ()


def _check_places(name: object, folder: object) -> None:
    """Refuse what is neither a name nor a folder, such as a number.

    Raises:
        InvalidJobError: names the argument.
    """
    if not isinstance(name, str | None):
        raise InvalidJobError("name", f"{name!r} is not allowed; allowed: 1 to 200 printable characters")
    if not isinstance(folder, str | PathLike | None):
        raise InvalidJobError("folder", f"{folder!r} is not allowed; allowed: a path")


@contextmanager
def deployment() -> Iterator[Runtime]:
    """This program's deployment, for as long as the block runs.

    Raises:
        RecastError: no deployment is configured, or its accounts file cannot be used.
    """
    try:
        yield engine.runtime()
    except (SettingsError, AccountsError) as error:
        raise RecastError(str(error)) from error
