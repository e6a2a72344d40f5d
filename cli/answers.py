"""What a person says on the command line: options by their names, amounts of money, and yes to what is to be done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import typer

from recast.errors import InvalidJobError
from recast.money import Money


def option_of(field: str) -> str:
    """The option that says what `field` is elsewhere."""
    return "--keep" if field == "keep_days" else f"--{field.replace('_', '-')}"


@contextmanager
def named_options() -> Iterator[None]:
    """Where a value is not allowed, name the option that has it.

    Raises:
        typer.BadParameter: a value is not allowed.
    """
    try:
        yield
    except InvalidJobError as error:
        raise typer.BadParameter(error.message, param_hint=option_of(error.field)) from None


def amount(given: str | None, currency: str, option: str) -> Decimal | None:
    """The amount that an option has; None where it was not given.

    Raises:
        typer.BadParameter: it is not an amount.
    """
    try:
        return None if given is None else Money.parse(given, currency).amount
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def agree(what: str, instead: str = "") -> None:
    """Ask a person at a terminal whether to do it.

    Args:
        what: what is about to be done.
        instead: what else is possible, said without a terminal.

    Raises:
        typer.Abort: the person declines.
        typer.BadParameter: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{what}: add --yes to confirm{instead}")
    typer.confirm(f"{what}?", abort=True, err=True)
