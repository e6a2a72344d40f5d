"""Where a file comes from: results of this deployment with the same digest, stored or received, or that look alike.

A digest proves; a look does not. A copy that was compressed again or made smaller differs in up to two of the 64 bits
of its perceptual hash, one that lost a fiftieth at each edge in about six; a mirrored one is not found.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from workers.images.check_rules import HASH_BITS, bands

ALIKE = 6  # bits of a perceptual hash that may differ; those of different photos differ in 20 and more
NEAREST = 10  # results that look alike and are listed
MOST = 100  # results that are listed; one file may be the picture of many jobs

_FOUND = text("""
    SELECT r.job_id AS job, b.name AS batch, j.key, r.index, r.sha256 = :sha256 AS delivered, r.provenance,
        r.source_type
    FROM results r JOIN jobs j ON j.id = r.job_id LEFT JOIN batches b ON b.id = j.batch_id AND b.id > 0
    WHERE r.sha256 = :sha256 OR r.original_sha256 = :sha256 ORDER BY r.id LIMIT :most
""")
# Batch by batch, because the index begins with it: four looks for each. Hashes that are near have a quarter in common.
_ALIKE = text(f"""
    WITH near AS (
        SELECT DISTINCT h.result_id, h.bits, h.target_bits
        FROM batches b CROSS JOIN unnest(CAST(:bands AS int[])) WITH ORDINALITY w (value, nth) CROSS JOIN LATERAL (
            SELECT result_id, bit_count((hash # CAST(:hash AS bigint))::bit({HASH_BITS})) AS bits,
                bit_count((target_hash # CAST(:hash AS bigint))::bit({HASH_BITS})) AS target_bits
            FROM hash_bands WHERE batch_id = b.id AND band = w.nth - 1 AND value = w.value
        ) h WHERE h.bits <= :alike
    )
    SELECT r.job_id AS job, b.name AS batch, j.key, r.index, near.bits,
        coalesce(near.target_bits <= near.bits, false) AS target_as_near
    FROM near JOIN results r ON r.id = near.result_id JOIN jobs j ON j.id = r.job_id
    LEFT JOIN batches b ON b.id = j.batch_id AND b.id <> {SINGLES}
    ORDER BY near.bits, r.id LIMIT :most
""")


@dataclass(frozen=True, slots=True)
class Lookalike:
    """One result that looks like the file. It may be another picture all the same."""

    job: str
    batch: str | None
    key: str | None
    index: int
    #: Bits of the perceptual hash that differ.
    bits: int
    #: Whether the picture that the result was made of looks as much like the file, so that it may be that one.
    target_as_near: bool


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
    #: Whether the file is a copy that also says the verdict, by what it says itself.
    copied: bool = False


def origins_of(session: Session, sha256: str) -> list[Origin]:
    """The results with this digest, oldest first."""
    return [Origin(**row._mapping) for row in session.execute(_FOUND, {"sha256": sha256, "most": MOST})]


def lookalikes_of(session: Session, hash_: int) -> list[Lookalike]:
    """The checked results whose perceptual hash is near this one, the nearest first."""
    asked = {"hash": hash_, "bands": bands(hash_), "alike": ALIKE, "most": NEAREST}
    return [Lookalike(**row._mapping) for row in session.execute(_ALIKE, asked)]
