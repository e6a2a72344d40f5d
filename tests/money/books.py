"""What one case cost, as the plan promised it, the sandbox billed it and our books have it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

COLUMNS = ("fault", "jobs", "fired", "attempts", "at most", "bill", "books", "denied", "made", "rejected", "failed")


@dataclass(frozen=True, slots=True)
class Books:
    """One case at its end; money in the sandbox's currency."""

    case: str
    jobs: int
    #: Calls that met a fault of the case.
    fired: int
    attempts: int
    at_most: Decimal
    billed: Decimal
    booked: Decimal
    #: Billed by a provider that said afterwards that it had never received it: nobody's books can have that.
    denied: Decimal
    made: int
    rejected: int
    failed: int
    #: What does not fit, each in words.
    found: tuple[str, ...] = ()

    def wrong(self) -> Iterator[str]:
        """Every promise about money that was not kept."""
        if self.booked != self.billed - self.denied:
            yield f"{self.case}: {self.billed} were billed ({self.denied} of it denied) and {self.booked} booked"
        if self.billed > self.at_most:
            yield f"{self.case}: {self.billed} were billed, more than the {self.at_most} that the plan named"
        if self.jobs != self.made + self.rejected + self.failed:
            yield f"{self.case}: {self.made + self.rejected + self.failed} of {self.jobs} jobs ended"
        if self.case != "none" and not self.fired:
            yield f"{self.case}: no call met the fault"
        yield from (f"{self.case}: {found}" for found in self.found)

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        money = (f"{amount:.2f}" for amount in (self.at_most, self.billed, self.booked, self.denied))
        counts = (str(number) for number in (self.made, self.rejected, self.failed))
        return (self.case, str(self.jobs), str(self.fired), str(self.attempts), *money, *counts)


def table(lines: Sequence[Books]) -> str:
    """The cases, one a line, in columns."""
    rows = [COLUMNS, *(line.cells for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) if number == 0 else cell.rjust(width) for number, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    )
