"""Batches of pictures to decide about, without files behind them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.database import Database


def made(database: Database, number: int, *, name: str = "spring", pictures: int = 1, cost: str = "0.02") -> int:
    """The number of a batch whose `number` jobs have succeeded, each with so many pictures."""
    batch = database.batch(name)
    for job in database.jobs(number, batch=batch, state="succeeded"):
        give(database, job, pictures=pictures, cost=cost)
    return batch


def give(database: Database, job: str, *, pictures: int = 1, number: int = 1, **columns: Any) -> list[int]:
    """Pictures for a job, of one more attempt."""
    attempt = database.attempt(job, "done", number=number, **columns)
    return [
        database.one(
            "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
            " VALUES (:job, :attempt, :index, :key, :key, 3, 'image/png', 512, 640) RETURNING id",
            job=job, attempt=attempt, index=index, key=key_of(job, number, index),
        )
        for index in range(pictures)
    ]  # fmt: skip


def key_of(job: str, number: int, index: int) -> str:
    """Where the file of a picture would be."""
    digest = hashlib.sha256(f"{job} {number} {index}".encode()).hexdigest()
    return f"{digest[:2]}/{digest[2:4]}/{digest}.png"


def results(database: Database, batch: int) -> list[int]:
    """All pictures of a batch, in its order."""
    rows = database.sql(
        "SELECT r.id FROM results r JOIN jobs j ON j.id = r.job_id WHERE j.batch_id = :batch ORDER BY j.seq, r.id",
        batch=batch,
    )
    return [row.id for row in rows]
