"""A reviewer's walk through the pictures of a grid: what comes next, what lies beside, and what is still undecided."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import is_flag
from models.states import JobState
from models.verdicts import Verdict
from reports.cards import CLAIM, UNDECIDED
from reports.grid import Place, find_jobs, place_of
from reports.grid_filter import GridFilter, Sort
from reports.undecided import undecided

#: SQL: whether another person than `:person` has the pictures of a job `j` open.
TAKEN_BY_ANOTHER = f"EXISTS (SELECT FROM {CLAIM})"
NEAR = 100  # flags that are looked at first: most often one of them is undecided
SEARCHED = 24  # pictures of a filter that are looked at together
PATIENCE = 2.0  # seconds of searching a filter for an undecided picture, before the page offers to search further

_FREE = f"j.erased_at IS NULL AND NOT {TAKEN_BY_ANOTHER}"
_FLAGS = f"checks WHERE checks.batch_id = :batch_id AND {is_flag()}"
_DECIDED = "reviews WHERE reviews.batch_id = :batch_id AND reviews.verdict IN ('approved', 'needs_work')"
_IS_UNFLAGGED = f"NOT EXISTS (SELECT FROM {_FLAGS} AND checks.seq = j.seq)"


def _flagged(limit: str) -> str:
    """SQL: up to `:limit` free undecided jobs beyond a place, each where its worst flag stands.

    What is decided is passed over by two indexes alone, in whatever way is quick for as many flags as are looked at.
    """
    return f"""
        SELECT DISTINCT ON (c.rank, c.seq) j.id, 0 AS leg, c.rank, j.seq FROM (
            SELECT rank, seq FROM (
                SELECT rank, seq FROM {_FLAGS} AND (rank, seq) > (cast(:rank AS float8), cast(:seq AS bigint))
                ORDER BY rank, seq {limit}
            ) f WHERE NOT EXISTS (SELECT FROM {_DECIDED} AND reviews.seq = f.seq)
        ) c JOIN jobs j ON j.batch_id = :batch_id AND j.state = 'succeeded' AND j.seq = c.seq
        WHERE {_FREE} AND NOT EXISTS (SELECT FROM {_FLAGS} AND checks.seq = c.seq AND checks.rank < c.rank)
        ORDER BY c.rank, c.seq LIMIT :limit
    """


_NEAR_FLAGGED, _ALL_FLAGGED = text(_flagged(f"LIMIT {NEAR}")), text(_flagged(""))
_OTHERS = text(f"SELECT id, 1 AS leg, 0.0 AS rank, seq FROM ({undecided(f'{_FREE} AND {_IS_UNFLAGGED}')}) found")
_IN_CATALOG = text(f"SELECT id, 0 AS leg, 0.0 AS rank, seq FROM ({undecided(_FREE)}) found")
_HAS_FLAGS = text(f"SELECT EXISTS (SELECT FROM {_FLAGS})")
_LOOKED_AT = text(f"""
    SELECT j.id AS job_id, {UNDECIDED} AS undecided, {TAKEN_BY_ANOTHER} AS taken
    FROM unnest(cast(:ids AS text[])) WITH ORDINALITY AS found(id, place) JOIN jobs j ON j.id = found.id
    WHERE j.erased_at IS NULL ORDER BY found.place
""")
_START = Place(0, -1.0, -1)


@dataclass(frozen=True, slots=True)
class Free:
    """Jobs that nobody has decided and no other person has open; and where the search stopped, if it did not end."""

    jobs: Sequence[tuple[str, Place]] = ()
    stopped: Place | None = None


def usual_sort(session: Session, batch_id: int) -> Sort:
    """The order in which a batch is reviewed unless a person wants another one: the worst first, if any are flagged."""
    return Sort.WORST if session.execute(_HAS_FLAGS, {"batch_id": batch_id}).scalar_one() else Sort.CATALOG


def only_decided(shown: GridFilter) -> bool:
    """Whether a walk has only pictures that were decided about."""
    return shown.verdict not in {None, Verdict.UNREVIEWED} or bool(shown.reason or shown.noted)


def place_in(session: Session, batch_id: int, shown: GridFilter, job_id: str) -> Place | None:
    """Where a job stands in a walk."""
    return place_of(session, batch_id, _with_picture(shown), job_id)


def beside(
    session: Session, batch_id: int, shown: GridFilter, place: Place | None, person: str, number: int, *, forward: bool
) -> Sequence[Any]:
    """Up to `number` jobs beside a place, in order: `job_id`, whether each is `undecided`, and `taken` by another."""
    found = find_jobs(
        session, batch_id, _with_picture(shown), place, limit=number, forward=forward, keys_within=PATIENCE
    )
    ids = [job.id for job in (found.jobs if forward else reversed(found.jobs))]
    return session.execute(_LOOKED_AT, {"ids": ids, "person": person}).all()


def free(session: Session, batch_id: int, shown: GridFilter, after: Place | None, person: str, number: int) -> Free:
    """Up to `number` undecided jobs of a walk beyond a place, or from its beginning."""
    if shown.conditions.keys() - {"verdict"} or shown.sort not in {Sort.CATALOG, Sort.WORST}:
        return _searched(session, batch_id, shown.but(verdict=Verdict.UNREVIEWED), after, person)
    at, rows = after or _START, list[Any]()
    given = {"batch_id": batch_id, "person": person, "limit": number, "rank": at.rank, "seq": at.seq}
    if shown.sort != Sort.WORST:
        rows = list(session.execute(_IN_CATALOG, given))
    else:
        if at.leg == 0:
            rows = list(session.execute(_NEAR_FLAGGED, given)) or list(session.execute(_ALL_FLAGGED, given))
        rows = rows or list(session.execute(_OTHERS, given | {"seq": at.seq if at.leg else -1}))
    return Free([(row.id, Place(row.leg, float(row.rank), row.seq)) for row in rows])


def _searched(session: Session, batch_id: int, shown: GridFilter, after: Place | None, person: str) -> Free:
    """The undecided jobs of a filter, found by looking at each."""
    until = time.monotonic() + PATIENCE
    while True:
        found = find_jobs(session, batch_id, _with_picture(shown), after, limit=SEARCHED, keys_within=PATIENCE)
        places = {job.id: job.place for job in found.jobs}
        rows = session.execute(_LOOKED_AT, {"ids": list(places), "person": person})
        if jobs := [(row.job_id, places[row.job_id]) for row in rows if row.undecided and not row.taken]:
            return Free(jobs)
        after = found.jobs[-1].place if len(found.jobs) == SEARCHED else found.stopped
        if after is None or time.monotonic() > until:
            return Free(stopped=after)


def _with_picture(shown: GridFilter) -> GridFilter:
    """The same without the jobs that have no picture to look at, unless it names states."""
    return shown if shown.state or shown.part else shown.but(state=JobState.SUCCEEDED.value)
