"""The jobs of a grid: those that fit its filter, in its order, a page at a time.

A grid is walked along an index in the order that is asked for, and the other conditions are tried on each job there. A
page tries so many jobs, and says where it stopped; so in a batch of a million no filter costs more than that.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.base import LAST_BIGINT
from models.checks import ANY_CHECK, ASKED_CHECKS, named_checks
from models.fragments import is_flag, paid_for, quoted
from models.states import JobState
from models.verdicts import Verdict
from reports.grid_filter import GridFilter, Sort
from reports.keys import ALL, Range, look
from reports.reviews import PARTS, Part
from workers.jobs.filters import Filter, Filtered

PORTION = 5_000  # jobs that one statement tries conditions on: some 50 ms
PATIENCE = 0.15  # seconds of trying, after which a page shows what it has found
CONDITIONS = (
    "ids", "states", "verdict", "fault", "check", "noted", "operation", "account", "key", "metadata"
)  # fmt: skip
BEGIN = -1  # leg of the place from which a further range of keys is walked
UNENDED = (JobState.QUEUED, JobState.RUNNING, JobState.SAVING, JobState.HELD)


class Place(NamedTuple):
    """Where a job stands in the order of a grid: in which leg of the walk, at which rank, and where in the catalog."""

    leg: int
    rank: float
    seq: int
    #: Among the jobs with these keys, where not all keys could be looked through; they have an order of their own.
    keys: Range = ALL

    def __str__(self) -> str:
        """As addresses say it."""
        if self.keys != ALL:
            return f"{self.leg}~{self.rank!r}~{self.seq}~{json.dumps(self.keys, ensure_ascii=False)}"
        return f"{self.leg}~{self.rank!r}~{self.seq}" if self.leg or self.rank else str(self.seq)

    @classmethod
    def of(cls, said: str | None) -> Place | None:
        """The place that an address says; None where it says none."""
        try:
            leg, rank, seq, *keys = said.split("~", 3) if said and "~" in said else ("0", "0", said or "")
            found = cls(int(leg), float(rank), int(seq), Range(*map(str, json.loads(keys[0]))) if keys else ALL)
        except (ValueError, TypeError, RecursionError):
            return None
        known = found.leg in (0, 1) or (found.leg == BEGIN and bool(keys))
        fits = known and math.isfinite(found.rank) and 0 <= found.seq <= LAST_BIGINT
        return found if fits and f"{leg}{rank}{seq}".isascii() and "\0" not in "".join(found.keys) else None


class GridJob(NamedTuple):
    """A job in a grid."""

    id: str
    place: Place


@dataclass(frozen=True, slots=True)
class Found:
    """The next jobs of a grid, and where the search stopped before it had as many as were asked for."""

    jobs: Sequence[GridJob]
    stopped: Place | None = None


# --- Ways along an index: pieces of SQL with id, seq and rank of the jobs beyond a place ------------------------------


class Way(NamedTuple):
    """An order in which a grid, or a leg of it, is walked, and which jobs are on it."""

    kind: str
    #: States, verdicts or a check.
    of: tuple[str, ...] = ()
    #: A further condition that leaves out what an earlier leg has shown.
    left_out: str = "true"
    #: Whether only jobs whose ids are known are on it.
    listed: bool = False


_IN_JOBS = "id, seq, 0.0 AS rank FROM jobs WHERE"
# One look for each job, as a join would look at the flags of all.
_UNFLAGGED = f"(SELECT true FROM checks c WHERE c.job_id = j.id AND {is_flag('c')} LIMIT 1) IS NULL"
_STATES = dict.fromkeys([tuple(JobState), UNENDED, *map(tuple, PARTS.values()), *((state,) for state in JobState)])
_VERDICTS = [(Verdict.APPROVED, Verdict.NEEDS_WORK), (Verdict.APPROVED,), (Verdict.NEEDS_WORK,)]
_EVERY = [
    *(Way("jobs", states, left_out) for states in _STATES for left_out in ("true", _UNFLAGGED)),
    *(Way("judged", verdicts, left_out) for verdicts in _VERDICTS for left_out in ("true", _UNFLAGGED)),
    *(Way(kind, (check,)) for kind in ("flagged", "ranked") for check in ASKED_CHECKS),
    Way("ended"),
    Way("dear"),
]
_WAYS = [way._replace(listed=listed) for way in _EVERY for listed in (False, True)]


def _merged(tables: Sequence[str], size: str, *, forward: bool) -> str:
    # Each by its index, and no further than it has to.
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    each = [f"(SELECT {table} AND seq {beyond} :seq ORDER BY seq {order} LIMIT {size})" for table in tables]
    return f"SELECT * FROM ({' UNION ALL '.join(each)}) merged ORDER BY seq {order}"


def _flags(way: Way) -> str:
    (check,) = way.of
    named = "true" if check == ANY_CHECK else f"checks.name = '{check}'"
    return f"checks WHERE checks.batch_id = :batch_id AND {is_flag()} AND {named}{_ids(way, 'checks.job_id')}"


def _ids(way: Way, column: str) -> str:
    return f" AND {column} = ANY(:ids)" if way.listed else ""


def _ranked(way: Way, *, forward: bool) -> str:
    # Each job once, where its worst flag stands.
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    (check,) = way.of
    named = "true" if check == ANY_CHECK else f"other.name = '{check}'"
    return f"""
        SELECT c.job_id AS id, c.seq, c.rank FROM (SELECT * FROM {_flags(way)}) c
        WHERE (c.rank, c.seq) {beyond} (cast(:rank AS float8), :seq) AND NOT EXISTS (
            SELECT FROM checks other WHERE other.job_id = c.job_id AND {is_flag("other")} AND {named}
                AND (other.rank, other.result_id, other.name) < (c.rank, c.result_id, c.name)
        )
        ORDER BY c.rank {order}, c.seq {order}
    """


def _ended(way: Way, *, forward: bool) -> str:
    beyond, order = ("<", "DESC") if forward else (">", "ASC")
    return f"""
        SELECT id, seq, finished_at AS rank FROM jobs
        WHERE batch_id = :batch_id AND finished_at IS NOT NULL{_ids(way, "id")}
            AND (finished_at, seq) {beyond} (to_timestamp(cast(:rank AS float8)), :seq)
        ORDER BY finished_at {order}, seq {order}
    """


def _dear(way: Way, *, forward: bool) -> str:
    # All of them are summed, and those beyond the place are kept: no index has the cost of a job.
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    cost = f"SELECT d.id, d.seq, -coalesce({paid_for('d.id')}, 0)::float8 AS rank"
    return f"""
        SELECT id, seq, rank FROM (
            {cost} FROM jobs d WHERE d.batch_id = :batch_id{_ids(way, "d.id")} OFFSET 0
        ) summed
        WHERE (rank, seq) {beyond} (cast(:rank AS float8), :seq) ORDER BY rank {order}, seq {order}
    """


def _piece(way: Way, size: str, *, forward: bool) -> str:
    """Up to `size` jobs of a way beyond a place, in order."""
    if way.kind == "dear":
        return _dear(way, forward=forward)
    if way.kind in {"ranked", "ended"}:
        piece = (_ranked if way.kind == "ranked" else _ended)(way, forward=forward)
        return f"{piece} LIMIT {size}"
    if way.kind == "jobs" and way.listed:
        tables = [f"{_IN_JOBS} id = ANY(:ids) AND state IN ({quoted(way.of)})"]
    elif way.kind == "jobs":
        tables = [f"{_IN_JOBS} batch_id = :batch_id AND state = '{state}'" for state in way.of]
    elif way.kind == "judged":
        of = f"job_id AS id, seq, 0.0 AS rank FROM reviews WHERE batch_id = :batch_id{_ids(way, 'job_id')} AND verdict"
        tables = [f"{of} = '{verdict}'" for verdict in way.of]
    else:
        tables = [f"DISTINCT ON (seq) job_id AS id, seq, 0.0 AS rank FROM {_flags(way)}"]
    return f"{_merged(tables, size, forward=forward)} LIMIT {size}"


def _walk(way: Way, *, forward: bool) -> Filtered:
    """Those of the next portion that fit."""
    direction = "ASC" if forward is not (way.kind == "ended") else "DESC"
    by = ("rank", "seq") if way.kind in {"ranked", "ended", "dear"} else ("seq",)
    order = ", ".join(f"piece.{name} {direction}" for name in by)

    # Jobs are looked up one by one (OFFSET 0): only as many as the page needs, whatever the statistics say.
    def made(which: Filter) -> str:
        tried = bool(which.named) or way.left_out != "true"
        return f"""
            SELECT j.id, piece.seq, {_rank(way)} AS rank
            FROM ({_piece(way, str(PORTION) if tried else ":limit", forward=forward)}) piece
            CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = piece.id OFFSET 0) j {which.last}
            WHERE {which.where} AND {way.left_out} ORDER BY {order} LIMIT :limit
        """

    return Filtered(made, CONDITIONS)


def _end(way: Way, *, forward: bool) -> str:
    """The last job of a portion, if there is a whole one."""
    piece = _piece(way, str(PORTION), forward=forward)
    return f"SELECT piece.seq, {_rank(way)} AS rank FROM ({piece} OFFSET {PORTION - 1}) piece"


def _rank(way: Way) -> str:
    return "extract(epoch FROM piece.rank)::float8" if way.kind == "ended" else "piece.rank"


_FITTING = {forward: {way: _walk(way, forward=forward) for way in _WAYS} for forward in (True, False)}
_ENDS = {forward: {way: text(_end(way, forward=forward)) for way in _WAYS} for forward in (True, False)}
_STANDING = text(f"""
    SELECT j.id, j.seq, extract(epoch FROM j.finished_at)::float8 AS ended,
        -coalesce({paid_for("j.id")}, 0)::float8 AS cost, (
        SELECT min(c.rank) FROM checks c WHERE c.job_id = j.id AND c.name = ANY(:checks) AND {is_flag("c")}
    ) AS rank
    FROM jobs j WHERE j.batch_id = :batch_id AND j.id = :job_id
""")
_KEY = text("""
    SELECT id, key FROM jobs WHERE batch_id > 0 AND batch_id = :batch_id AND key >= :key ORDER BY key LIMIT 1
""")


def find_jobs(
    session: Session,
    batch_id: int,
    shown: GridFilter,
    place: Place | None = None,
    *,
    limit: int,
    forward: bool = True,
    keys_within: float = PATIENCE,
) -> Found:
    """The jobs beyond a place, the nearest first; from one end of the grid where none is given.

    Keys that are looked for are looked for within `keys_within` seconds.
    """
    found, until = list[GridJob](), time.monotonic() + PATIENCE
    legs, which, keys = _search(session, batch_id, shown, place, keys_within)
    for leg in _left(len(legs), place, forward=forward):
        at = place if place is not None and place.leg == leg else _start(leg, legs[leg], forward=forward)
        while True:
            asked = {"batch_id": batch_id, "rank": at.rank, "seq": at.seq, "ids": which.ids}
            rows = _FITTING[forward][legs[leg]].execute(session, which, limit=limit - len(found), **asked)
            found += [GridJob(row.id, Place(leg, float(row.rank), row.seq, keys)) for row in rows]
            if len(found) >= limit:
                return Found(found)
            whole = legs[leg].kind == "dear"  # which is walked to its end at once
            end = None if whole else session.execute(_ENDS[forward][legs[leg]], asked).first()
            if end is None:
                break
            at = Place(leg, float(end.rank), end.seq, keys)
            if time.monotonic() > until:
                return Found(found, at)
    return Found(found, _further(keys, forward=forward))


def _further(keys: Range, *, forward: bool) -> Place | None:
    """Where the walk goes on with other keys; None where it has come to the end of them."""
    left = Range(since=keys.until) if forward else Range(until=keys.since)
    return None if left == ALL else Place(BEGIN, 0.0, 0, left)


def place_of(session: Session, batch_id: int, shown: GridFilter, job_id: str) -> Place | None:
    """Where a job stands, or would stand if it fitted the filter; None where the batch has no such job."""
    checks = shown.which().check or named_checks([ANY_CHECK])
    asked = {"batch_id": batch_id, "job_id": job_id, "checks": checks}
    row = session.execute(_STANDING, asked).first()
    if row is None:
        return None
    rank = {Sort.WORST: row.rank, Sort.NEWEST: row.ended, Sort.COST: row.cost}.get(Sort(shown.sort), 0.0)
    return Place(1, 0.0, row.seq) if rank is None else Place(0, rank, row.seq)


def from_key(session: Session, batch_id: int, key: str) -> Any:
    """The `id` and `key` of the job with this key, or with the first key behind it; None where none is."""
    return session.execute(_KEY, {"batch_id": batch_id, "key": key}).first()


def before_key(session: Session, batch_id: int, shown: GridFilter, key: str) -> Place | None:
    """The place after which the job with this key comes, or with the first key behind it; None where none is."""
    found = from_key(session, batch_id, key)
    place = None if found is None else place_of(session, batch_id, shown, found.id)
    if place is None:
        return None
    return place._replace(seq=place.seq + 1 if _legs(shown)[place.leg].kind == "ended" else place.seq - 1)


def _search(
    session: Session, batch_id: int, shown: GridFilter, place: Place | None, seconds: float
) -> tuple[Sequence[Way], Filter, Range]:
    """The ways of a grid, what is tried on them, and the range of keys whose jobs are all that is left to walk."""
    legs, which = _legs(shown) if shown.states else (), shown.which()
    if shown.key is None or not legs:
        return legs, which, ALL
    looked = look(session, batch_id, shown.key, ALL if place is None else place.keys, seconds)
    if looked.ids is None:
        return legs, which, ALL
    return [way._replace(listed=True) for way in legs], replace(which, key=None, ids=looked.ids), looked.range


def _legs(shown: GridFilter) -> Sequence[Way]:
    """The ways that a grid is walked one after the other."""
    if shown.sort == Sort.WORST:
        worst = Way("ranked", (shown.check or ANY_CHECK,))
        return [worst] if shown.check else [worst, _in_catalog(shown)._replace(left_out=_UNFLAGGED)]
    if shown.sort == Sort.COST:
        return [Way("dear")]
    if shown.sort == Sort.NEWEST:
        return [Way("ended"), Way("jobs", UNENDED)]
    return [_in_catalog(shown)]


def _in_catalog(shown: GridFilter) -> Way:
    """The shortest way in the order of the catalog."""
    if shown.check:
        return Way("flagged", (shown.check,))
    if shown.verdict == Verdict.UNREVIEWED:
        return Way("jobs", (JobState.SUCCEEDED,))
    if shown.verdict or shown.reason or shown.noted:
        reasoned = Verdict.NEEDS_WORK if shown.reason else None
        one = shown.verdict or reasoned
        return Way("judged", (Verdict(one),) if one else _VERDICTS[0])
    part = tuple(PARTS[Part(shown.part)]) if shown.part else tuple(JobState)
    return Way("jobs", (JobState(shown.state),) if shown.state else part)


def _left(number: int, place: Place | None, *, forward: bool) -> Iterator[int]:
    """The legs that are left, the nearest first."""
    at = place.leg if place is not None and place.leg != BEGIN else 0 if forward else number - 1
    yield from range(at, number) if forward else range(min(at, number - 1), -1, -1)


def _start(leg: int, way: Way, *, forward: bool) -> Place:
    """The end of a leg from which it is walked."""
    sign = 1 if forward is (way.kind == "ended") else -1
    return Place(leg, sign * math.inf, sign * LAST_BIGINT)
