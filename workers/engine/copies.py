"""Pictures of different jobs that look alike: found by quarters of their hashes, in an index of each batch.

A picture is compared with those of its own batch, and of a few batches that began before it. So it costs the same few
looks into the index however many pictures there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.checks import CheckName
from workers.images.check_rules import HASH_BITS, TARGETS_ALIKE, THRESHOLDS

FORMER_BATCHES = 16  # batches that began before, and are looked at: four looks of some 5 µs in each
FORMER_DAYS = 7  # how long before
CANDIDATES = 200  # hashes with the same quarter that are looked at; a series of pictures may share one by the thousand
NEAR = 50  # of these, the nearest whose jobs are looked at: some are other pictures of the same job
_FAR = round(HASH_BITS * (1 - THRESHOLDS[CheckName.NEAR_DUPLICATE])) + 1  # bits; a distance that is not flagged

_DISTANCE = f"bit_count((w.hash # h.hash)::bit({HASH_BITS}))"
# Where both targets look alike, so may what is made of them; and so may what was asked for before, in another batch.
_NEAREST = text(f"""
    SELECT near.distance, j.id AS job, j.key, j.batch_id, b.name AS batch FROM (
        SELECT DISTINCT h.result_id, {_DISTANCE} AS distance
        FROM hash_bands w CROSS JOIN LATERAL (
            SELECT w.batch_id AS id
            UNION ALL (
                SELECT former.id FROM (
                    SELECT id, created_at FROM batches WHERE id < w.batch_id AND id > {SINGLES}
                    ORDER BY id DESC LIMIT {FORMER_BATCHES}
                ) former JOIN batches own ON own.id = w.batch_id
                WHERE former.created_at > own.created_at - {FORMER_DAYS} * interval '1 day'
            )
        ) looked CROSS JOIN LATERAL (
            SELECT result_id, hash, target_hash FROM hash_bands
            WHERE batch_id = looked.id AND band = w.band AND value = w.value AND result_id <> w.result_id
            ORDER BY result_id LIMIT {CANDIDATES}
        ) h
        WHERE w.result_id = :result_id AND w.batch_id > {SINGLES} AND {_DISTANCE} < {_FAR}
            AND coalesce(bit_count((w.target_hash # h.target_hash)::bit({HASH_BITS})), {HASH_BITS}) > {TARGETS_ALIKE}
        ORDER BY distance, h.result_id LIMIT {NEAR}
    ) near
    JOIN results r ON r.id = near.result_id JOIN jobs j ON j.id = r.job_id JOIN batches b ON b.id = j.batch_id
    JOIN results mine ON mine.id = :result_id JOIN jobs own ON own.id = mine.job_id
    WHERE j.id <> own.id AND (j.batch_id = own.batch_id OR j.fingerprint IS DISTINCT FROM own.fingerprint)
    ORDER BY near.distance, r.id LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Copy:
    """The other job whose picture looks most like one, and how many bits of their hashes differ."""

    distance: int
    job: str
    key: str | None
    batch_id: int
    batch: str


def nearest(session: Session, result_id: int) -> Copy | None:
    """The copy of a result whose hash is kept; None where none looks like it, or it is of a job that came alone."""
    row = session.execute(_NEAREST, {"result_id": result_id}).first()
    return None if row is None else Copy(**row._mapping)
