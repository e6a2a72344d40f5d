"""Jobs of a batch whose keys have some letters, looked for a range of keys at a time.

No index has the letters within keys. So keys are read in order, from their index alone: a million takes half a second,
and longer on a busy machine. After a time, or enough jobs, the look stops, and says which range of keys it has read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

KEYS = 25_000  # that one statement reads: some 10 ms
FEW = 1_000  # jobs of one range; where so many are among the first keys, others are found by the way
MOST = 20_000  # jobs of a range that is read again: an address may name any


class Range(NamedTuple):
    """Keys beyond one, and up to another one; empty: from the first on, and to the last."""

    since: str = ""
    until: str = ""


ALL = Range()


@dataclass(frozen=True, slots=True)
class Looked:
    """The jobs of a range of keys that was read; None where a look at each job finds enough as quickly."""

    ids: Sequence[str] | None
    range: Range = ALL


def _portion(*, ends: bool) -> str:
    until = "AND key <= :until" if ends else ""
    return f"SELECT key FROM jobs WHERE batch_id = :batch_id AND batch_id > 0 AND key > :since {until} ORDER BY key"


# Jobs are looked up one by one (OFFSET 0), whatever the statistics say.
_FITTING = {
    ends: text(f"""
        SELECT j.id, j.key FROM (
            SELECT key FROM ({_portion(ends=ends)} LIMIT {KEYS}) portion
            WHERE strpos(lower(key), lower(:key)) > 0 {"" if ends else f"LIMIT {FEW + 1}"}
        ) found CROSS JOIN LATERAL (
            SELECT id, key FROM jobs WHERE batch_id = :batch_id AND batch_id > 0 AND key = found.key OFFSET 0
        ) j ORDER BY j.key
    """)
    for ends in (False, True)
}
_EDGES = {ends: text(f"{_portion(ends=ends)} OFFSET {KEYS - 1} LIMIT 1") for ends in (False, True)}


def look(session: Session, batch_id: int, key: str, asked: Range, seconds: float) -> Looked:
    """The jobs of a batch whose keys have the letters of `key`, in upper or lower case.

    Args:
        session: reads.
        batch_id: their batch.
        key: what is looked for.
        asked: where to begin; one that ends is read to its end, as a page before did.
        seconds: after which a range without an end ends.
    """
    found, at, ends = list[str](), asked.since, bool(asked.until)
    stops = time.monotonic() + seconds
    while True:
        given = {"batch_id": batch_id, "key": key, "since": at, "until": asked.until}
        rows = session.execute(_FITTING[ends], given).all()
        if len(found) + len(rows) > (MOST if ends else FEW):
            if ends or not asked.since:
                return Looked(None)
            kept = rows[: FEW - len(found)]
            return Looked([*found, *(row.id for row in kept)], Range(asked.since, kept[-1].key if kept else at))
        found += (row.id for row in rows)
        edge = session.execute(_EDGES[ends], given).scalar()
        if edge is None:
            return Looked(found, asked)
        at = edge
        if not ends and time.monotonic() > stops:
            return Looked(found, Range(asked.since, at))
