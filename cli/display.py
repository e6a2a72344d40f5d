"""Displays of a batch's progress: a live panel on a terminal, plain lines elsewhere, nothing for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.output import STATE_STYLES, Style, console, duration, say, why
from models.states import JobState
from recast.money import Money
from reports.batch import BatchReport, Ending, Pace

LINE_SECONDS = 2.0  # between two plain lines, so that the log of a long run stays readable
REFRESH_PER_SECOND = 8
BAR_WIDTH = 40


class Display(Protocol):
    """A display of a batch's progress; a context manager, open while the batch is watched."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, report: BatchReport, pace: Pace, endings: Sequence[Ending]) -> None:
        """Show the current progress; `endings` are the latest jobs that did not succeed."""
        ...

    def note(self, message: str) -> None:
        """Show a permanent line."""
        ...


class Silent:
    """A display that shows nothing, for a command that prints one JSON document at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, report: BatchReport, pace: Pace, endings: Sequence[Ending]) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""


class Lines:
    """A display that prints a line for each change, for logs and pipes."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._last = ""
        self._at = 0.0
        self._printed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, report: BatchReport, pace: Pace, endings: Sequence[Ending]) -> None:
        """Print the counts if they have changed, and each failure once."""
        now = time.monotonic()
        for ending in reversed(endings):
            if ending.id not in self._printed:
                self._printed.add(ending.id)
                say(f"  {ending.key}: {ending.state}: {why(ending.reason, ending.error)}")
        line = f"{_counts(report)}; {Money(report.spent, self._currency)} spent{_left(report, pace)}"
        if _counts(report) != self._last and (report.settled or now - self._at >= LINE_SECONDS):
            say(line)
            self._last, self._at = _counts(report), now

    def note(self, message: str) -> None:
        """Print the line."""
        say(message)


class Panel:
    """A display that redraws a bar, the counts, the rate, the spend, the time left and the latest failures."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._live = Live(console=console(), refresh_per_second=REFRESH_PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, report: BatchReport, pace: Pace, endings: Sequence[Ending]) -> None:
        """Redraw the panel."""
        self._live.update(panel(report, pace, endings, self._currency))

    def note(self, message: str) -> None:
        """Print the line above the panel."""
        self._live.console.print(message)


def display_for(currency: str, *, as_json: bool) -> Display:
    """The display for this standard output."""
    if as_json:
        return Silent()
    return Panel(currency) if sys.stdout.isatty() else Lines(currency)


def panel(report: BatchReport, pace: Pace, endings: Sequence[Ending], currency: str) -> RenderableType:
    """The content of a `Panel`."""
    done = report.total - report.open
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(report.name, style="bold"),
        ProgressBar(total=max(1, report.total), completed=done, width=BAR_WIDTH),
        Text(f"{done:,} of {report.total:,}{_left(report, pace)}"),
    )
    counts = Text("  ").join(
        Text(f"{number:,} {state}", style=STATE_STYLES[state]) for state, number in report.counts.items() if number
    )
    limit = f" of {Money(report.max_cost, currency)}" if report.max_cost is not None else ""
    facts = Text(f"{pace.rate:.1f} jobs per second, {Money(report.spent, currency)}{limit} spent", style=Style.QUIET)
    errors = [
        Text(f"{ending.key}: {ending.state}: {why(ending.reason, ending.error)}", style=Style.BAD, overflow="ellipsis")
        for ending in endings
    ]
    return Group(head, counts, facts, *errors)


def _counts(report: BatchReport) -> str:
    return ", ".join(f"{number:,} {state}" for state, number in report.counts.items() if number)


def _left(report: BatchReport, pace: Pace) -> str:
    waiting = report.counts[JobState.QUEUED] + report.counts[JobState.RUNNING] + report.counts[JobState.SAVING]
    seconds = pace.seconds_for(waiting) if waiting else None
    return f", about {duration(seconds)} left" if seconds is not None else ""
