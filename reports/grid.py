"""The jobs of a grid: those that fit its filter, in its order, a page at a time.

A grid is walked along an index in the order that is asked for, and the other conditions are tried on each job there. A
page tries so many jobs, and says where it stopped; so in a batch of a million no filter costs more than that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.base import LAST_BIGINT
from models.checks import CheckName
from models.fragments import is_flag, paid_for, quoted
from models.states import JobState
from models.verdicts import Verdict
from reports.grid_filter import ANY, GridFilter, Sort
from reports.reviews import PARTS, Part
from workers.jobs.filters import Filter, Filtered

PORTION = 5_000  # jobs that one statement tries conditions on: some 50 ms
FEW = 1_000  # jobs with a key that is looked for; more are found by the way
PATIENCE = 0.15  # seconds of trying, after which a page shows what it has found
CONDITIONS = (
    "ids", "states", "verdict", "fault", "check", "noted", "operation", "account", "key", "metadata"
)  # fmt: skip
UNENDED = (JobState.QUEUED, JobState.RUNNING, JobState.SAVING, JobState.HELD)


class Place(NamedTuple):
    """Where a job stands in the order of a grid: in which leg of the walk, at which rank, and where in the catalog."""

    leg: int
    rank: float
    seq: int

    def __str__(self) -> str:
        """As addresses say it."""
        return f"{self.leg}~{self.rank!r}~{self.seq}" if self.leg or self.rank else str(self.seq)

    @classmethod
    def of(cls, said: str | None) -> Place | None:
        """The place that an address says; None where it says none."""
        try:
            leg, rank, seq = said.split("~") if said and "~" in said else ("0", "0", said or "")
            found = cls(int(leg), float(rank), int(seq))
        except ValueError:
            return None
        fits = (
            str(said).isascii() and found.leg in (0, 1) and math.isfinite(found.rank) and 0 <= found.seq <= LAST_BIGINT
        )
        return found if fits else None


class Standing(NamedTuple):
    """A job in a grid."""

    id: str
    place: Place


@dataclass(frozen=True, slots=True)
class Found:
    """The next jobs of a grid, and where the search stopped before it had as many as were asked for."""

    jobs: Sequence[Standing]
    stopped: Place | None = None


# --- Ways along an index: pieces of SQL with id, seq and rank of the jobs beyond a place ------------------------------


class Way(NamedTuple):
    """An order in which a grid, or a leg of it, is walked, and which jobs are on it."""

    kind: str
    #: States, verdicts or a check.
    of: tuple[str, ...] = ()
    #: A further condition that leaves out what an earlier leg has shown.
    left_out: str = "true"


_IN_JOBS = "id, seq, 0.0 AS rank FROM jobs WHERE"
# One look for each job, as a join would look at the flags of all.
_UNFLAGGED = f"(SELECT true FROM checks c WHERE c.job_id = j.id AND {is_flag('c')} LIMIT 1) IS NULL"
_STATES = dict.fromkeys([tuple(JobState), UNENDED, *map(tuple, PARTS.values()), *((state,) for state in JobState)])
_VERDICTS = [(Verdict.APPROVED, Verdict.NEEDS_WORK), (Verdict.APPROVED,), (Verdict.NEEDS_WORK,)]
_CHECKS = [ANY, *CheckName]
_WAYS = [
    *(
        Way(kind, states, left_out)
        for kind in ("jobs", "listed")
        for states in _STATES
        for left_out in ("true", _UNFLAGGED)
    ),
    *(Way("judged", verdicts, left_out) for verdicts in _VERDICTS for left_out in ("true", _UNFLAGGED)),
    *(Way(kind, (check,)) for kind in ("flagged", "ranked") for check in _CHECKS),
    Way("ended"),
    Way("dear"),
]


def _merged(tables: Sequence[str], size: str, *, forward: bool) -> str:
    # Each by its index, and no further than it has to.
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    each = [f"(SELECT {table} AND seq {beyond} :seq ORDER BY seq {order} LIMIT {size})" for table in tables]
    return f"SELECT * FROM ({' UNION ALL '.join(each)}) merged ORDER BY seq {order}"


def _flags(check: str) -> str:
    named = "true" if check == ANY else f"checks.name = '{check}'"
    return f"checks WHERE checks.batch_id = :batch_id AND {is_flag()} AND {named}"


def _ranked(check: str, forward: bool) -> str:
    # Each job once, where its worst flag stands.
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    named = "true" if check == ANY else f"other.name = '{check}'"
    return f"""
        SELECT c.job_id AS id, c.seq, c.rank FROM (SELECT * FROM {_flags(check)}) c
        WHERE (c.rank, c.seq) {beyond} (cast(:rank AS float8), :seq) AND NOT EXISTS (
            SELECT FROM checks other WHERE other.job_id = c.job_id AND {is_flag("other")} AND {named}
                AND (other.rank, other.result_id, other.name) < (c.rank, c.result_id, c.name)
        )
        ORDER BY c.rank {order}, c.seq {order}
    """


def _ended(forward: bool) -> str:
    beyond, order = ("<", "DESC") if forward else (">", "ASC")
    return f"""
        SELECT id, seq, finished_at AS rank FROM jobs WHERE batch_id = :batch_id AND finished_at IS NOT NULL
            AND (finished_at, seq) {beyond} (to_timestamp(cast(:rank AS float8)), :seq)
        ORDER BY finished_at {order}, seq {order}
    """


def _dear(forward: bool) -> str:
    # All of them are summed, and those beyond the place are kept: no index has the cost of a job.
    beyond, order = (">", "ASC") if forward else ("<", "DESC")
    cost = f"SELECT d.id, d.seq, -coalesce({paid_for('d.id')}, 0)::float8 AS rank"
    return f"""
        SELECT id, seq, rank FROM ({cost} FROM jobs d WHERE d.batch_id = :batch_id OFFSET 0) summed
        WHERE (rank, seq) {beyond} (cast(:rank AS float8), :seq) ORDER BY rank {order}, seq {order}
    """


def _piece(way: Way, size: str, *, forward: bool) -> str:
    """Up to `size` jobs of a way beyond a place, in order."""
    if way.kind == "dear":
        return _dear(forward)
    if way.kind in {"ranked", "ended"}:
        piece = _ranked(way.of[0], forward) if way.kind == "ranked" else _ended(forward)
        return f"{piece} LIMIT {size}"
    if way.kind == "jobs":
        tables = [f"{_IN_JOBS} batch_id = :batch_id AND state = '{state}'" for state in way.of]
    elif way.kind == "listed":
        tables = [f"{_IN_JOBS} id = ANY(:ids) AND state IN ({quoted(way.of)})"]
    elif way.kind == "judged":
        of = "job_id AS id, seq, 0.0 AS rank FROM reviews WHERE batch_id = :batch_id AND verdict"
        tables = [f"{of} = '{verdict}'" for verdict in way.of]
    else:
        tables = [f"DISTINCT ON (seq) job_id AS id, seq, 0.0 AS rank FROM {_flags(way.of[0])}"]
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
# Keys are read from their index alone.
_KEYED = text(f"""
    SELECT j.id FROM (
        SELECT key FROM jobs WHERE batch_id = :batch_id AND batch_id > 0 AND strpos(lower(key), lower(:key)) > 0
        LIMIT {FEW + 1} OFFSET 0
    ) found JOIN jobs j ON j.batch_id = :batch_id AND j.batch_id > 0 AND j.key = found.key
""")
_KEY = text("""
    SELECT id, key FROM jobs WHERE batch_id > 0 AND batch_id = :batch_id AND key >= :key ORDER BY key LIMIT 1
""")


def find_jobs(
    session: Session, batch_id: int, shown: GridFilter, place: Place | None = None, *, limit: int, forward: bool = True
) -> Found:
    """The jobs beyond a place, the nearest first; from one end of the grid where none is given."""
    found, until = list[Standing](), time.monotonic() + PATIENCE
    legs, which = _search(session, batch_id, shown)
    for leg in _left(len(legs), place, forward=forward):
        at = place if place is not None and place.leg == leg else _start(leg, legs[leg], forward=forward)
        while True:
            asked = {"batch_id": batch_id, **at._asdict(), "ids": which.ids}
            rows = _FITTING[forward][legs[leg]].execute(session, which, limit=limit - len(found), **asked)
            found += [Standing(row.id, Place(leg, float(row.rank), row.seq)) for row in rows]
            if len(found) >= limit:
                return Found(found)
            whole = legs[leg].kind == "dear"  # which is walked to its end at once
            end = None if whole else session.execute(_ENDS[forward][legs[leg]], asked).first()
            if end is None:
                break
            at = Place(leg, float(end.rank), end.seq)
            if time.monotonic() > until:
                return Found(found, at)
    return Found(found)


def place_of(session: Session, batch_id: int, shown: GridFilter, job_id: str) -> Place | None:
    """Where a job stands, or would stand if it fitted the filter; None where the batch has no such job."""
    checks = shown.which().check or [each.value for each in CheckName]
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


def _search(session: Session, batch_id: int, shown: GridFilter) -> tuple[Sequence[Way], Filter]:
    """The ways of a grid and what is tried on them; jobs with a rare key are all that is left to walk."""
    legs, which = _legs(shown) if shown.states else (), shown.which()
    if shown.key is None:
        return legs, which
    ids = list(session.execute(_KEYED, {"batch_id": batch_id, "key": shown.key}).scalars())
    if len(ids) > FEW:
        return legs, which
    listed = [way._replace(kind="listed") if way.kind == "jobs" else way for way in legs]
    return listed, replace(which, key=None, ids=ids)


def _legs(shown: GridFilter) -> Sequence[Way]:
    """The ways that a grid is walked one after the other."""
    if shown.sort == Sort.WORST:
        worst = Way("ranked", (shown.check or ANY,))
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
    at = place.leg if place is not None else 0 if forward else number - 1
    yield from range(at, number) if forward else range(min(at, number - 1), -1, -1)


def _start(leg: int, way: Way, *, forward: bool) -> Place:
    """The end of a leg from which it is walked."""
    sign = 1 if forward is (way.kind == "ended") else -1
    return Place(leg, sign * math.inf, sign * LAST_BIGINT)
