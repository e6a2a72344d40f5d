"""Rows of quality checks: results whose checks are due, claims on them, and what was found.

A check that is due is a row until it is written, so nothing that ends a worker loses it. A claim is the time at which
another worker may claim it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.bulk import Bulk
from models.fragments import seconds_from_now, until
from workers.config.check_thresholds import Thresholds
from workers.engine import copies
from workers.images.check_rules import HASH_BITS, Score, bands, near_duplicate

CLAIM_SECONDS = 120.0  # reading, decoding and comparing two pictures takes seconds on a crowded machine
LATER_SECONDS = 30.0  # until a picture that could not be read is tried again
MAX_TRIES = 5  # of one result; what cannot be checked by then stays unchecked


@dataclass(frozen=True, slots=True)
class DueCheck:
    """A result that is to be checked."""

    result_id: int
    job_id: str
    batch_id: int
    seq: int
    attempt: int
    tries: int
    key: str
    account: str
    operation: str
    target: str | None
    person: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found; without `scores` nothing could be, and with `again` it is tried later."""

    due: DueCheck
    scores: tuple[Score, ...] = ()
    hash: int | None = None
    target_hash: int | None = None
    again: bool = False
    #: The thresholds of the account that made it.
    own: Thresholds = field(default_factory=dict)


# A result that no worker survived is claimed alone, so that it takes no other one with it.
_CLAIM = text(f"""
    WITH chosen AS (
        SELECT result_id, tries FROM due_checks WHERE at <= clock_timestamp()
        ORDER BY at LIMIT :number FOR UPDATE SKIP LOCKED
    ), together AS (
        SELECT result_id FROM chosen WHERE tries = 0
        UNION ALL (SELECT result_id FROM chosen WHERE tries > 0 AND :alone ORDER BY tries LIMIT 1)
    ), claimed AS (
        UPDATE due_checks d SET tries = tries + 1, at = {seconds_from_now(str(CLAIM_SECONDS))}
        FROM together WHERE d.result_id = together.result_id RETURNING d.result_id, d.tries
    )
    SELECT c.result_id, c.tries, r.job_id, r.key, j.batch_id, j.seq, j.options,
        CASE WHEN a.number > j.former_attempts THEN j.target END AS target,
        coalesce(j.source, j.image) AS person, a.number AS attempt,
        a.account, a.operation
    FROM claimed c JOIN results r ON r.id = c.result_id JOIN jobs j ON j.id = r.job_id
    JOIN attempts a ON a.id = r.attempt_id
""")
_NEXT_IN = text(f"SELECT {until('min(at)')} FROM due_checks")
_LATER = text(f"""
    UPDATE due_checks SET at = {seconds_from_now(str(LATER_SECONDS))} WHERE result_id = ANY(:ids)
""")
_DONE = text("DELETE FROM due_checks WHERE result_id = ANY(:ids)")
# In the one order of locks. Forgotten meanwhile, a result has no row: nothing is kept of it.
_LOCK = text("SELECT FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE")
_THERE = text("SELECT id FROM results WHERE id = ANY(:ids) ORDER BY id FOR KEY SHARE")
_TURN = text("SELECT pg_advisory_xact_lock(:space, :batch_id)")
_SPACE = 0x0C4E  # of advisory locks: one transaction after another looks for copies in a batch

_SCORES = Bulk[tuple[DueCheck, Score]](
    result_id=("bigint", lambda row: row[0].result_id),
    job_id=("text", lambda row: row[0].job_id),
    batch_id=("int", lambda row: row[0].batch_id),
    seq=("bigint", lambda row: row[0].seq),
    name=("text", lambda row: row[1].name.value),
    score=("float8", lambda row: float(row[1].score)),
    threshold=("float8", lambda row: float(row[1].threshold)),
    flagged=("bool", lambda row: row[1].flagged),
    rank=("float8", lambda row: float(row[1].rank)),
)
_KEEP = text(f"""
    INSERT INTO checks ({_SCORES.names}) SELECT {_SCORES.names} FROM {_SCORES.table} ORDER BY result_id, name
    ON CONFLICT (result_id, name) DO UPDATE SET score = excluded.score, threshold = excluded.threshold,
        flagged = excluded.flagged, rank = excluded.rank
""")
# Whether it is to be redone is decided where redos are: what is said here is that there is something to decide.
_TO_REDO = text(f"""
    INSERT INTO due_redos (job_id, batch_id) SELECT DISTINCT w.job_id, w.batch_id
    FROM {_SCORES.table} JOIN batches b ON b.id = w.batch_id
    WHERE w.name = ANY(b.redo_flagged) ORDER BY w.job_id
    ON CONFLICT (job_id) DO NOTHING
""")
_JOBS = Bulk[DueCheck](job_id=("text", lambda due: due.job_id), number=("int", lambda due: due.attempt))
_FORMER = text(f"""
    UPDATE checks c SET former = a.number < w.number
    FROM {_JOBS.table}, results r, attempts a
    WHERE c.job_id = w.job_id AND r.id = c.result_id AND a.id = r.attempt_id AND c.former <> (a.number < w.number)
""")
_BANDS = Bulk[tuple[Found, int, int]](
    result_id=("bigint", lambda row: row[0].due.result_id),
    band=("int", lambda row: row[1]),
    batch_id=("int", lambda row: row[0].due.batch_id),
    value=("int", lambda row: row[2]),
    hash=("bigint", lambda row: row[0].hash),
    target_hash=("bigint", lambda row: row[0].target_hash),
)
_KEEP_BANDS = text(f"""
    INSERT INTO hash_bands ({_BANDS.names}) SELECT {_BANDS.names} FROM {_BANDS.table}
    ON CONFLICT (result_id, band) DO NOTHING
""")


def claim(session: Session, number: int, *, alone: bool) -> list[DueCheck]:
    """Claim up to `number` results to be checked, the longest due first; `alone`: also one that failed before."""
    return [DueCheck(**row._mapping) for row in session.execute(_CLAIM, {"number": number, "alone": alone})]


def is_due(session: Session) -> bool:
    """Whether a result is due."""
    return next_due_in(session) == 0


def next_due_in(session: Session) -> float | None:
    """Seconds until a result is due (0: now), or None when none is to be checked."""
    seconds = session.execute(_NEXT_IN).scalar_one()
    return None if seconds is None else max(0.0, float(seconds))


def write(session: Session, found: Sequence[Found]) -> None:
    """Keep what was found, look for copies, and take what is done off the list."""
    session.execute(_LOCK, {"ids": [each.due.job_id for each in found]})
    there = set(session.execute(_THERE, {"ids": [each.due.result_id for each in found]}).scalars())
    later = {each.due.result_id for each in found if each.again and each.due.tries < MAX_TRIES}
    kept = [each for each in found if each.due.result_id in there - later]
    copies = _copies(session, [each for each in kept if each.hash is not None])
    scores = [(each.due, score) for each in kept for score in (*each.scores, *copies.get(each.due.result_id, ()))]
    if scores:
        session.execute(_KEEP, _SCORES.of(scores))
        newest = {each.due.job_id: each.due for each in sorted(kept, key=lambda each: each.due.attempt)}
        session.execute(_FORMER, _JOBS.of(newest.values()))
    if flagged := [row for row in scores if row[1].flagged]:
        session.execute(_TO_REDO, _SCORES.of(flagged))
    session.execute(_LATER, {"ids": list(later)})
    session.execute(_DONE, {"ids": [each.due.result_id for each in found if each.due.result_id not in later]})


def _copies(session: Session, hashed: Sequence[Found]) -> dict[int, list[Score]]:
    """Keep the hashes, by which a file finds its job; and how near each result is to another job's.

    Of two of a batch, the one that is looked at later is flagged. Jobs that came one by one have nothing to be compared
    with.
    """
    for batch_id in sorted({each.due.batch_id for each in hashed} - {SINGLES}):
        session.execute(_TURN, {"space": _SPACE, "batch_id": batch_id})
    nearest: dict[int, list[Score]] = {}
    for each in hashed:
        rows = _BANDS.of([(each, *band) for band in enumerate(bands(each.hash or 0))])
        session.execute(_KEEP_BANDS, rows)
        if each.due.batch_id == SINGLES:
            continue
        near = copies.nearest(session, each.due.result_id)
        distance = HASH_BITS if near is None else near.distance
        nearest[each.due.result_id] = near_duplicate(distance, each.due.operation, each.own)
    return nearest
