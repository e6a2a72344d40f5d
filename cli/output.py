"""Output of the commands: text for people, JSON for programs, errors and hints on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

from models.states import JobState
from reports.text import REASONS, ago, duration, moment, paused, probing, stopped, waiting_for_decision, why
from reports.written import priced, written

__all__ = [
    "REASONS", "STATE_STYLES", "Style", "ago", "answer", "complain", "console", "duration", "emit", "listing", "moment",
    "paused", "priced", "probing", "say", "stopped", "table", "waiting_for_decision", "why",
]  # fmt: skip

PIPE_WIDTH = 240  # characters in a table's line where standard output is not a terminal


class Style(StrEnum):
    """Colors by what they mean."""

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
    """A console for standard output or standard error as they are now; text is printed as it is, without markup."""
    stream = sys.stderr if errors else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(*words: object, style: str | None = None) -> None:
    """Print a line on standard output."""
    console().print(*words, style=style)


def complain(*words: object, style: str | None = None) -> None:
    """Print a line on standard error."""
    console(errors=True).print(*words, style=style)


def emit(value: Any) -> None:
    """Print a JSON document; amounts in it must be `Money`."""
    sys.stdout.write(written(value, indent=2) + "\n")


def answer(sentence: str, document: Any, *, as_json: bool) -> None:
    """Say what was changed: to people a sentence, to programs the document of what it is now."""
    if as_json:
        emit(document)
    else:
        say(sentence)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print a table; `right` names the columns to align right."""
    console().print(drawn(columns, rows, right=right), soft_wrap=False)


def listing(
    columns: Sequence[str], rows: Iterable[Sequence[object]], documents: Any, *, empty: str, as_json: bool,
    right: Sequence[str] = (),
) -> None:  # fmt: skip
    """Print a list: to people a table, or the sentence `empty` where it has no rows; to programs its documents."""
    known = list(rows)
    if as_json:
        emit(documents)
    elif known:
        table(columns, known, right=right)
    else:
        say(empty)


def drawn(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A table, drawn and not printed; `right` as for `table`."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) if cell is not None else "" for cell in row))
    return made
