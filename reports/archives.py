"""Where archived jobs are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import CatalogError

_FILES = text("""
    SELECT b.name, b.archived_at, a.key FROM batches b JOIN archives a ON a.batch_id = b.id
    WHERE b.archived_at IS NOT NULL AND (cast(:id AS int) IS NULL OR b.id = :id)
        AND (cast(:name AS text) IS NULL OR b.name = :name)
    ORDER BY a.key
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
