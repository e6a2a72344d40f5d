"""How the commands write: text for people on the terminal, JSON for programs, errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

from models.states import JobState, Reason

PIPE_WIDTH = 240  # characters of a table's line where no terminal says how wide it is

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds


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

#: Reasons in words that say what to do about them where that is known.
REASONS: Mapping[str, str] = {
    Reason.BAD_INPUT: "the picture or an option is not accepted",
    Reason.NO_FACE: "no usable face in the picture",
    Reason.CONTENT: "refused by the provider's content rules",
    Reason.PROVIDER_ERROR: "the provider failed",
    Reason.TIMED_OUT: "no result before the deadline",
    Reason.LOST: "the result could not be fetched any more",
    Reason.BUDGET: "the budget is spent",
    Reason.AUTH: "the provider refuses the credentials",
    Reason.CREDIT: "the account at the provider is out of credit",
    Reason.THROTTLED: "the provider asked us to slow down",
    Reason.OUTAGE: "the provider cannot be reached",
    Reason.BAD_OUTPUT: "the provider's result is no usable picture",
    Reason.UNCLEAR_SUBMIT: "whether the provider took the job is not known",
    Reason.CANCELED: "canceled",
    Reason.EXPIRED: "its time had run out before it could be sent",
    Reason.NO_ACCOUNT: "no account can take it",
    Reason.PAUSED: "paused",
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
    """A JSON document for a program."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """A table; `right` names the columns of numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(str(cell) if cell is not None else "" for cell in row))
    console().print(made, soft_wrap=False)


def amount(value: Decimal) -> str:
    """A sum of money as a plain number without trailing zeros, two decimals at least."""
    return f"{value:.2f}" if value == value.quantize(Decimal("0.01")) else f"{value.normalize():f}"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def moment(value: datetime | None) -> str:
    """A point in time, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value else ""


def why(reason: str | None, error: str | None) -> str:
    """A reason in plain words, with what the provider said."""
    if reason is None:
        return error or "no reason was recorded"
    plain = REASONS.get(reason, reason)
    return f"{plain} ({error})" if error else plain


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return str(value)
