"""Where archived jobs are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError
from recast.money import Money
from workers.counted import counted

_FILES = text("""
    SELECT b.name, b.archived_at, a.key FROM batches b JOIN archives a ON a.batch_id = b.id
    WHERE b.archived_at IS NOT NULL AND (cast(:id AS int) IS NULL OR b.id = :id)
        AND (cast(:name AS text) IS NULL OR b.name = :name)
    ORDER BY a.key
""")
# A file is of the jobs that ended in one month; what was sent in a period ended in it or later.
_LEFT = text("""
    SELECT coalesce(sum(jobs), 0) AS jobs, coalesce(sum(cost), 0) AS cost FROM archives
    WHERE (cast(:batch_id AS int) IS NULL OR batch_id = :batch_id)
        AND (cast(:since AS timestamptz) IS NULL OR finished_until >= :since)
        AND (cast(:month AS text) IS NULL OR month <= :month)
""")
_ALL = text("SELECT key FROM archives ORDER BY key")


@dataclass(frozen=True, slots=True)
class ArchivedBatch:
    """A batch whose jobs are in files."""

    name: str
    at: datetime
    #: Keys in the storage.
    files: tuple[str, ...]

    def __str__(self) -> str:
        number = len(self.files)
        rest = f" and {number - 1:,} more" if number > 1 else ""
        where = f"its jobs are in the storage, in {self.files[0]}{rest}"
        return f"batch {self.name!r} is archived since {self.at:%Y-%m-%d}: {where}"


class ArchivedError(CatalogError):
    """What a person asked for is archived; the message says where."""


@dataclass(frozen=True, slots=True)
class Archived:
    """Jobs whose rows are in files, and what their attempts cost: a report over rows does not have them."""

    jobs: int
    cost: Decimal

    def __bool__(self) -> bool:
        return self.jobs > 0

    def said(self, currency: str, consequence: str) -> str:
        """One line for people; `consequence` says what the report lacks without them."""
        jobs = counted(self.jobs, "job", "are")
        return f"{jobs} archived ({Money(self.cost, currency)}), and {consequence}; their rows are in the storage"


def archived(
    session: Session, *, batch_id: int | None = None, since: date | None = None, until: date | None = None
) -> Archived:
    """What is archived: of everything, of a batch, or of what was sent from `since` to before `until`, at most."""
    given = {
        "batch_id": batch_id, "since": since and datetime(since.year, since.month, since.day, tzinfo=UTC),
        "month": until and f"{until:%Y-%m}",
    }  # fmt: skip
    return Archived(**session.execute(_LEFT, given).one()._mapping)


def archived_batch(session: Session, *, batch_id: int | None = None, name: str | None = None) -> ArchivedBatch | None:
    """The batch, by its id or name, if it is archived."""
    rows = session.execute(_FILES, {"id": batch_id, "name": name}).all() if batch_id or name else []
    if not rows:
        return None
    return ArchivedBatch(rows[0].name, rows[0].archived_at, tuple(row.key for row in rows))


def refuse(session: Session, *, batch_id: int | None = None, name: str | None = None) -> None:
    """Say where a batch is, if it is archived.

    Raises:
        ArchivedError: it is.
    """
    found = archived_batch(session, batch_id=batch_id, name=name)
    if found is not None:
        raise ArchivedError(str(found))


def all_files(session: Session) -> list[str]:
    """The keys of all files."""
    return list(session.execute(_ALL).scalars())
