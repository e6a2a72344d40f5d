"""Removal of pictures from the storage: first the rows of a file, then the file, if no other row has it.

Files are named by their content, so one file may be the picture of several jobs. A crash between rows and file leaves a
file without a row, which `recast prune --orphans` finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import text
from sqlalchemy.orm import Session

from workers.engine.runtime import Runtime
from workers.images.storage import StorageError

CHUNK = 1_000

_TAKE = text("""
    DELETE FROM results WHERE job_id = ANY(:ids) RETURNING key, thumbnail_key, original_key
""")
_NOTE = text("UPDATE jobs SET erased_at = clock_timestamp() WHERE id = ANY(:ids)")
_CLAIMED = text("""
    SELECT k FROM results, LATERAL unnest(ARRAY[key, thumbnail_key, original_key]) AS k
    WHERE key = ANY(:keys) OR thumbnail_key = ANY(:keys) OR original_key = ANY(:keys)
    UNION SELECT key FROM inputs WHERE key = ANY(:keys)
""")


@dataclass(slots=True)
class Removed:
    """What became of files."""

    files: int = 0
    #: Pictures of other jobs too.
    shared: int = 0
    #: Keys, and why they could not be removed.
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, other: Removed) -> None:
        """Count what became of more files."""
        self.files += other.files
        self.shared += other.shared
        self.failed |= other.failed


def take_results(session: Session, job_ids: Sequence[str]) -> set[str]:
    """Remove the rows of these jobs' pictures, note that, and return the keys of their files."""
    keys = {key for row in session.execute(_TAKE, {"ids": list(job_ids)}) for key in row if key is not None}
    session.execute(_NOTE, {"ids": list(job_ids)})
    return keys


def claimed(session: Session, keys: Sequence[str]) -> set[str]:
    """Those of `keys` that a row names."""
    return set(session.execute(_CLAIMED, {"keys": list(keys)}).scalars()) & set(keys)


def unclaimed(session: Session, keys: Iterable[str]) -> list[str]:
    """Those of `keys` that no row names."""
    ordered = sorted(keys)
    chunks = [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
    return [key for chunk in chunks for others in [claimed(session, chunk)] for key in chunk if key not in others]


def remove_files(runtime: Runtime, keys: Iterable[str]) -> Removed:
    """Remove the files that no row names any more; call it after the commit that took their rows."""
    ordered = sorted(keys)
    free = runtime.db(unclaimed, ordered)
    removed = Removed(shared=len(ordered) - len(free))
    for key in free:
        try:
            removed.files += runtime.storage.remove(key)
        except StorageError as error:
            removed.failed[key] = str(error)
    return removed


def expect(session: Session, keys: Iterable[str]) -> Removed:
    """What `remove_files` would do, asked in the transaction that took the rows and will not be committed."""
    ordered = sorted(keys)
    free = unclaimed(session, ordered)
    return Removed(files=len(free), shared=len(ordered) - len(free))
