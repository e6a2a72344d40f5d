"""A database as it is after millions of jobs: finished ones with their attempts, filled in by SQL."""

from __future__ import annotations

import psycopg

from benchmarks.contestants import SOURCE, TARGET
from benchmarks.ids import attempt_id, job_id
from benchmarks.provider import OPERATION
from models.address import conninfo
from workers.jobs.lanes import lane_of

BATCH = 100_000  # finished jobs of one batch; one ends every ten minutes
CHUNK = 50_000  # jobs of one transaction

_BATCH = """
    INSERT INTO batches (name, succeeded, created_at)
    VALUES ('aged ' || %(number)s, %(jobs)s, now() - %(number)s * interval '10 minutes') RETURNING id
"""
_JOBS = f"""
    WITH made AS (
        INSERT INTO jobs (id, kind, source, target, lane, batch_id, key, state, created_at, started_at, finished_at)
        SELECT {job_id("b.id")}, 'swap', %(source)s, %(target)s, %(lane)s, %(batch)s, number::text, 'succeeded',
            b.created_at, b.created_at + number * interval '0.1 second',
            b.created_at + number * interval '0.1 second' + interval '6 seconds'
        FROM batches b, generate_series(%(first)s::int, %(last)s::int) AS number WHERE b.id = %(batch)s
        RETURNING id, batch_id, started_at, finished_at
    )
    INSERT INTO attempts (id, job_id, number, batch_id, account, operation, state, handle, cost, created_at, sent_at,
        accepted_at, finished_at, deadline_at, polls, outputs, raw)
    SELECT {attempt_id("id")}, id, 1, batch_id, 'bench', %(operation)s, 'done', substr(id, 1, 32), 0.05, started_at,
        started_at, started_at, finished_at, started_at + interval '10 minutes', 1, '[]',
        convert_to('{{"id": "' || id || '", "status": "done", "url": "https://pictures.example/' || id || '"}}', 'UTF8')
    FROM made
"""
_SIZES = """
    SELECT relname, pg_relation_size(oid) FROM pg_class
    WHERE relkind IN ('r', 'i') AND (relname IN ('jobs', 'attempts') OR oid IN (
        SELECT indexrelid FROM pg_index WHERE indrelid IN ('jobs'::regclass, 'attempts'::regclass)))
    ORDER BY 1
"""


def plain(url: str) -> str:
    """An address as psycopg reads it."""
    return psycopg.conninfo.make_conninfo(**conninfo(url))


def fill(url: str, finished: int) -> None:
    """Add finished jobs, oldest first, and leave the tables as autovacuum does."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        for number in range((finished + BATCH - 1) // BATCH, 0, -1):
            jobs = min(BATCH, finished - (number - 1) * BATCH)
            row = connection.execute(_BATCH, {"number": number - 1, "jobs": jobs}).fetchone()
            for first in range(1, jobs + 1, CHUNK):
                values = {
                    "source": SOURCE, "target": TARGET, "operation": OPERATION, "lane": lane_of(None, [OPERATION]),
                    "batch": row[0] if row else None, "first": first, "last": min(first + CHUNK - 1, jobs),
                }  # fmt: skip
                connection.execute(_JOBS, values)
        connection.execute("VACUUM (ANALYZE, FREEZE)")
        connection.execute("CHECKPOINT")


def sizes(url: str) -> dict[str, int]:
    """Bytes of the tables of jobs and attempts, and of each of their indexes."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        return dict(connection.execute(_SIZES).fetchall())
