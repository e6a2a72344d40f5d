"""Where a file comes from: the results that this deployment stored or received with the same digest."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

MOST = 100  # results that are listed; one file may be the picture of many jobs

_FOUND = text("""
    SELECT r.job_id AS job, b.name AS batch, j.key, r.index, r.sha256 = :sha256 AS delivered, r.provenance,
        r.source_type
    FROM results r JOIN jobs j ON j.id = r.job_id LEFT JOIN batches b ON b.id = j.batch_id AND b.id > 0
    WHERE r.sha256 = :sha256 OR r.original_sha256 = :sha256 ORDER BY r.id LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Origin:
    """One result that is the file, or was made of it."""

    job: str
    batch: str | None
    key: str | None
    index: int
    #: Whether the file is the one that was delivered; otherwise it is what the provider made, before it was changed.
    delivered: bool
    provenance: str | None
    source_type: str | None


def origins_of(session: Session, sha256: str) -> list[Origin]:
    """The results with this digest, oldest first."""
    return [Origin(**row._mapping) for row in session.execute(_FOUND, {"sha256": sha256, "most": MOST})]
