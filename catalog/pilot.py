"""Pilots: a sample of a run's rows is sent, and all others wait in the database until a person decides.

The sample is stratified: each folder of pictures, at each lane, has its share. Which rows are in it is decided by the
transaction that queues them, so that no other row can be sent first. While nobody has decided, every row of the batch
that a run queues waits as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from workers.jobs.lanes import IS_WAITING, WAITING

#: A folder and a lane.
Stratum = tuple[str, str]

# What lies before the last slash of the path, without a query.
_FILE = r"[^/]*(\?.*)?$"
_FOLDER = f"regexp_replace(coalesce(s.target, s.image, s.source, ''), '{_FILE}', '')"
_BY_RUN = """
    FROM decided d JOIN staged s USING (key) JOIN jobs j ON j.id = coalesce(d.job_id, s.id)
    WHERE d.verdict IN ('new', 'retried', 'changed') AND j.state = 'queued'
"""
_OPEN = text("SELECT 1 FROM pilots WHERE batch_id = :batch_id AND decision IS NULL")
# Taken before anything of the batch is: pumps lock jobs, and then their batch.
_LOCK = text("SELECT 1 FROM jobs WHERE batch_id = :batch_id AND state = 'queued' ORDER BY id FOR UPDATE")
_STRATA = text(f"""
    SELECT {_FOLDER} AS folder, s.lane, count(*) AS number, max(s.cost) AS dearest
    FROM decided d JOIN staged s USING (key) WHERE d.verdict IN ('new', 'retried', 'changed')
    GROUP BY 1, 2 ORDER BY 1, 2
""")
_OF_THE_SAMPLE = text("""
    SELECT count(*) AS rows, coalesce(sum(s.cost), 0) AS cost
    FROM decided d JOIN staged s USING (key) JOIN pilot_jobs p USING (job_id)
    WHERE d.verdict IN ('new', 'retried', 'changed') AND p.batch_id = :batch_id
""")
_SHARES = Bulk[tuple[Stratum, int]](
    folder=("text", lambda share: share[0][0]), lane=("text", lambda share: share[0][1]),
    number=("int", lambda share: share[1]),
)  # fmt: skip
_FORGET = text("DELETE FROM pilot_jobs WHERE batch_id = :batch_id")
_PICK = text(f"""
    INSERT INTO pilot_jobs (job_id, batch_id)
    SELECT found.id, :batch_id FROM (
        SELECT j.id, {_FOLDER} AS folder, s.lane,
            row_number() OVER (PARTITION BY {_FOLDER}, s.lane ORDER BY md5(j.id)) AS place {_BY_RUN}
    ) found JOIN {_SHARES.table} USING (folder, lane) WHERE place <= w.number
    ON CONFLICT (job_id) DO UPDATE SET batch_id = excluded.batch_id
""")
_WAIT = text(f"""
    UPDATE jobs SET lane = '{WAITING}' || lane
    WHERE batch_id = :batch_id AND state = 'queued' AND NOT {IS_WAITING}
        AND id NOT IN (SELECT job_id FROM pilot_jobs WHERE batch_id = :batch_id)
""")
_BEGIN = text("""
    INSERT INTO pilots (batch_id, size) VALUES (:batch_id, :size)
    ON CONFLICT (batch_id) DO UPDATE SET size = excluded.size, created_at = clock_timestamp(), decision = NULL,
        decided_at = NULL, decided_by = NULL
""")
_COUNTS = text(f"""
    SELECT (SELECT count(*) FROM pilot_jobs WHERE batch_id = :batch_id) AS sample,
        (SELECT coalesce(sum(s.cost), 0) {_BY_RUN}
            AND j.id IN (SELECT job_id FROM pilot_jobs WHERE batch_id = :batch_id)) AS cost,
        (SELECT count(*) FROM jobs WHERE batch_id = :batch_id AND state = 'queued'
            AND {IS_WAITING}) AS waiting
""")


@dataclass(frozen=True, slots=True)
class Sampled:
    """How many jobs are in the sample of a batch, and how many wait."""

    sample: int
    waiting: int
    #: What those of the sample cost that this run has queued, if each is submitted once.
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sent:
    """How many of the rows to queue are sent before a person decides, and their highest cost if each is sent once."""

    rows: int
    cost: Decimal


def size_of(size: str, rows: int) -> int:
    """How many of `rows` a sample has: ``1%`` of them, rounded up, or as many as it says."""
    wanted = ceil(Fraction(size[:-1]) * rows / 100) if size.endswith("%") else int(size)
    return min(wanted, rows)


def shares(strata: Mapping[Stratum, int], number: int) -> dict[Stratum, int]:
    """How many of each stratum are in a sample of `number`: in proportion, and one of each if there are enough."""
    rows = sum(strata.values())
    number = min(number, rows)
    least = 1 if number >= len(strata) else 0
    exact = {stratum: Fraction(size * number, rows) for stratum, size in strata.items()}
    found = {stratum: max(least, int(share)) for stratum, share in exact.items()}
    # What was rounded away is given to those of whom most is missing, and taken from those who have most beyond theirs.
    while (missing := number - sum(found.values())) != 0:
        one = 1 if missing > 0 else -1
        able = [each for each in strata if (found[each] < strata[each] if one > 0 else found[each] > least)]
        for stratum in sorted(able, key=lambda each: ((found[each] - exact[each]) * one, each))[: abs(missing)]:
            found[stratum] += one
    return found


def sent(strata: Mapping[Stratum, tuple[int, Decimal]], size: str) -> Sent:
    """What a sample of so many rows of these strata is, each with its number of rows and the cost of its dearest."""
    rows = sum(number for number, _ in strata.values())
    chosen = shares({each: number for each, (number, _) in strata.items()}, size_of(size, rows)) if rows else {}
    return Sent(sum(chosen.values()), sum((number * strata[each][1] for each, number in chosen.items()), Decimal(0)))


def sent_of_new(rows: Iterable[tuple[str, str, Decimal]], size: str) -> Sent:
    """The same of rows that are all new: the picture, the lane and the cost of each."""
    strata: dict[Stratum, tuple[int, Decimal]] = {}
    for picture, lane, cost in rows:
        stratum = re.sub(_FILE, "", picture, count=1), lane
        number, dearest = strata.get(stratum, (0, cost))
        strata[stratum] = number + 1, max(dearest, cost)
    return sent(strata, size)


def is_open(session: Session, batch_id: int) -> bool:
    """Whether a batch has a pilot about which nobody has decided."""
    return session.execute(_OPEN, {"batch_id": batch_id}).first() is not None


def to_be_sent(session: Session, batch_id: int | None, size: str | None) -> Sent | None:
    """What is sent of the rows in `decided` that are queued; None where all are, without a pilot."""
    batch = {"batch_id": batch_id}
    if batch_id is not None and is_open(session, batch_id):
        return Sent(**session.execute(_OF_THE_SAMPLE, batch).one()._mapping)
    if size is None:
        return None
    rows = session.execute(_STRATA)
    return sent({(row.folder, row.lane): (row.number, row.dearest) for row in rows}, size)


def lock(session: Session, batch_id: int, size: str | None) -> bool:
    """Whether a pilot of the batch is open, or begins with this run; its queued jobs are then locked."""
    concerned = size is not None or is_open(session, batch_id)
    if concerned:
        session.execute(_LOCK, {"batch_id": batch_id})
    return concerned


def hold_back(session: Session, batch_id: int, size: str | None) -> Sampled | None:
    """Choose the sample of what the run has queued, unless a pilot is open already; all others of the batch wait."""
    batch = {"batch_id": batch_id}
    if not is_open(session, batch_id):
        strata = {(row.folder, row.lane): row.number for row in session.execute(_STRATA)}
        if size is None or not strata:
            return None
        chosen = shares(strata, size_of(size, sum(strata.values())))
        session.execute(_FORGET, batch)
        session.execute(_PICK, {**batch, **_SHARES.of(chosen.items())})
        session.execute(_WAIT, batch)
        session.execute(_BEGIN, {**batch, "size": size})
    else:
        session.execute(_WAIT, batch)
    return Sampled(**session.execute(_COUNTS, batch).one()._mapping)
