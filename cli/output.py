"""How the commands write: text for people on the terminal, JSON for programs, errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

from models.states import JobState
from recast.money import Money
from reports.text import REASONS, duration, moment, why

__all__ = [
    "REASONS", "STATE_STYLES", "Code", "Style", "complain", "console", "duration", "emit", "moment", "priced", "say",
    "table", "why",
]  # fmt: skip

PIPE_WIDTH = 240  # characters of a table's line where no terminal says how wide it is


class Code(IntEnum):
    """The exit codes; see the package's docstring."""

    OK = 0
    JOBS_FAILED = 1
    USAGE = 2
    PERSON = 3
    INFRASTRUCTURE = 4
    INTERRUPTED = 130


class Style(StrEnum):
    """Colours by what they mean."""

    GOOD = "green"
    BAD = "red"
    WAITING = "yellow"
    QUIET = "dim"


STATE_STYLES: Mapping[str, Style] = {
    JobState.SUCCEEDED: Style.GOOD,
    JobState.FAILED: Style.BAD,
    JobState.REJECTED: Style.BAD,
    JobState.HELD: Style.BAD,
    JobState.CANCELED: Style.QUIET,
    JobState.QUEUED: Style.QUIET,
    JobState.RUNNING: Style.WAITING,
    JobState.SAVING: Style.WAITING,
}


def console(*, errors: bool = False) -> Console:
    """A console for standard output or standard error as they are now; nothing is taken for markup."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(*words: object, style: str | None = None) -> None:
    """A line for people."""
    console().print(*words, style=style)


def complain(*words: object, style: str | None = None) -> None:
    """A line on standard error."""
    console(errors=True).print(*words, style=style)


def emit(value: Any) -> None:
    """A JSON document for a program; amounts in it are `Money`."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def priced(value: Any, currency: str) -> Any:
    """A document with every bare amount in it made money of the deployment's `currency`."""
    if isinstance(value, Decimal):
        return Money(value, currency)
    if isinstance(value, Mapping):
        return {name: priced(item, currency) for name, item in value.items()}
    return [priced(item, currency) for item in value] if isinstance(value, list | tuple) else value


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table; `right` names the columns of numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) if cell is not None else "" for cell in row))
    console().print(made, soft_wrap=False)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Money):
        return value.document()
    if isinstance(value, Decimal):
        raise TypeError("an amount without its currency")
    return str(value)
