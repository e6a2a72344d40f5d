"""Jobs with pictures that nobody has decided about, found quickly also where all but a few of a million are decided.

Places are compared a piece at a time, from two indexes alone: those of jobs that succeeded, and those of verdicts. The
first piece is short, because in most batches the next job is undecided.
"""

from __future__ import annotations

from models.base import LAST_BIGINT

FIRST, NEXT = 100, 2_000  # places of a piece: comparing as many takes 0.3 and 5 ms


def _piece(last: str, size: int, condition: str) -> str:
    """SQL: the end of the next piece beyond `last`, and the undecided places in it; NULL where none is left."""
    jobs = f"jobs WHERE batch_id = :batch_id AND state = 'succeeded' AND seq > {last} ORDER BY seq"
    fits = f"""EXISTS (
        SELECT FROM jobs j
        WHERE j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq = piece.seq AND {condition}
    )"""
    return f"""
        SELECT max(piece.seq) AS last,
            coalesce(array_agg(piece.seq) FILTER (WHERE decided.seq IS NULL AND {fits}), '{{}}') AS found
        FROM (SELECT seq FROM {jobs} LIMIT {size}) piece LEFT JOIN (
            SELECT seq FROM reviews WHERE batch_id = :batch_id AND verdict IN ('approved', 'needs_work')
                AND seq > {last} AND seq <= coalesce((SELECT seq FROM {jobs} OFFSET {size - 1} LIMIT 1), {LAST_BIGINT})
        ) decided ON decided.seq = piece.seq
    """


def undecided(condition: str, *, after: str = ":seq", limit: str = ":limit") -> str:
    """SQL: id and seq of up to `limit` undecided jobs `j` of `:batch_id` beyond `after`, which meet `condition`."""
    return f"""
        WITH RECURSIVE walk AS (
            SELECT * FROM ({_piece(f"cast({after} AS bigint)", FIRST, condition)}) first
            UNION ALL
            SELECT piece.last, walk.found || piece.found
            FROM walk CROSS JOIN LATERAL ({_piece("walk.last", NEXT, condition)}) piece
            WHERE piece.last IS NOT NULL AND walk.last IS NOT NULL AND cardinality(walk.found) < {limit}
        )
        SELECT j.id, j.seq FROM jobs j
        WHERE j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq = ANY((
            SELECT found FROM walk ORDER BY last DESC NULLS LAST LIMIT 1
        )::bigint[])
        ORDER BY j.seq LIMIT {limit}
    """
