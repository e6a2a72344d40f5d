"""What a page showed, told by the numbers of transactions: a row that was written since is not what a person saw.

A row names the transaction that wrote it last, by the lower 32 bits of its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

BITS = 0xFFFFFFFF  # of a transaction's number that a row has
HALF = 0x80000000  # numbers up to so many before another one are earlier; the database has no older ones
DIGITS = 10  # of such a number

#: SQL: the transactions that are under way.
UNDER_WAY = (
    f"ARRAY(SELECT cast(cast(number AS text) AS bigint) & {BITS} FROM pg_snapshot_xip(pg_current_snapshot()) number)"
)
_NOW = text(f"""
    SELECT cast(cast(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint) & {BITS} AS next,
        {UNDER_WAY} AS under_way
""")


def writer(xmin: str) -> str:
    """SQL: the transaction that wrote a row, of the row's column `xmin`."""
    return f"cast(cast({xmin} AS text) AS bigint)"


_AS_THEN = text(f"""
    SELECT id FROM jobs WHERE id = ANY(:ids) AND ((:next - {writer("xmin")}) & {BITS}) BETWEEN 1 AND {HALF}
        AND {writer("xmin")} <> ALL(cast(:under_way AS bigint[])) ORDER BY id
""")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a page was shown."""

    #: The transaction that came next, and those that were under way: nothing that they wrote was seen.
    next: int
    under_way: Sequence[int]

    def __str__(self) -> str:
        return "-".join(map(str, (self.next, *self.under_way)))

    @classmethod
    def read(cls, text: str) -> Moment | None:
        """The moment that `str` wrote; None where it is none."""
        numbers = text.split("-")
        if not all(each.isascii() and each.isdigit() and len(each) <= DIGITS for each in numbers):
            return None
        return cls(int(numbers[0]), [int(each) for each in numbers[1:]])


def now(session: Session) -> Moment:
    """This moment: read before what a page shows, which is then no older."""
    return Moment(**session.execute(_NOW).one()._mapping)


def jobs_as_then(session: Session, ids: Sequence[str], then: Moment) -> list[str]:
    """Those of these jobs whose rows are as they were."""
    given = {"ids": list(ids), "next": then.next, "under_way": list(then.under_way)}
    return list(session.execute(_AS_THEN, given).scalars())
